// StatusRequests answers clients' status requests (get_workflow_status …) from the events really
// seen, as the configuration says (StatusRequest).
//
// Publishing threads only look an event's name up and put those that matter on a queue.  A thread
// of its own applies them, in batches and before each answer: requests pass through the same queue,
// so an answer reflects every event that was accepted before the request.
//
// Threading: safe from every thread; replies come on its own thread.
// Ownership: keeps publications of the queue alive until they are applied.
// Cost:      OnPublication() two hash lookups for events that feed nothing, else a push under a
//            mutex that is a leaf.  The queue holds at most kMaxQueuedEvents of kMaxQueuedBytes;
//            over that events are dropped, counted and told in the log.
// Source:    docs/configuration.md "StatusRequest"
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "common/mutex.h"
#include "control/routing/publication_observer.h"
#include "control/workers/worker_registry.h"

namespace fanwire::v1 {
class Config;
}  // namespace fanwire::v1

namespace fanwire::control {

class StatusTable;

class StatusRequests final : public PublicationObserver, public ClientRequestHandler {
 public:
  static constexpr size_t kMaxQueuedEvents = 65'536;
  static constexpr size_t kMaxQueuedBytes = 64 << 20;
  static constexpr size_t kMaxQueuedRequests = 16'384;

  // `config` is resolved and checked (options.h).
  explicit StatusRequests(const v1::Config& config);
  // Requests that still wait are answered UNAVAILABLE.  No call may be under way.
  ~StatusRequests() override;

  // Puts another configuration in force.  What is known for requests whose definition is the same
  // stays known.
  void SetServices(const v1::Config& config);

  void OnPublication(const ObservedPublication& observed) override;

  // UNKNOWN_REQUEST if the service has no such request, UNAVAILABLE if too many wait; the rest see
  // StatusTable::Answer().
  void Handle(const v1::ClientRequest& request, Reply reply) override;

  // Events that found the queue full.
  int64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

 private:
  // Which events of a service feed anything.
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
  struct Question;     // a client's
  struct Definitions;  // a configuration's
  using Item = std::variant<Event, std::unique_ptr<Question>, std::unique_ptr<Definitions>>;

  void Run();
  void Perform(const Event& event);
  void Perform(const std::unique_ptr<Question>& question);
  void Perform(const std::unique_ptr<Definitions>& definitions);
  void TellDropped();

  // What publishing threads look at.  A replaced one stays alive as long as this does, since a
  // thread may be in it; a reload that changes no filter makes none.
  std::atomic<const Filters*> filters_;
  std::atomic<int64_t> dropped_ = 0;

  Mutex mu_;  // a leaf
  CondVar wake_;
  std::vector<std::unique_ptr<const Filters>> all_filters_ ABSL_GUARDED_BY(mu_);
  std::vector<Item> queue_ ABSL_GUARDED_BY(mu_);
  size_t queued_events_ ABSL_GUARDED_BY(mu_) = 0;
  size_t queued_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  size_t queued_requests_ ABSL_GUARDED_BY(mu_) = 0;
  bool due_ ABSL_GUARDED_BY(mu_) = false;  // the queue is to be worked off now
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;

  // Of the thread alone.
  absl::flat_hash_map<std::string, Tables> tables_;  // by service
  int64_t told_dropped_ = 0;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace fanwire::control
