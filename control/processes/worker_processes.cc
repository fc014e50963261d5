#include "control/processes/worker_processes.h"

#include <signal.h>

#include <algorithm>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/log.h"

namespace fanwire::control {

namespace {

constexpr absl::Duration kFirstBackoff = absl::Milliseconds(100);
constexpr absl::Duration kLongestBackoff = absl::Seconds(10);
// A worker is sent SIGTERM this long after the deadline of its drain order, and SIGKILL after twice
// this time.
constexpr absl::Duration kGrace = absl::Seconds(3);
// Stop(): workers that still drain this long before the deadline are sent SIGTERM.  Killed workers
// are waited for this long after the deadline.
constexpr absl::Duration kLastTerm = absl::Seconds(1);
constexpr absl::Duration kLastWait = absl::Seconds(2);
// A process lock that an unknown process holds is tried again after this time.
constexpr absl::Duration kRetryLock = absl::Milliseconds(100);
// If two turns are further apart than this, this process itself was stopped or got no CPU.
constexpr absl::Duration kLongestTurn = absl::Seconds(2);
// The shortest time of watching after which a worker counts as frozen.  Its event loop has a
// heartbeat to send every second.
constexpr absl::Duration kShortestLook = absl::Seconds(3);

std::string WorkerId(uint32_t number) { return absl::StrCat("worker-", number); }

}  // namespace

WorkerProcesses::WorkerProcesses(SupervisorOptions options, absl::Duration now, ProcessHost* host,
                                 WorkerCommands* commands, Post post)
    : options_(std::move(options)),
      host_(host),
      commands_(commands),
      post_(std::move(post)),
      settings_(options_.settings),
      now_(now) {
  for (int number = 0; number < settings_.workers; ++number) Add(number);
}

// ------------------------------------------------------------------------------- turns

// If this process was stopped, moves all deadlines by that time, in which it could not hear from
// the workers.
void WorkerProcesses::BeginTurn(absl::Duration now) {
  const absl::Duration before = std::exchange(now_, now);
  const absl::Duration lost = now_ - before;
  if (lost <= kLongestTurn) return;
  LogWarning("supervisor.late", {{"lost", lost}});
  if (stopping_) return;
  for (auto& [number, worker] : local_workers_) {
    worker.since += lost;
    worker.activity_at += lost;
    worker.frozen_at += lost;
    worker.term_at += lost;
    worker.kill_at += lost;
  }
  for (Rolling& rolling : rolling_) rolling.give_up += lost;
}

void WorkerProcesses::EndTurn() {
  for (const ProcessExit& exit : host_->Poll()) OnExit(exit);
  for (auto& [number, worker] : local_workers_) CheckTimes(worker);
  AdvanceRestarts();
  std::erase_if(local_workers_, [this](const auto& entry) {
    const LocalWorker& worker = entry.second;
    if (worker.goal != Goal::kRemove || worker.pid != 0 || worker.attached_pid != 0) return false;
    commands_->Forget(worker.id);
    return true;
  });
}

// ------------------------------------------------------------------------------- local workers

WorkerProcesses::LocalWorker& WorkerProcesses::Add(uint32_t number) {
  LocalWorker worker{.number = number,
                     .id = WorkerId(number),
                     .backoff = Backoff(kFirstBackoff, kLongestBackoff, options_.random),
                     .since = now_,
                     .start_at = now_};
  return local_workers_.emplace(number, std::move(worker)).first->second;
}

WorkerProcesses::LocalWorker* WorkerProcesses::Find(absl::string_view id) {
  for (auto& [number, worker] : local_workers_) {
    if (worker.id == id) return &worker;
  }
  return nullptr;
}

void WorkerProcesses::ChangeState(LocalWorker& worker, ProcessState to, absl::string_view reason) {
  LogInfo("worker.state", {{"worker", worker.id},
                           {"state", ProcessStateName(to)},
                           {"pid", worker.pid},
                           {"reason", reason}});
  worker.state = to;
  worker.since = now_;
  worker.term_at = worker.kill_at = worker.frozen_at = absl::InfiniteDuration();
}

void WorkerProcesses::KillAt(LocalWorker& worker, absl::Duration at, absl::string_view reason) {
  if (stopping_) at = std::min(at, stop_deadline_);
  if (at >= worker.kill_at) return;
  worker.kill_at = at;
  worker.kill_reason = std::string(reason);
}

void WorkerProcesses::Kill(LocalWorker& worker, absl::string_view reason) {
  worker.kill_at = worker.frozen_at = absl::InfiniteDuration();
  LogWarning("worker.kill", {{"worker", worker.id}, {"pid", worker.pid}, {"reason", reason}});
  Signal(worker, SIGKILL);
}

void WorkerProcesses::KillFrozenAt(LocalWorker& worker, absl::Duration at,
                                   absl::string_view reason) {
  // By this time a worker that runs must have drained and ended by itself.
  KillAt(worker, now_ + settings_.orphan_timeout + settings_.drain_deadline + 2 * kGrace, reason);
  if (at >= worker.frozen_at) return;
  worker.frozen_at = at;
  worker.frozen_reason = std::string(reason);
  worker.activity = host_->Activity(worker.pid);
  worker.activity_at = now_;
}

void WorkerProcesses::LookWhetherFrozen(LocalWorker& worker) {
  const int64_t activity = host_->Activity(worker.pid);
  if (activity != 0 && activity == worker.activity) {
    if (now_ - worker.activity_at >= kShortestLook) return Kill(worker, worker.frozen_reason);
    worker.frozen_at = worker.activity_at + kShortestLook;
    return;
  }
  // The worker runs, so it may go on serving its clients.
  LogWarning("worker.runs_unattached",
             {{"worker", worker.id}, {"pid", worker.pid}, {"reason", worker.frozen_reason}});
  worker.activity = activity;
  worker.activity_at = now_;
  worker.frozen_at = now_ + std::max(settings_.frozen_kill_after, kShortestLook);
}

void WorkerProcesses::Signal(LocalWorker& worker, int signal) {
  const absl::Status status = host_->Kill(worker.pid, signal);
  // The next Poll() reports a process that has just ended.
  if (status.ok() || absl::IsNotFound(status)) return;
  LogError("worker.signal_failed", {{"worker", worker.id}, {"signal", signal}, {"error", status}});
}

// Adopts the process that holds the worker's process lock.  Returns false if the lock is free.
bool WorkerProcesses::Adopt(LocalWorker& worker) {
  const absl::StatusOr<pid_t> holder =
      host_->AdoptHolder(absl::StrCat(options_.runtime_dir, "/", worker.id, ".lock"));
  if (!holder.ok()) {
    static LogLimiter limiter(absl::Seconds(10));
    if (int64_t left_out = 0; limiter.Admit(&left_out)) {
      LogWarning("worker.unknown_holder", {{"worker", worker.id}, {"error", holder.status()}});
    }
    worker.start_at = now_ + kRetryLock;
    if (worker.state != ProcessState::kBackoff)
      ChangeState(worker, ProcessState::kBackoff, "lock is held");
    return true;
  }
  if (*holder == 0) return false;
  worker.pid = *holder;
  worker.adopted = true;
  ++worker.launches;
  if (worker.attached_pid == worker.pid) {
    ChangeState(worker, ProcessState::kRunning, "adopted");
  } else {
    commands_->Expect(worker.id, true);
    ChangeState(worker, ProcessState::kStarting, "adopted; has not attached yet");
  }
  return true;
}

// Starts a process for a worker that has none, or adopts the one that holds its lock.
void WorkerProcesses::Launch(LocalWorker& worker) {
  worker.goal = Goal::kRun;
  if (Adopt(worker)) return;
  const absl::StatusOr<pid_t> pid = host_->Spawn(
      {options_.worker_program, "--control", options_.control_address, "--worker-id", worker.id,
       "--slot", absl::StrCat(worker.number), "--runtime-dir", options_.runtime_dir, "--supervised",
       "--log-level", std::string(LogLevelName(GetLogLevel()))});
  if (!pid.ok()) {
    LogError("worker.spawn_failed", {{"worker", worker.id}, {"error", pid.status()}});
    worker.start_at = now_ + worker.backoff.Next();
    ChangeState(worker, ProcessState::kBackoff, "cannot be started");
    return;
  }
  worker.pid = *pid;
  worker.adopted = false;
  if (worker.launches++ > 0) ++restarts_;
  ChangeState(worker, ProcessState::kStarting, "started");
  KillAt(worker, now_ + options_.attach_timeout, "did not attach in time");
}

DrainOrder WorkerProcesses::Order(absl::string_view reason) const {
  DrainOrder order{.window = settings_.drain_window,
                   .deadline = settings_.drain_deadline,
                   .reason = std::string(reason)};
  if (stopping_) {
    const absl::Duration left = stop_deadline_ - now_ - kGrace;
    order.deadline = std::clamp(left, absl::ZeroDuration(), order.deadline);
  }
  order.window = std::min(order.window, order.deadline);
  return order;
}

// Ends the worker's process, if it has one.  `goal` tells what to do then.
void WorkerProcesses::End(LocalWorker& worker, Goal goal, const DrainOrder& order) {
  worker.goal = goal;
  if (worker.pid == 0) {
    if (worker.state != ProcessState::kStopped)
      ChangeState(worker, ProcessState::kStopped, order.reason);
    return;
  }
  if (worker.state == ProcessState::kDraining) return;
  bool told = false;
  if (worker.attached_pid == worker.pid) {
    const absl::Status status = commands_->Drain(
        worker.id, order, [this, post = post_, id = worker.id](int64_t remaining, bool /*done*/) {
          post([this, id, remaining] { OnRemaining(id, remaining); });
        });
    told = status.ok();
  }
  // A worker that is not attached gets no drain order, but SIGTERM makes it drain as well.
  if (!told) Signal(worker, SIGTERM);
  const absl::Duration frozen_at = worker.frozen_at;
  const bool was_dead = worker.state == ProcessState::kDead;
  ChangeState(worker, ProcessState::kDraining, order.reason);
  if (told) worker.term_at = now_ + order.deadline + kGrace;
  KillAt(worker, now_ + order.deadline + 2 * kGrace, "did not end in time");
  if (was_dead) worker.frozen_at = frozen_at;
}

// ------------------------------------------------------------------------------- events

void WorkerProcesses::Apply(const SupervisorSettings& settings) {
  settings_ = settings;
  if (stopping_) return;
  const auto workers = static_cast<uint32_t>(std::max(settings.workers, 0));
  for (uint32_t number = 0; number < workers; ++number) {
    const auto it = local_workers_.find(number);
    if (it == local_workers_.end()) {
      Add(number);
    } else if (LocalWorker& worker = it->second; worker.goal == Goal::kRemove) {
      worker.goal = worker.pid != 0 ? Goal::kReplace : Goal::kRun;
      worker.start_at = now_;
      if (worker.pid == 0) ChangeState(worker, ProcessState::kBackoff, "scaled up");
    }
  }
  for (auto it = local_workers_.lower_bound(workers); it != local_workers_.end(); ++it) {
    if (it->second.goal != Goal::kRemove) End(it->second, Goal::kRemove, Order("scaled down"));
  }
}

void WorkerProcesses::OnAttached(const std::string& id, uint32_t number, pid_t pid,
                                 bool supervised) {
  LocalWorker* worker = Find(id);
  if (worker == nullptr) {
    if (!supervised || id != WorkerId(number)) return;
    // An earlier control had more workers than this one.
    worker = &Add(number);
    worker->goal = Goal::kRemove;
  }
  worker->attached_pid = pid;
  if (worker->pid == 0 &&
      (worker->state != ProcessState::kStopped || worker->goal == Goal::kRemove)) {
    Adopt(*worker);
  }
  if (worker->pid != pid) {
    LogWarning("worker.unexpected", {{"worker", id}, {"pid", pid}, {"expected", worker->pid}});
    return;
  }
  if (worker->state == ProcessState::kStarting || worker->state == ProcessState::kDead) {
    ChangeState(*worker, ProcessState::kRunning, "attached");
  }
  if (worker->goal == Goal::kRemove) End(*worker, Goal::kRemove, Order("scaled down"));
}

void WorkerProcesses::OnDetached(const std::string& id, pid_t pid, bool silent) {
  LocalWorker* const worker = Find(id);
  if (worker == nullptr) return;
  if (worker->attached_pid == pid) worker->attached_pid = 0;
  if (worker->pid != pid) return;
  if (worker->state == ProcessState::kRunning) {
    // Somebody else may have sent SIGTERM to the process, and its drain must not be cut short.
    const absl::Duration rest =
        std::max(options_.attach_timeout, settings_.drain_deadline + 2 * kGrace);
    ChangeState(*worker, ProcessState::kDead, silent ? "silent" : "stream ended");
    if (!silent) KillFrozenAt(*worker, now_ + rest, "did not attach again in time");
  }
  if (silent) KillFrozenAt(*worker, now_ + settings_.frozen_kill_after, "silent");
}

void WorkerProcesses::Drain(const std::string& id, const DrainOrder& order,
                            const OnDrain& progress) {
  LocalWorker* const worker = Find(id);
  if (worker != nullptr) {
    DrainOrder leave = order;
    leave.exit = true;
    if (leave.reason.empty()) leave.reason = "drained by an operator";
    if (worker->pid != 0) worker->waiting.push_back(progress);
    End(*worker, worker->goal == Goal::kRemove ? Goal::kRemove : Goal::kStop, leave);
    if (worker->pid != 0) return;
  }
  progress(0, true);
}

void WorkerProcesses::OnRemaining(const std::string& id, int64_t remaining) {
  const LocalWorker* const worker = Find(id);
  if (worker == nullptr || worker->pid == 0) return;
  for (const OnDrain& progress : worker->waiting) progress(remaining, false);
}

void WorkerProcesses::OnExit(const ProcessExit& exit) {
  const auto it = std::find_if(local_workers_.begin(), local_workers_.end(),
                               [&](const auto& entry) { return entry.second.pid == exit.pid; });
  if (it == local_workers_.end()) return;
  LocalWorker& worker = it->second;
  Log(worker.state == ProcessState::kDraining ? LogLevel::kInfo : LogLevel::kWarning,
      "worker.exited",
      {{"worker", worker.id},
       {"pid", exit.pid},
       {"code", exit.known && exit.signal == 0 ? absl::StrCat(exit.code) : "unknown"},
       {"signal", exit.signal},
       {"state", ProcessStateName(worker.state)}});
  worker.pid = 0;
  commands_->Expect(worker.id, false);
  const std::vector<OnDrain> waiting = std::exchange(worker.waiting, {});
  if (worker.goal == Goal::kReplace) {
    Launch(worker);
  } else if (worker.goal == Goal::kRun) {
    worker.start_at = now_ + worker.backoff.Next();
    ChangeState(
        worker, ProcessState::kBackoff,
        absl::StrCat("ended; next start in ", absl::FormatDuration(worker.start_at - now_)));
  } else {
    ChangeState(worker, ProcessState::kStopped, "drained");
  }
  for (const OnDrain& progress : waiting) progress(0, true);
}

void WorkerProcesses::Stop(absl::Duration deadline) {
  stopping_ = true;
  stop_deadline_ = deadline;
  const DrainOrder order = Order("shutdown");
  for (auto& [number, worker] : local_workers_) {
    End(worker, Goal::kStop, order);
    if (worker.pid == 0) continue;
    // A worker that has got SIGTERM already must not get a second one, which would end it at once.
    if (worker.term_at != absl::InfiniteDuration()) {
      worker.term_at = std::min(worker.term_at, deadline - kLastTerm);
    }
    KillAt(worker, deadline, "did not end in time");
  }
}

void WorkerProcesses::CheckTimes(LocalWorker& worker) {
  if (worker.pid == 0) {
    if (worker.state == ProcessState::kBackoff && worker.goal == Goal::kRun &&
        now_ >= worker.start_at) {
      Launch(worker);
    }
    return;
  }
  if (worker.state == ProcessState::kRunning && now_ - worker.since >= options_.stable_after) {
    worker.backoff.Reset();
  }
  if (worker.state == ProcessState::kStarting && worker.adopted &&
      now_ - worker.since >= options_.adopt_window) {
    ChangeState(worker, ProcessState::kDead, "adopted; did not attach");
    KillFrozenAt(worker, now_ + settings_.frozen_kill_after, "adopted; did not attach");
  }
  if (now_ >= worker.term_at) {
    worker.term_at = absl::InfiniteDuration();
    Signal(worker, SIGTERM);
  }
  if (now_ >= worker.kill_at) {
    Kill(worker, worker.kill_reason);
  } else if (now_ >= worker.frozen_at) {
    LookWhetherFrozen(worker);
  }
}

std::vector<ProcessInfo> WorkerProcesses::Infos() const {
  std::vector<ProcessInfo> infos;
  infos.reserve(local_workers_.size());
  for (const auto& [number, worker] : local_workers_) {
    infos.push_back({.id = worker.id,
                     .number = number,
                     .pid = static_cast<uint32_t>(worker.pid),
                     .state = worker.state,
                     .restarts = std::max<int64_t>(worker.launches - 1, 0)});
  }
  return infos;
}

bool WorkerProcesses::calm() const {
  return !stopping_ && rolling_.empty() &&
         std::all_of(local_workers_.begin(), local_workers_.end(), [](const auto& entry) {
           const ProcessState state = entry.second.state;
           return state == ProcessState::kRunning || state == ProcessState::kStopped;
         });
}

bool WorkerProcesses::stopped() const {
  if (!stopping_) return false;
  return now_ >= stop_deadline_ + kLastWait ||
         std::all_of(local_workers_.begin(), local_workers_.end(),
                     [](const auto& entry) { return entry.second.pid == 0; });
}

// ------------------------------------------------------------------------------- rolling restart

void WorkerProcesses::Restart(std::vector<std::string> ids, bool only_stopped, OnRestart progress) {
  if (ids.empty()) {
    for (const auto& [number, worker] : local_workers_) ids.push_back(worker.id);
  }
  Rolling rolling;
  rolling.ids = std::move(ids);
  rolling.only_stopped = only_stopped;
  rolling.progress = std::move(progress);
  rolling_.push_back(std::move(rolling));
}

void WorkerProcesses::AdvanceRestarts() {
  while (!rolling_.empty()) {
    if (stopping_) {
      Finish(rolling_.front(), absl::UnavailableError("control is stopping"));
    } else if (!AdvanceRestart(rolling_.front())) {
      return;
    }
    rolling_.pop_front();
  }
}

// Returns whether the restart is over.
bool WorkerProcesses::AdvanceRestart(Rolling& rolling) {
  const auto begin_start = [&](const LocalWorker& worker) {
    Report(rolling, worker.id, "starting");
    rolling.phase = Rolling::Phase::kStarting;
    rolling.give_up = now_ + options_.ready_timeout;
  };
  for (; rolling.next < rolling.ids.size(); ++rolling.next, rolling.phase = Rolling::Phase::kNext) {
    const std::string& id = rolling.ids[rolling.next];
    LocalWorker* const worker = Find(id);
    // Skip a worker that was removed, or stopped by an operator, since the restart began.
    if (worker == nullptr || worker->goal == Goal::kRemove) continue;
    if (rolling.phase != Rolling::Phase::kNext && worker->goal == Goal::kStop) continue;
    if (rolling.phase == Rolling::Phase::kNext) {
      if (rolling.only_stopped && worker->goal != Goal::kStop) continue;
      if (worker->pid == 0) {
        worker->backoff.Reset();
        Launch(*worker);
        begin_start(*worker);
      } else {
        End(*worker, Goal::kReplace, Order("restart"));
        Report(rolling, id, "draining");
        rolling.phase = Rolling::Phase::kEnding;
      }
    }
    if (rolling.phase == Rolling::Phase::kEnding) {
      if (worker->goal == Goal::kReplace) return false;
      begin_start(*worker);
    }
    if (worker->state == ProcessState::kRunning && commands_->IsReady(id)) {
      Report(rolling, id, "ready");
      continue;
    }
    if (now_ < rolling.give_up) return false;
    Finish(rolling, absl::DeadlineExceededError(absl::StrCat(
                        id, " was not ready within ", absl::FormatDuration(options_.ready_timeout),
                        "; the workers after it were not restarted")));
    return true;
  }
  Finish(rolling, absl::OkStatus());
  return true;
}

void WorkerProcesses::Report(const Rolling& rolling, absl::string_view id,
                             absl::string_view state) {
  rolling.progress({.id = std::string(id), .state = std::string(state)});
}

void WorkerProcesses::Finish(const Rolling& rolling, const absl::Status& status) {
  if (!status.ok()) LogWarning("supervisor.restart_ended", {{"error", status}});
  rolling.progress({.done = true, .status = status});
}

}  // namespace fanwire::control
