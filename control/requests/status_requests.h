// StatusRequests answers clients' status requests (get_workflow_status and others) from the events
// that were published, by the rules of the configuration (StatusRequest).
//
// Publishing threads look up the event's name and queue the events that a rule uses.  A thread of
// this class applies them in batches.  Requests go through the same queue, so an answer reflects
// every event that was accepted before the request.  So does the state that a subscribe asks for:
// the question is queued under the channel's lock, like the channel's events.
//
// Threading: safe from every thread; replies come on the thread of this class.
// Ownership: shares each queued publication until it is applied; borrows the clock.
// Cost:      OnPublication() takes two hash lookups for an event that no rule uses, otherwise a
//            push under a leaf mutex.  The queue holds at most kMaxQueuedEvents and
//            kMaxQueuedBytes; events beyond that are dropped, counted and logged.
// Source:    docs/configuration.md "StatusRequest"
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "control/routing/publication_observer.h"
#include "control/routing/state_source.h"
#include "control/workers/worker_registry.h"

namespace fanwire::v1 {
class Config;
}  // namespace fanwire::v1

namespace fanwire::control {

class StatusTable;

class StatusRequests final : public PublicationObserver,
                             public ClientRequestHandler,
                             public StateSource {
 public:
  static constexpr size_t kMaxQueuedEvents = 65'536;
  static constexpr size_t kMaxQueuedBytes = 64 << 20;
  static constexpr size_t kMaxQueuedRequests = 16'384;
  // Channels of which it is known that events were dropped.  If there are more, all of their
  // services' channels count as such.
  static constexpr size_t kMaxMissed = 4096;

  // `config` is resolved and checked (config_loader.h).
  explicit StatusRequests(const v1::Config& config, const Clock* clock = Clock::Real());
  // Answers waiting requests with UNAVAILABLE.  No other call may be running.
  ~StatusRequests() override;

  // Puts another configuration in force.  Requests whose definition did not change keep their
  // state.
  void SetServices(const v1::Config& config);

  void OnPublication(const ObservedPublication& observed) override;

  // Replies with the state, or with an error:
  //   UNKNOWN_REQUEST  the service has no such request
  //   UNAVAILABLE      too many requests are waiting
  // and the errors of StatusTable::Answer().
  void Handle(const v1::ClientRequest& request, Reply reply) override;

  // The errors are those of Handle(), and
  //   EVENTS_MISSED  an event of the channel was dropped because the queue was full
  void AskState(const std::shared_ptr<WorkerLink>& link,
                const SubscribeRequest& subscribe) override;

  // How many events were dropped because the queue was full.
  int64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

 private:
  // Which events of a service some rule uses.
  struct Filter {
    absl::flat_hash_set<std::string> exact;
    std::vector<std::string> patterns;  // "component.*"

    bool Admits(absl::string_view event) const;
    bool operator==(const Filter&) const = default;
  };
  using Filters = absl::flat_hash_map<std::string, Filter>;  // by service

  using Tables = absl::flat_hash_map<std::string, std::unique_ptr<StatusTable>>;  // by request

  struct Event {
    std::string service;
    std::string channel;
    PublicationPtr publication;
  };
  struct Question;     // one client request
  struct Definitions;  // the status requests of a new configuration
  using Item = std::variant<Event, std::unique_ptr<Question>, std::unique_ptr<Definitions>>;

  // Remembers that an event of the channel was dropped.
  void Miss(absl::string_view service, absl::string_view channel)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Run();
  void Perform(const Event& event);
  void Perform(const std::unique_ptr<Question>& question);
  void Perform(const std::unique_ptr<Definitions>& definitions);
  void TellDropped();

  const Clock* const clock_;

  // The filters in force, read by publishing threads without a lock.  Replaced filters stay in
  // all_filters_ until this object is destroyed, because a thread may still read them.  A reload
  // that changes no filter adds none.
  std::atomic<const Filters*> filters_;
  std::atomic<int64_t> dropped_ = 0;

  Mutex mu_;  // a leaf
  CondVar wake_;
  std::vector<std::unique_ptr<const Filters>> all_filters_ ABSL_GUARDED_BY(mu_);
  std::vector<Item> queue_ ABSL_GUARDED_BY(mu_);
  size_t queued_events_ ABSL_GUARDED_BY(mu_) = 0;
  size_t queued_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  size_t queued_requests_ ABSL_GUARDED_BY(mu_) = 0;
  // By service and channel; with an empty channel: all of the service's.
  absl::flat_hash_set<std::pair<std::string, std::string>> missed_ ABSL_GUARDED_BY(mu_);
  bool due_ ABSL_GUARDED_BY(mu_) = false;  // the thread must work the queue off now
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;

  // Only touched by thread_.
  absl::flat_hash_map<std::string, Tables> tables_;  // by service
  int64_t told_dropped_ = 0;

  std::thread thread_;  // the last member, because it uses all others
};

}  // namespace fanwire::control
