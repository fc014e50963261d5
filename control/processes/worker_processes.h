// WorkerProcesses keeps N worker processes of this machine running.  It knows the process and the
// state of each worker, and decides when to start, drain, restart and kill it.
//
//              attach                     silent or stream ended
//   kStarting ────────▶ kRunning ──────────────────────────────▶ kDead
//       ▲                  │ drain                                 │ attach again: kRunning
//       │ when due         ▼                                       │ frozen: SIGKILL
//   kBackoff            kDraining ──▶ kStopped                     │
//       ▲                                (by an operator)          │
//       └──────────────────── ended ◀──────────────────────────────┘
//
// A worker that an earlier control started still holds its process lock (worker-N.lock).  Its
// process is adopted and has `adopt_window` to attach.  If the lock is free, a new process is
// started at once.  A worker whose process has ended is started again after a random delay of up to
// 100 ms.  This bound doubles each time up to 10 s, and is 100 ms again when the worker has been
// attached for `stable_after`.
//
// A worker that was attached before, to this control or an earlier one, may be serving clients.  If
// it is not attached any more, it is killed only if it is frozen: if its event loop has not run for
// `frozen_kill_after`.  A worker that runs and does not attach drains and ends by itself after
// `orphan_timeout`.
//
// Threading: one thread, without locks; callbacks run on it.
// Ownership: borrows host and commands.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/backoff.h"
#include "control/processes/process_host.h"
#include "control/processes/process_state.h"
#include "control/processes/worker_commands.h"
#include "control/workers/worker_registry.h"

namespace fanwire::control {

// The settings that a reload may change.
struct SupervisorSettings {
  int workers = 0;
  absl::Duration frozen_kill_after = absl::Seconds(10);
  absl::Duration drain_window = absl::Seconds(5);
  absl::Duration drain_deadline = absl::Seconds(15);
  // A worker that has not been attached for this time drains and ends by itself.
  absl::Duration orphan_timeout = absl::Minutes(10);
};

struct SupervisorOptions {
  std::string worker_program = {};   // path of fanwire-fanout
  std::string control_address = {};  // "unix:/run/fanwire/control.sock"
  std::string runtime_dir = {};      // folder of the process locks
  SupervisorSettings settings = {};
  absl::Duration adopt_window = absl::Seconds(3);
  // A process that does not attach within this time of its start is killed.  A process that does
  // not attach again within this time of the end of its last stream is killed if it is frozen.
  absl::Duration attach_timeout = absl::Seconds(30);
  absl::Duration stable_after = absl::Seconds(10);
  // A rolling restart ends with an error if a worker is not ready within this time.
  absl::Duration ready_timeout = absl::Seconds(60);
  std::function<uint64_t()> random = nullptr;  // for the backoff's jitter
};

// A report of Restart() on one worker.
struct RestartProgress {
  std::string id = {};     // empty in the last report
  std::string state = {};  // "draining", "starting", "ready"
  bool done = false;       // the last report
  absl::Status status = {};
};
using OnRestart = std::function<void(const RestartProgress&)>;
using OnDrain = std::function<void(int64_t remaining, bool done)>;

class WorkerProcesses {
 public:
  // `post` runs a function on this object's thread, between BeginTurn() and EndTurn().  The
  // registry's progress reports arrive through it.  After this object was destroyed, `post` must
  // drop functions instead of running them.
  using Post = std::function<void(std::function<void()>)>;

  WorkerProcesses(SupervisorOptions options, absl::Duration now, ProcessHost* host,
                  WorkerCommands* commands, Post post);
  WorkerProcesses(const WorkerProcesses&) = delete;
  WorkerProcesses& operator=(const WorkerProcesses&) = delete;

  // A turn is BeginTurn(), then a call of one of the functions below for each event since the last
  // turn, then EndTurn().
  void BeginTurn(absl::Duration now);
  void EndTurn();

  // See the functions of the same names in supervisor.h.
  void Apply(const SupervisorSettings& settings);
  void Drain(const std::string& id, const DrainOrder& order, const OnDrain& progress);
  void Restart(std::vector<std::string> ids, bool only_stopped, OnRestart progress);
  void Stop(absl::Duration deadline);
  void OnAttached(const std::string& id, uint32_t number, pid_t pid, bool supervised);
  void OnDetached(const std::string& id, pid_t pid, bool silent);

  std::vector<ProcessInfo> Infos() const;
  // Returns how many processes were started for workers that had a process before.
  int64_t restarts() const { return restarts_; }
  // Returns whether no worker is starting or ending, so that the next turn may be later than usual.
  bool calm() const;
  // Returns whether Stop() is over: all processes have ended, or still run some time after SIGKILL.
  bool stopped() const;

 private:
  // What to do when the process of a worker has ended.
  enum class Goal : uint8_t { kRun, kReplace, kStop, kRemove };

  struct LocalWorker {
    uint32_t number = 0;
    std::string id;
    ProcessState state = ProcessState::kBackoff;
    Goal goal = Goal::kRun;
    pid_t pid = 0;           // 0: no process
    pid_t attached_pid = 0;  // of the process that is attached under this id; 0: none
    bool adopted = false;
    int64_t launches = 0;  // number of processes so far
    Backoff backoff;
    absl::Duration since = {};     // when `state` began
    absl::Duration start_at = {};  // kBackoff: when to start a process
    absl::Duration term_at = absl::InfiniteDuration();
    absl::Duration kill_at = absl::InfiniteDuration();
    std::string kill_reason = {};
    // When to kill it if its event loop stands still, and the reason.
    absl::Duration frozen_at = absl::InfiniteDuration();
    std::string frozen_reason = {};
    int64_t activity = 0;  // ProcessHost::Activity() as of activity_at
    absl::Duration activity_at = {};
    std::vector<OnDrain> waiting = {};  // called when the process has ended
  };

  struct Rolling {
    std::vector<std::string> ids;
    bool only_stopped = false;
    OnRestart progress;
    size_t next = 0;
    enum class Phase : uint8_t { kNext, kEnding, kStarting } phase = Phase::kNext;
    absl::Duration give_up = {};
  };

  LocalWorker& Add(uint32_t number);
  LocalWorker* Find(absl::string_view id);
  void ChangeState(LocalWorker& worker, ProcessState to, absl::string_view reason);
  void KillAt(LocalWorker& worker, absl::Duration at, absl::string_view reason);
  void Kill(LocalWorker& worker, absl::string_view reason);
  // Call when a worker that may serve clients is not attached any more.  Kills it at that time if
  // it is frozen.  If it is not, checks again later.
  void KillFrozenAt(LocalWorker& worker, absl::Duration at, absl::string_view reason);
  void LookWhetherFrozen(LocalWorker& worker);
  void Signal(LocalWorker& worker, int signal);
  bool Adopt(LocalWorker& worker);
  void Launch(LocalWorker& worker);
  void End(LocalWorker& worker, Goal goal, const DrainOrder& order);
  DrainOrder Order(absl::string_view reason) const;
  void OnRemaining(const std::string& id, int64_t remaining);
  void OnExit(const ProcessExit& exit);
  void CheckTimes(LocalWorker& worker);
  void AdvanceRestarts();
  bool AdvanceRestart(Rolling& rolling);
  void Report(const Rolling& rolling, absl::string_view id, absl::string_view state);
  void Finish(const Rolling& rolling, const absl::Status& status);

  const SupervisorOptions options_;
  ProcessHost* const host_;
  WorkerCommands* const commands_;
  const Post post_;

  SupervisorSettings settings_;
  absl::Duration now_;  // of this turn
  std::map<uint32_t, LocalWorker> local_workers_;
  std::deque<Rolling> rolling_;
  int64_t restarts_ = 0;
  bool stopping_ = false;
  absl::Duration stop_deadline_ = absl::InfiniteDuration();
};

}  // namespace fanwire::control
