// WorkerRegistry keeps the attached workers and their state.  It sends them the configuration, asks
// them queries, grants them connections, and notices when they fall silent.
//
// A worker is identified by its id ("worker-0"), and each of its processes by an incarnation.  A
// process that was replaced is refused from then on.  If two processes of one worker live at the
// same time, the one that started later wins, or the one that attached later if their starts cannot
// be compared (common/incarnation.h).
//
// Threading: safe from every thread.  Its mutex is the first in the lock order (before those of
//            the channels' shards and of WorkerLink); callbacks run without it.  Messages and
//            callbacks of one worker are in order.  They run on the caller's thread, or on a thread
//            that is already running this worker's.
// Ownership: shares the links; borrows subscriptions, receipts, ledger, clock and timers.  The
//            timers must have stopped, and observers and handlers be idle, before it is destroyed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/clock.h"

namespace fanwire {
class TimerQueue;
}  // namespace fanwire

namespace fanwire::v1 {
class ClientCancel;
class ClientReply;
class ClientRequest;
class ConfigAck;
class DrainStatus;
class Heartbeat;
class Hello;
class PresenceUpdate;
class Query;
class QueryReply;
class RegisteredRequests;
class SlotRequest;
class WorkerConfig;
class WorkerConfigState;
class WorkerInfo;
}  // namespace fanwire::v1

namespace fanwire::control {

class Ledger;
class PresenceHandler;
class ReceiptTracker;
class Subscriptions;
class WorkerLink;

// WorkerObserver learns which workers attach and detach.  The supervisor implements it.  Called
// without locks; the calls of one worker are in order.
class WorkerObserver {
 public:
  virtual ~WorkerObserver() = default;

  virtual void OnWorkerAttached(absl::string_view worker_id, uint32_t slot, uint32_t pid,
                                bool supervised) = 0;
  // The worker's stream ended, or it missed three heartbeats (`silent`).
  virtual void OnWorkerDetached(absl::string_view worker_id, uint32_t pid, bool silent) = 0;
};

// Answers one kind of clients' requests ("history", "get_workflow_status").  Handle() runs on a
// gRPC thread and must not block; `reply` may be called then or later, once, from any thread.
class ClientRequestHandler {
 public:
  virtual ~ClientRequestHandler() = default;

  using Reply = std::function<void(v1::ClientReply)>;
  virtual void Handle(const v1::ClientRequest& request, Reply reply) = 0;
};

// Answers the clients' requests that have no handler of their own, and hears when nobody waits for
// an answer any more.  Calls come on gRPC threads and must not block; those of one attachment
// (`link`, a WorkerLink's id) come in order, but LinkGone() may come in between.
class DefaultRequestHandler {
 public:
  virtual ~DefaultRequestHandler() = default;

  using Reply = ClientRequestHandler::Reply;
  // `reply` may be called then or later, once, from any thread, or never after Cancel().
  virtual void Handle(uint64_t link, const v1::ClientRequest& request, Reply reply) = 0;
  virtual void Cancel(uint64_t link, const v1::ClientCancel& cancel) = 0;
  // All requests of the attachment are cancelled.
  virtual void LinkGone(uint64_t link) = 0;
};

// The answers of all workers to a Query.
struct QueryResult {
  std::vector<v1::QueryReply> replies;  // in no order; one worker may send several
  // Workers that may hold connections: those that were asked, and those that could not be asked
  // because they are not attached any more.
  int32_t workers_total = 0;
  int32_t workers_asked = 0;
  int32_t workers_answered = 0;  // completely
};

// The contents of a Drain message; see worker.proto.
struct DrainOrder {
  absl::Duration window = absl::Seconds(5);
  absl::Duration deadline = absl::Seconds(15);
  uint32_t close_code = 0;  // 0: 1012
  std::string reason;
  bool exit = true;  // the process ends when it is drained
};

class WorkerRegistry {
 public:
  struct Options {
    absl::Duration heartbeat_interval = absl::Seconds(1);
    uint64_t control_incarnation = 0;
    absl::Duration forget_dead_after = absl::Minutes(10);
  };

  static std::unique_ptr<WorkerRegistry> Make(const Options& options, Subscriptions* subscriptions,
                                              ReceiptTracker* receipts, Ledger* ledger,
                                              const Clock* clock, TimerQueue* timers);

  virtual ~WorkerRegistry() = default;

  // ------------------------------------------------------------------ for WorkerService

  // Call when a worker says Hello.  Closes an older attachment of the same worker.  Queues Welcome
  // and the configuration.
  //   FAILED_PRECONDITION  an incarnation that has been replaced, or a second Hello on one link
  //   INVALID_ARGUMENT     another protocol version, or no worker_id
  virtual absl::Status Attach(const v1::Hello& hello, const std::shared_ptr<WorkerLink>& link) = 0;
  // Call when the stream has ended or must end.  Closes the link and clears its interest.  If the
  // worker has another attachment by now, that one is not touched.  Call it once more when no item
  // of the stream can follow, because an item that was being handled may have added interest.
  virtual void Detach(const std::shared_ptr<WorkerLink>& link, const absl::Status& reason) = 0;
  virtual void OnConfigAck(const std::shared_ptr<WorkerLink>& link, const v1::ConfigAck& ack) = 0;
  virtual void OnHeartbeat(const std::shared_ptr<WorkerLink>& link,
                           const v1::Heartbeat& heartbeat) = 0;
  virtual void OnSlotRequest(const std::shared_ptr<WorkerLink>& link,
                             const v1::SlotRequest& request) = 0;
  virtual void OnDrainStatus(const std::shared_ptr<WorkerLink>& link,
                             const v1::DrainStatus& status) = 0;
  virtual void OnQueryReply(const std::shared_ptr<WorkerLink>& link,
                            const v1::QueryReply& reply) = 0;
  virtual void OnClientRequest(const std::shared_ptr<WorkerLink>& link,
                               const v1::ClientRequest& request) = 0;
  virtual void OnClientCancel(const std::shared_ptr<WorkerLink>& link,
                              const v1::ClientCancel& cancel) = 0;
  virtual void OnPresence(const std::shared_ptr<WorkerLink>& link,
                          const v1::PresenceUpdate& update) = 0;
  // Call after Subscriptions::EndSnapshot(), when the worker has reported all of its interest.
  virtual void OnSnapshotDone(const std::shared_ptr<WorkerLink>& link) = 0;

  // ------------------------------------------------------------------ configuration

  // Puts `config` in force and sends it to all attached workers.  Workers that attach later get it
  // then.  `nonce` and `attached_workers` are filled in for each worker.
  virtual void SetConfig(std::shared_ptr<const v1::WorkerConfig> config) = 0;
  // Tells all workers, those that attach later too, which requests responders serve at present.  Of
  // two calls the one with the higher `version` holds.
  virtual void SetRegisteredRequests(uint64_t version,
                                     std::shared_ptr<const v1::RegisteredRequests> registered) = 0;
  // Sets how many connections a service may have on all workers together.
  virtual void SetSlotLimit(absl::string_view service, uint32_t max_connections) = 0;
  // Returns the configuration that each attached worker has in force.  `pending`: the worker has
  // not answered the last SetConfig() yet.
  virtual std::vector<v1::WorkerConfigState> ConfigStates() const = 0;

  // ------------------------------------------------------------------ queries and orders

  // Returns the workers that are or were attached, sorted by id, with their present state, load and
  // queues.  A worker that is not attached is DEAD; only the supervisor knows whether it will be
  // started again.  Workers that this control did not start are forgotten when they have drained
  // and are gone, or have been dead for `forget_dead_after`.
  virtual std::vector<v1::WorkerInfo> Workers() const = 0;
  // Returns one of them.
  //   NOT_FOUND  no worker of this id is or was attached
  virtual absl::StatusOr<v1::WorkerInfo> GetWorker(absl::string_view worker_id) const = 0;
  virtual int32_t attached_count() const = 0;
  // Returns how many of the attached workers clients can connect to: they have a configuration and
  // an open port, and are not draining.
  virtual int32_t serving_count() const = 0;
  // Forgets a worker that is not attached.  Call when it will not be started again.
  virtual void Forget(absl::string_view worker_id) = 0;
  // Tells whether a process of this worker runs that an earlier control started.  Until it
  // attaches, the worker counts as one that may hold connections and cannot be asked.
  virtual void Expect(absl::string_view worker_id, bool runs) = 0;
  // Changes Options::forget_dead_after.
  virtual void SetForgetDeadAfter(absl::Duration time) = 0;

  // Sends the query to all attached workers.  Calls `done` once: when all that are still attached
  // have answered, or at `timeout` with the answers so far.  A worker that is known but not
  // attached is counted in workers_total, unless it had no session left when its drain ended.
  virtual void QueryAll(const v1::Query& query, absl::Duration timeout,
                        std::function<void(QueryResult)> done) = 0;

  // Marks a worker as draining, so that it no longer counts as serving.  Call before Drain() or the
  // supervisor drains it.  Does nothing if the worker is not attached or does not serve clients.
  //   FAILED_PRECONDITION  `unless_last` is set, and no other worker serves clients
  virtual absl::Status BeginDrain(absl::string_view worker_id, bool unless_last) = 0;
  // Drains a worker.  Calls `progress(remaining, done)` for each of the worker's reports, and a
  // last time with `done` when the worker is drained or has detached.
  //   NOT_FOUND  the worker is not attached
  virtual absl::Status Drain(absl::string_view worker_id, const DrainOrder& order,
                             std::function<void(int64_t, bool)> progress) = 0;

  // ------------------------------------------------------------------ wiring; before the start

  // Sets the handler of the requests of this name, for all services.  It must outlive the registry.
  virtual void SetRequestHandler(absl::string_view request, ClientRequestHandler* handler) = 0;
  // Sets the handler of all other requests.  Without it they are answered with UNKNOWN_REQUEST.
  virtual void SetDefaultRequestHandler(DefaultRequestHandler* handler) = 0;
  // Sets who hears of members of channels.  Without it nobody does.
  virtual void SetPresenceHandler(PresenceHandler* handler) = 0;
  virtual void AddObserver(WorkerObserver* observer) = 0;

  // Sends heartbeats, detaches silent workers and takes back idle connections.  Call once per
  // heartbeat interval.
  virtual void Tick() = 0;

  // Ends all attachments with `status`.
  virtual void CloseAll(const absl::Status& status) = 0;
};

}  // namespace fanwire::control
