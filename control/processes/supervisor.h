// Supervisor keeps the local workers running: `fanwire-fanout` processes, one per slot, "worker-0"
// and so on by name.  What it does with them is told in worker_slots.h.
//
// Threading: all functions are safe from every thread, and none but Stop() and the destructor
//            blocks.  They leave a note; the work is done on a thread of its own, without locks:
//            process operations, the registry's functions, and all callbacks, which must be short.
//            Its mutex guards the notes and what Slots() tells, and is a leaf.
// Ownership: borrows all that it is given.  Without Stop() the workers live on.
// Cost:      10 turns a second, 100 while something is under way; O(workers) each.
// Source:    docs/architecture.md, "Processes"
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/metrics.h"
#include "control/processes/process_host.h"
#include "control/processes/worker_commands.h"
#include "control/processes/worker_processes.h"
#include "control/workers/worker_registry.h"

namespace fanwire::control {

class Supervisor final : public WorkerObserver {
 public:
  Supervisor(SupervisorOptions options, const Clock* clock, ProcessHost* host,
             WorkerCommands* orders);
  ~Supervisor() override;
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  // Starts the thread, and with it the workers: control listens by now.
  void Start();

  // Puts changed settings in force.  More workers are started; those over the number are drained
  // and forgotten.
  void Apply(const SupervisorSettings& settings);

  // Drains a worker for an operator.  Its slot stays stopped until Restart().  A worker that is not
  // attached gets SIGTERM.  `progress` is called with the remaining sessions, and the last time
  // with done, when the process is gone.
  //   NOT_FOUND  no slot has this id; a worker that something else started is the registry's alone
  absl::Status Drain(absl::string_view id, const DrainOrder& order, OnDrain progress);

  // Starts the slots that are stopped and, unless `only_stopped`, replaces the other workers, one
  // after another: drain, start, wait until it is ready.  `ids` in that order; empty: all.  Two
  // restarts run one after the other.  The last report's status:
  //   DEADLINE_EXCEEDED  a worker was not ready in time; those after it were left alone
  //   UNAVAILABLE        control stops
  // and of the call itself:
  //   NOT_FOUND          no slot has one of these ids; nothing is done
  absl::Status Restart(const std::vector<std::string>& ids, bool only_stopped, OnRestart progress);

  // Ends all workers, side by side: by drain, then SIGTERM, and SIGKILL after `timeout`.  Returns
  // when they are gone, or soon after `timeout`; nothing is started from then on.
  void Stop(absl::Duration timeout);

  // By number of slot.
  std::vector<ProcessInfo> Slots() const;

  void CollectMetrics(MetricSink& sink) const;

  // WorkerObserver
  void OnWorkerAttached(absl::string_view worker_id, uint32_t slot, uint32_t pid,
                        bool supervised) override;
  void OnWorkerDetached(absl::string_view worker_id, uint32_t pid, bool silent) override;

  // For tests without Start(): one turn of the thread; the beginning of Stop(), and whether it is
  // over.
  void Step();
  void BeginStop(absl::Duration timeout);
  bool stopped() const;

 private:
  struct Board;

  void Loop();
  void Publish();
  absl::Status CheckId(absl::string_view id) const;

  const Clock* const clock_;
  const std::shared_ptr<Board> board_;
  WorkerProcesses slots_;  // on the thread
  std::thread thread_;
};

}  // namespace fanwire::control
