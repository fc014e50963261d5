// RequestDispatcher gives clients' requests to responders: processes of a service that answer
// requests themselves (ServeRequests).  Requests that no responder serves go on to the retained
// state.
//
//   a responder serves it      it is given to one with room, or waits for one
//   else a status request      the retained state answers
//   else listed in the configuration   UNAVAILABLE
//   else                       UNKNOWN_REQUEST
//
// The worker has already checked that the client may ask.  A request that was given to a responder
// ends once: by its answer, because the client waits no more, or with UNAVAILABLE when no responder
// is left to ask.
//
// Threading: safe from every thread.  Its mutex (kStreams) comes before the responders' own.
//            Replies are given, and responders flushed, without it, on the thread that caused them.
// Ownership: shares the responders' streams; borrows clock, timers and the retained state.  Timers
//            and streams must have ended before it is destroyed.
// Cost:      a map entry, a copy of the request's data and a look at the service's responders for
//            each request.
// Source:    proto/fanwire/v1/publish.proto ServeRequests
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/metrics.h"
#include "common/mutex.h"
#include "control/requests/responder_pool.h"
#include "control/requests/served_answer.h"
#include "control/workers/worker_registry.h"

namespace fanwire {
class TimerQueue;
}  // namespace fanwire

namespace fanwire::v1 {
class Config;
class RegisteredRequests;
class ResponderHello;
}  // namespace fanwire::v1

namespace fanwire::control {

class RequestDispatcher final : public DefaultRequestHandler {
 public:
  // Is told which requests responders serve, when that changes.  Of two calls the one with the
  // higher version is the later one.
  using OnRegistered =
      std::function<void(uint64_t version, std::shared_ptr<const v1::RegisteredRequests>)>;

  // Longest ResponderHello.responder_id, and most names in one hello.
  static constexpr size_t kMaxResponderIdBytes = 128;
  static constexpr int kMaxNames = 100;

  // `config` is resolved and checked (config_loader.h).
  RequestDispatcher(const v1::Config& config, ClientRequestHandler* retained, const Clock* clock,
                    TimerQueue* timers, OnRegistered on_registered);
  ~RequestDispatcher() override;

  // Puts another configuration in force.  Responders of services that are gone are told to go away.
  void SetServices(const v1::Config& config);

  // ---- DefaultRequestHandler

  void Handle(uint64_t link, const v1::ClientRequest& request, Reply reply) override;
  void Cancel(uint64_t link, const v1::ClientCancel& cancel) override;
  void LinkGone(uint64_t link) override;

  // ---- for the responders' streams

  // A responder has said hello.  Queues its welcome, and requests that wait.  Returns the number by
  // which the other functions know it.
  //   INVALID_ARGUMENT    bad names, or too many; a bad responder_id
  //   NOT_FOUND           no such service
  //   RESOURCE_EXHAUSTED  the service has limits.max_responders responders
  //   UNAVAILABLE         control is stopping
  absl::StatusOr<uint64_t> Join(const v1::ResponderHello& hello, std::shared_ptr<Responder> stream);
  void OnAnswer(uint64_t responder, uint64_t request_id, ServedAnswer answer);
  // The responder wants no more requests.
  void OnGoAway(uint64_t responder, const std::string& reason);
  // The stream is over.  May be called more than once.
  void OnGone(uint64_t responder, const absl::Status& reason);

  // Control stops: no responder is given requests any more, and those that are under way may be
  // answered until Close().
  void GoAway(const std::string& reason);
  // Answers all open requests with UNAVAILABLE.
  void Close();

  struct Counts {
    int64_t responders = 0;  // now
    int64_t open = 0;        // requests without an answer, now
    int64_t waiting = 0;     // of them, those without a responder
    std::array<int64_t, kServedResults> by_result = {};
    int64_t given_again = 0;      // to another responder
    int64_t ignored_answers = 0;  // to no request that is under way
    Histogram::Snapshot seconds;  // of answered requests
  };
  Counts CountsOf(absl::string_view service) const;

  // A responder as operators see it.
  struct ResponderInfo {
    std::string service;
    std::string id;
    std::vector<std::string> requests;
    int64_t outstanding = 0;
    int64_t max_concurrent = 0;
    bool leaving = false;
  };
  std::vector<ResponderInfo> Responders() const;

 private:
  struct Open;     // a request that was given to a responder or waits for one
  struct Service;  // one service's responders, requests and counts
  class After;     // what is done when the mutex is released
  using SourceKey = std::pair<uint64_t, uint64_t>;  // link, the worker's request_id

  Service* FindService(absl::string_view name) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Gives the request to a responder, lets it wait for one, or ends it.
  void Assign(Open* open, After* after) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // No responder can answer it.
  void Fail(Open* open, After* after) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The request is over; its reply, if there is to be one, was taken out.
  void End(Open* open, ServedResult result) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The client waits no more.
  void Drop(Open* open, ServedResult result, After* after) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Gives waiting requests to the responder as long as it has room.
  void FillUp(Service* service, ResponderPool::Entry* entry, After* after)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Looks at all waiting requests anew, after a responder has gone: ends those that no other one
  // serves.
  void AssignWaiting(Service* service, After* after) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void BeginLeaving(ResponderPool::Entry* entry, After* after) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EndIfDone(ResponderPool::Entry* entry, After* after) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void TellRegistered(After* after) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ArmTimer() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OnTimer();

  ClientRequestHandler* const retained_;
  const Clock* const clock_;
  TimerQueue* const timers_;
  const OnRegistered on_registered_;

  mutable Mutex mu_{LockRank::kStreams};
  absl::flat_hash_map<std::string, std::unique_ptr<Service>> services_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<uint64_t, Service*> by_responder_ ABSL_GUARDED_BY(mu_);
  std::map<uint64_t, std::unique_ptr<Open>> open_ ABSL_GUARDED_BY(mu_);
  std::map<SourceKey, uint64_t> by_source_ ABSL_GUARDED_BY(mu_);
  std::set<std::pair<absl::Duration, uint64_t>> deadlines_ ABSL_GUARDED_BY(mu_);
  absl::Duration armed_ ABSL_GUARDED_BY(mu_) = absl::InfiniteDuration();  // the earliest timer
  size_t max_responders_ ABSL_GUARDED_BY(mu_) = 0;
  size_t max_concurrent_ ABSL_GUARDED_BY(mu_) = 0;
  size_t max_open_ ABSL_GUARDED_BY(mu_) = 0;
  size_t max_open_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t next_request_ ABSL_GUARDED_BY(mu_) = 1;
  uint64_t next_responder_ ABSL_GUARDED_BY(mu_) = 1;
  uint64_t registered_version_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<std::string, std::set<std::string>> registered_ ABSL_GUARDED_BY(mu_);  // as told
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace fanwire::control
