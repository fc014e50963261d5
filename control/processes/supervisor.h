// Supervisor keeps the local workers running: the `fanwire-fanout` processes with the ids
// "worker-0", "worker-1" and so on.  worker_processes.h describes how it starts and ends them.
//
// Threading: all functions are safe from every thread; only Stop() and the destructor block.  The
//            others post a task to the supervisor's own thread.  That thread, without holding a
//            lock, starts and kills processes, calls the registry, and runs all callbacks, which
//            must be short.  The mutex guards the posted tasks and what Workers() returns; it is a
//            leaf.
// Ownership: borrows its arguments.  If Stop() is not called, the workers go on running.
// Cost:      10 turns a second, 100 while a worker starts or ends; each is O(workers).
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
             WorkerCommands* commands);
  ~Supervisor() override;
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  // Starts the thread, which starts the workers.  Call it when control is listening.
  void Start();

  // Puts changed settings in force.  Starts missing workers, and drains and forgets those over the
  // configured number.
  void Apply(const SupervisorSettings& settings);

  // Drains a worker for an operator.  The worker stays stopped until Restart().  A worker that is
  // not attached is sent SIGTERM instead.  Calls `progress` with the number of remaining sessions,
  // and a last time with `done` when the process has ended.
  //   NOT_FOUND  no local worker has this id.  A worker that something else started is drained
  //              through WorkerRegistry.
  absl::Status Drain(absl::string_view id, const DrainOrder& order, OnDrain progress);

  // Starts the workers that are stopped and, unless `only_stopped`, replaces the others.  It
  // handles one worker after another: drains it, starts it, and waits until it is ready.  `ids`
  // gives the order; empty means all.  A second restart begins when the first is over.  The last
  // report has the status:
  //   DEADLINE_EXCEEDED  a worker was not ready in time; the workers after it were not touched
  //   UNAVAILABLE        control is stopping
  // The call itself returns:
  //   NOT_FOUND          no local worker has one of these ids; nothing is done
  absl::Status Restart(const std::vector<std::string>& ids, bool only_stopped, OnRestart progress);

  // Ends all workers at the same time: drains them, then sends SIGTERM, and SIGKILL after
  // `timeout`.  Returns when their processes have ended, or soon after `timeout`.  Starts no worker
  // any more.
  void Stop(absl::Duration timeout);

  // The local workers, by number.
  std::vector<ProcessInfo> Workers() const;

  void CollectMetrics(MetricSink& sink) const;

  // WorkerObserver
  void OnWorkerAttached(absl::string_view worker_id, uint32_t number, uint32_t pid,
                        bool supervised) override;
  void OnWorkerDetached(absl::string_view worker_id, uint32_t pid, bool silent) override;

  // For tests, which do not call Start(): one turn of the thread, the beginning of Stop(), and
  // whether Stop() is over.
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
  WorkerProcesses processes_;  // only touched by the thread
  std::thread thread_;
};

}  // namespace fanwire::control
