// WorkerRegistry knows which workers are attached and how they are, pushes them their
// configuration, asks them questions, grants them connection slots and notices when they fall
// silent.
//
// One worker is known by its id ("worker-0"), one process of it by its incarnation.  A process that
// was replaced is refused from then on.  Of two that live at once the one that started later wins,
// or the one that attached later if their starts cannot be compared (common/incarnation.h).
//
// Threading: safe from every thread.  Its mutex is the first in the lock order (before those of
//            the channels' shards and of WorkerLink); callbacks run without it.  What concerns
//            one worker happens in order, on the thread that caused it or on one that is at it
//            already.
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
class ClientReply;
class ClientRequest;
class ConfigAck;
class DrainStatus;
class Heartbeat;
class Hello;
class Query;
class QueryReply;
class SlotRequest;
class WorkerConfig;
class WorkerConfigState;
class WorkerInfo;
}  // namespace fanwire::v1

namespace fanwire::control {

class Ledger;
class ReceiptTracker;
class Subscriptions;
class WorkerLink;

// Hears of workers coming and going; for the supervisor.  Called without locks, in order per
// worker.
class WorkerObserver {
 public:
  virtual ~WorkerObserver() = default;

  virtual void OnWorkerAttached(absl::string_view worker_id, uint32_t slot, uint32_t pid,
                                bool supervised) = 0;
  // Its stream ended, or it missed three heartbeats (`silent`).
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

// What all workers said to a Query.
struct QueryResult {
  std::vector<v1::QueryReply> replies;  // in no order; a worker's may be several
  // Workers that may hold connections: those that were asked, and those that could not be asked
  // because they were attached before and are not now.
  int32_t workers_total = 0;
  int32_t workers_asked = 0;
  int32_t workers_answered = 0;  // completely
};

// What Drain sends; see worker.proto.
struct DrainOrder {
  absl::Duration window = absl::Seconds(5);
  absl::Duration deadline = absl::Seconds(15);
  uint32_t close_code = 0;  // 0: 1012
  std::string reason;
  bool exit = true;  // the process ends when drained
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

  // A worker said Hello.  An older attachment of the same worker is closed.  Queues Welcome and the
  // configuration.
  //   FAILED_PRECONDITION  an incarnation that has been replaced, or a second Hello on one link
  //   INVALID_ARGUMENT     another protocol version, or no worker_id
  virtual absl::Status Attach(const v1::Hello& hello, const std::shared_ptr<WorkerLink>& link) = 0;
  // The stream ended or must end: closes the link and clears its interest.  The worker is as it was
  // if it has another attachment by now.  To be called once more when nothing of the stream can
  // follow, because an item that was under way may have told interest meanwhile.
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
  // All interest was told (after Subscriptions::EndSnapshot): the worker catches up from here.
  virtual void OnSnapshotDone(const std::shared_ptr<WorkerLink>& link) = 0;

  // ------------------------------------------------------------------ configuration

  // Puts `config` in force (nonce and attached_workers are filled per worker) and pushes it to all
  // that are attached; who attaches later gets it then.
  virtual void SetConfig(std::shared_ptr<const v1::WorkerConfig> config) = 0;
  // Connection slots of a service over all workers.
  virtual void SetSlotLimit(absl::string_view service, uint32_t max_connections) = 0;
  // How far each attached worker is; pending: it has not answered what was set last.
  virtual std::vector<v1::WorkerConfigState> ConfigStates() const = 0;

  // ------------------------------------------------------------------ questions and orders

  // Workers that are or were attached, by id; state, load and queues as of now.  One that is not
  // attached is DEAD: whether it is to come back is the supervisor's knowledge.  A worker that
  // something else started is forgotten when it has drained and gone, or was dead for
  // `forget_dead_after`.
  virtual std::vector<v1::WorkerInfo> Workers() const = 0;
  //   NOT_FOUND
  virtual absl::StatusOr<v1::WorkerInfo> GetWorker(absl::string_view worker_id) const = 0;
  virtual int32_t attached_count() const = 0;
  // Of them, those to which clients can connect: they took a configuration, have their ports open
  // and do not drain.
  virtual int32_t serving_count() const = 0;
  // Forgets a worker that is not attached: its slot is stopped or gone.
  virtual void Forget(absl::string_view worker_id) = 0;
  // Changes Options::forget_dead_after.
  virtual void SetForgetDeadAfter(absl::Duration time) = 0;

  // Asks all attached workers.  `done` is called once: when all that are still attached have
  // answered, or at `timeout` with the answers so far.  A worker that is known but not attached
  // counts into workers_total, unless it had no session left when its drain ended.
  virtual void QueryAll(const v1::Query& query, absl::Duration timeout,
                        std::function<void(QueryResult)> done) = 0;

  // `progress(remaining, done)` is called as the worker reports, the last time with done: drained,
  // or detached.
  //   NOT_FOUND  not attached
  virtual absl::Status Drain(absl::string_view worker_id, const DrainOrder& order,
                             std::function<void(int64_t, bool)> progress) = 0;

  // ------------------------------------------------------------------ wiring; before the start

  // `handler` answers requests of this name, of every service, and must outlive the registry.
  virtual void SetRequestHandler(absl::string_view request, ClientRequestHandler* handler) = 0;
  // Answers what no other handler does; without one such requests get UNKNOWN_REQUEST.
  virtual void SetDefaultRequestHandler(ClientRequestHandler* handler) = 0;
  virtual void AddObserver(WorkerObserver* observer) = 0;

  // Heartbeats out, silence noticed, slots reclaimed; once per heartbeat interval.
  virtual void Tick() = 0;

  // Ends all attachments with `status`.
  virtual void CloseAll(const absl::Status& status) = 0;
};

}  // namespace fanwire::control
