// WorkerProcesses is what the supervisor knows and decides: the slots 0 … N-1 of local workers, each
// with its process, its state and what is to become of it.
//
//              attach                     silent or stream ended
//   kStarting ────────▶ kRunning ──────────────────────────────▶ kDead
//       ▲                  │ drain                                 │ attach again: kRunning
//       │ when due         ▼                                       │ not in time: SIGKILL
//   kBackoff            kDraining ──▶ kStopped                     │
//       ▲                                (by an operator)          │
//       └──────────────────── ended ◀──────────────────────────────┘
//
// A worker of an earlier control holds the lock of its slot: its process is adopted, and has
// adopt_window to attach.  A slot whose lock is free gets a new process at once.  A worker that
// ended is started again after up to 100 ms, doubled each time up to 10 s, and from 100 ms again
// once it has been attached for `stable_after`.
//
// Threading: one thread, without locks; callbacks run on it.
// Ownership: borrows host and orders.
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
#include "control/processes/worker_commands.h"
#include "control/workers/worker_registry.h"

namespace fanwire::control {

enum class ProcessState : uint8_t {
  kStarting,  // its process runs and has not attached yet
  kRunning,   // attached
  kDraining,  // told to end, by drain order or SIGTERM
  kDead,      // not attached any more; the process runs
  kBackoff,   // no process; to be started again
  kStopped,   // no process; drained by an operator, or control stops
};

constexpr int kProcessStates = 6;
absl::string_view ProcessStateName(ProcessState state);  // "starting"

struct ProcessInfo {
  std::string id;  // "worker-0"
  uint32_t slot = 0;
  uint32_t pid = 0;  // 0: no process
  ProcessState state = ProcessState::kBackoff;
  int64_t restarts = 0;
};

// What a reload may change.
struct SupervisorSettings {
  int workers = 0;
  absl::Duration frozen_kill_after = absl::Seconds(10);
  absl::Duration drain_window = absl::Seconds(5);
  absl::Duration drain_deadline = absl::Seconds(15);
};

struct SupervisorOptions {
  std::string worker_program = {};   // path of fanwire-fanout
  std::string control_address = {};  // "unix:/run/fanwire/control.sock"
  std::string runtime_dir = {};      // where workers keep their locks
  SupervisorSettings settings = {};
  absl::Duration adopt_window = absl::Seconds(3);
  // A process that has not attached by then is killed; also one whose stream ended.
  absl::Duration attach_timeout = absl::Seconds(30);
  absl::Duration stable_after = absl::Seconds(10);
  // A rolling restart ends with an error if a worker takes longer to be ready.
  absl::Duration ready_timeout = absl::Seconds(60);
  std::function<uint64_t()> random = nullptr;  // for the backoff's jitter
};

// What Restart() reports of one worker.
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
  // `post` runs a function on this thread, between BeginTurn() and EndTurn(); the registry's
  // progress comes back by it, even after the end of this object: it then drops the function.
  using Post = std::function<void(std::function<void()>)>;

  WorkerProcesses(SupervisorOptions options, absl::Duration now, ProcessHost* host,
                  WorkerCommands* orders, Post post);
  WorkerProcesses(const WorkerProcesses&) = delete;
  WorkerProcesses& operator=(const WorkerProcesses&) = delete;

  // Each turn: BeginTurn(), what has happened since the last one, EndTurn().
  void BeginTurn(absl::Duration now);
  void EndTurn();

  // As the functions of Supervisor.
  void Apply(const SupervisorSettings& settings);
  void Drain(const std::string& id, const DrainOrder& order, const OnDrain& progress);
  void Restart(std::vector<std::string> ids, bool only_stopped, OnRestart progress);
  void Stop(absl::Duration deadline);
  void OnAttached(const std::string& id, uint32_t number, pid_t pid, bool supervised);
  void OnDetached(const std::string& id, pid_t pid, bool silent);

  std::vector<ProcessInfo> Infos() const;
  // Processes started for slots that had one before, over all slots that ever were.
  int64_t restarts() const { return restarts_; }
  // Nothing is under way: the next turn may take its time.
  bool calm() const;
  // Stop() is over: all processes are gone, or have outlived SIGKILL for a while.
  bool stopped() const;

 private:
  // What becomes of a slot when its process has ended.
  enum class Goal : uint8_t { kRun, kReplace, kStop, kRemove };

  struct Slot {
    uint32_t number = 0;
    std::string id;
    ProcessState state = ProcessState::kBackoff;
    Goal goal = Goal::kRun;
    pid_t pid = 0;           // 0: no process
    pid_t attached_pid = 0;  // what the registry has attached under this id; 0: nothing
    bool adopted = false;
    int64_t launches = 0;  // processes so far
    Backoff backoff;
    absl::Duration since = {};     // in `state`
    absl::Duration start_at = {};  // in kBackoff
    absl::Duration term_at = absl::InfiniteDuration();
    absl::Duration kill_at = absl::InfiniteDuration();
    std::string kill_reason = {};
    std::vector<OnDrain> waiting = {};  // for its end
  };

  struct Rolling {
    std::vector<std::string> ids;
    bool only_stopped = false;
    OnRestart progress;
    size_t next = 0;
    enum class Phase : uint8_t { kNext, kEnding, kStarting } phase = Phase::kNext;
    absl::Duration give_up = {};
  };

  Slot& Add(uint32_t number);
  Slot* Find(absl::string_view id);
  void ChangeState(Slot& slot, ProcessState to, absl::string_view reason);
  void KillAt(Slot& slot, absl::Duration at, absl::string_view reason);
  void Signal(Slot& slot, int signal);
  bool Adopt(Slot& slot);
  void Launch(Slot& slot);
  void End(Slot& slot, Goal goal, const DrainOrder& order);
  DrainOrder Order(absl::string_view reason) const;
  void OnRemaining(const std::string& id, int64_t remaining);
  void OnExit(const ProcessExit& exit);
  void CheckTimes(Slot& slot);
  void AdvanceRestarts();
  bool AdvanceRestart(Rolling& rolling);
  void Report(const Rolling& rolling, absl::string_view id, absl::string_view state);
  void Finish(const Rolling& rolling, const absl::Status& status);

  const SupervisorOptions options_;
  ProcessHost* const host_;
  WorkerCommands* const orders_;
  const Post post_;

  SupervisorSettings settings_;
  absl::Duration now_;  // of this turn
  std::map<uint32_t, Slot> slots_;
  std::deque<Rolling> rolling_;
  int64_t restarts_ = 0;
  bool stopping_ = false;
  absl::Duration stop_deadline_ = absl::InfiniteDuration();
};

}  // namespace fanwire::control
