#include "control/processes/worker_processes.h"

#include <signal.h>

#include <algorithm>
#include <array>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/log.h"

namespace fanwire::control {

namespace {

constexpr absl::Duration kFirstBackoff = absl::Milliseconds(100);
constexpr absl::Duration kLongestBackoff = absl::Seconds(10);
// Between what a worker was told to end by and the next sharper means.
constexpr absl::Duration kGrace = absl::Seconds(3);
// How long before Stop()'s end drained workers that linger get SIGTERM, and how long after it
// killed ones are waited for.
constexpr absl::Duration kLastTerm = absl::Seconds(1);
constexpr absl::Duration kLastWait = absl::Seconds(2);
// A lock that is held by nobody known yet is looked at again after this.
constexpr absl::Duration kRetryLock = absl::Milliseconds(100);
// A longer pause between turns means that this process itself was stopped or starved.
constexpr absl::Duration kLongestTurn = absl::Seconds(2);

constexpr std::array<absl::string_view, kProcessStates> kStateNames = {
    "starting", "running", "draining", "dead", "backoff", "stopped"};

std::string SlotId(uint32_t number) { return absl::StrCat("worker-", number); }

}  // namespace

absl::string_view ProcessStateName(ProcessState state) {
  return kStateNames[static_cast<size_t>(state)];
}

WorkerProcesses::WorkerProcesses(SupervisorOptions options, absl::Duration now, ProcessHost* host,
                                 WorkerCommands* orders, Post post)
    : options_(std::move(options)),
      host_(host),
      orders_(orders),
      post_(std::move(post)),
      settings_(options_.settings),
      now_(now) {
  for (int number = 0; number < settings_.workers; ++number) Add(number);
}

// ------------------------------------------------------------------------------- turns

// Workers must not be killed for time in which this process could not hear them.
void WorkerProcesses::BeginTurn(absl::Duration now) {
  const absl::Duration before = std::exchange(now_, now);
  const absl::Duration lost = now_ - before;
  if (lost <= kLongestTurn) return;
  LogWarning("supervisor.late", {{"lost", lost}});
  if (stopping_) return;
  for (auto& [number, slot] : slots_) {
    slot.since += lost;
    slot.term_at += lost;
    slot.kill_at += lost;
  }
  for (Rolling& rolling : rolling_) rolling.give_up += lost;
}

void WorkerProcesses::EndTurn() {
  for (const ProcessExit& exit : host_->Poll()) OnExit(exit);
  for (auto& [number, slot] : slots_) CheckTimes(slot);
  AdvanceRestarts();
  std::erase_if(slots_, [this](const auto& entry) {
    const Slot& slot = entry.second;
    if (slot.goal != Goal::kRemove || slot.pid != 0 || slot.attached_pid != 0) return false;
    orders_->Forget(slot.id);
    return true;
  });
}

// ------------------------------------------------------------------------------- slots

WorkerProcesses::Slot& WorkerProcesses::Add(uint32_t number) {
  Slot slot{.number = number,
            .id = SlotId(number),
            .backoff = Backoff(kFirstBackoff, kLongestBackoff, options_.random),
            .since = now_,
            .start_at = now_};
  return slots_.emplace(number, std::move(slot)).first->second;
}

WorkerProcesses::Slot* WorkerProcesses::Find(absl::string_view id) {
  for (auto& [number, slot] : slots_) {
    if (slot.id == id) return &slot;
  }
  return nullptr;
}

void WorkerProcesses::ChangeState(Slot& slot, ProcessState to, absl::string_view reason) {
  LogInfo("worker.state", {{"worker", slot.id},
                           {"state", ProcessStateName(to)},
                           {"pid", slot.pid},
                           {"reason", reason}});
  slot.state = to;
  slot.since = now_;
  slot.term_at = slot.kill_at = absl::InfiniteDuration();
}

void WorkerProcesses::KillAt(Slot& slot, absl::Duration at, absl::string_view reason) {
  if (stopping_) at = std::min(at, stop_deadline_);
  if (at >= slot.kill_at) return;
  slot.kill_at = at;
  slot.kill_reason = std::string(reason);
}

void WorkerProcesses::Signal(Slot& slot, int signal) {
  const absl::Status status = host_->Kill(slot.pid, signal);
  // A process that has just ended is told by the next Poll().
  if (status.ok() || absl::IsNotFound(status)) return;
  LogError("worker.signal_failed", {{"worker", slot.id}, {"signal", signal}, {"error", status}});
}

// Returns false if the slot's lock is free.
bool WorkerProcesses::Adopt(Slot& slot) {
  const absl::StatusOr<pid_t> holder =
      host_->AdoptHolder(absl::StrCat(options_.runtime_dir, "/", slot.id, ".lock"));
  if (!holder.ok()) {
    static LogLimiter limiter(absl::Seconds(10));
    if (int64_t left_out = 0; limiter.Admit(&left_out)) {
      LogWarning("worker.unknown_holder", {{"worker", slot.id}, {"error", holder.status()}});
    }
    slot.start_at = now_ + kRetryLock;
    if (slot.state != ProcessState::kBackoff)
      ChangeState(slot, ProcessState::kBackoff, "lock is held");
    return true;
  }
  if (*holder == 0) return false;
  slot.pid = *holder;
  slot.adopted = true;
  ++slot.launches;
  if (slot.attached_pid == slot.pid) {
    ChangeState(slot, ProcessState::kRunning, "adopted");
  } else {
    ChangeState(slot, ProcessState::kStarting, "adopted; to attach");
  }
  return true;
}

// Of a slot without process.
void WorkerProcesses::Launch(Slot& slot) {
  slot.goal = Goal::kRun;
  if (Adopt(slot)) return;
  const absl::StatusOr<pid_t> pid = host_->Spawn(
      {options_.worker_program, "--control", options_.control_address, "--worker-id", slot.id,
       "--slot", absl::StrCat(slot.number), "--runtime-dir", options_.runtime_dir, "--supervised",
       "--log-level", std::string(LogLevelName(GetLogLevel()))});
  if (!pid.ok()) {
    LogError("worker.spawn_failed", {{"worker", slot.id}, {"error", pid.status()}});
    slot.start_at = now_ + slot.backoff.Next();
    ChangeState(slot, ProcessState::kBackoff, "cannot be started");
    return;
  }
  slot.pid = *pid;
  slot.adopted = false;
  if (slot.launches++ > 0) ++restarts_;
  ChangeState(slot, ProcessState::kStarting, "started");
  KillAt(slot, now_ + options_.attach_timeout, "did not attach in time");
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

// Ends the slot's process, if it has one, and says what comes then.
void WorkerProcesses::End(Slot& slot, Goal goal, const DrainOrder& order) {
  slot.goal = goal;
  if (slot.pid == 0) {
    if (slot.state != ProcessState::kStopped)
      ChangeState(slot, ProcessState::kStopped, order.reason);
    return;
  }
  if (slot.state == ProcessState::kDraining) return;
  bool told = false;
  if (slot.attached_pid == slot.pid) {
    const absl::Status status = orders_->Drain(
        slot.id, order, [this, post = post_, id = slot.id](int64_t remaining, bool /*done*/) {
          post([this, id, remaining] { OnRemaining(id, remaining); });
        });
    told = status.ok();
  }
  // Not attached: by SIGTERM a worker drains by itself.
  if (!told) Signal(slot, SIGTERM);
  const absl::Duration kill_at = slot.kill_at;
  const bool was_dead = slot.state == ProcessState::kDead;
  ChangeState(slot, ProcessState::kDraining, order.reason);
  if (told) slot.term_at = now_ + order.deadline + kGrace;
  KillAt(slot, now_ + order.deadline + 2 * kGrace, "did not end in time");
  if (was_dead) KillAt(slot, kill_at, slot.kill_reason);
}

// ------------------------------------------------------------------------------- what happens

void WorkerProcesses::Apply(const SupervisorSettings& settings) {
  settings_ = settings;
  if (stopping_) return;
  const auto workers = static_cast<uint32_t>(std::max(settings.workers, 0));
  for (uint32_t number = 0; number < workers; ++number) {
    const auto it = slots_.find(number);
    if (it == slots_.end()) {
      Add(number);
    } else if (Slot& slot = it->second; slot.goal == Goal::kRemove) {
      slot.goal = slot.pid != 0 ? Goal::kReplace : Goal::kRun;
      slot.start_at = now_;
      if (slot.pid == 0) ChangeState(slot, ProcessState::kBackoff, "scaled up");
    }
  }
  for (auto it = slots_.lower_bound(workers); it != slots_.end(); ++it) {
    if (it->second.goal != Goal::kRemove) End(it->second, Goal::kRemove, Order("scaled down"));
  }
}

void WorkerProcesses::OnAttached(const std::string& id, uint32_t number, pid_t pid,
                                 bool supervised) {
  Slot* slot = Find(id);
  if (slot == nullptr) {
    if (!supervised || id != SlotId(number)) return;
    // Left over from a control that had more workers.
    slot = &Add(number);
    slot->goal = Goal::kRemove;
  }
  slot->attached_pid = pid;
  if (slot->pid == 0 && (slot->state != ProcessState::kStopped || slot->goal == Goal::kRemove)) {
    Adopt(*slot);
  }
  if (slot->pid != pid) {
    LogWarning("worker.unexpected", {{"worker", id}, {"pid", pid}, {"expected", slot->pid}});
    return;
  }
  if (slot->state == ProcessState::kStarting || slot->state == ProcessState::kDead) {
    ChangeState(*slot, ProcessState::kRunning, "attached");
  }
  if (slot->goal == Goal::kRemove) End(*slot, Goal::kRemove, Order("scaled down"));
}

void WorkerProcesses::OnDetached(const std::string& id, pid_t pid, bool silent) {
  Slot* const slot = Find(id);
  if (slot == nullptr) return;
  if (slot->attached_pid == pid) slot->attached_pid = 0;
  if (slot->pid != pid) return;
  if (slot->state == ProcessState::kRunning) {
    // It may be ending by itself, after a SIGTERM: its drain must not be cut short.
    const absl::Duration rest =
        std::max(options_.attach_timeout, settings_.drain_deadline + 2 * kGrace);
    ChangeState(*slot, ProcessState::kDead, silent ? "silent" : "stream ended");
    if (!silent) KillAt(*slot, now_ + rest, "did not attach again in time");
  }
  if (silent) KillAt(*slot, now_ + settings_.frozen_kill_after, "silent");
}

void WorkerProcesses::Drain(const std::string& id, const DrainOrder& order,
                            const OnDrain& progress) {
  Slot* const slot = Find(id);
  if (slot != nullptr) {
    DrainOrder leave = order;
    leave.exit = true;
    if (leave.reason.empty()) leave.reason = "drained by an operator";
    if (slot->pid != 0) slot->waiting.push_back(progress);
    End(*slot, slot->goal == Goal::kRemove ? Goal::kRemove : Goal::kStop, leave);
    if (slot->pid != 0) return;
  }
  progress(0, true);
}

void WorkerProcesses::OnRemaining(const std::string& id, int64_t remaining) {
  const Slot* const slot = Find(id);
  if (slot == nullptr || slot->pid == 0) return;
  for (const OnDrain& progress : slot->waiting) progress(remaining, false);
}

void WorkerProcesses::OnExit(const ProcessExit& exit) {
  const auto it = std::find_if(slots_.begin(), slots_.end(),
                               [&](const auto& entry) { return entry.second.pid == exit.pid; });
  if (it == slots_.end()) return;
  Slot& slot = it->second;
  Log(slot.state == ProcessState::kDraining ? LogLevel::kInfo : LogLevel::kWarning, "worker.exited",
      {{"worker", slot.id},
       {"pid", exit.pid},
       {"code", exit.known && exit.signal == 0 ? absl::StrCat(exit.code) : "unknown"},
       {"signal", exit.signal},
       {"state", ProcessStateName(slot.state)}});
  slot.pid = 0;
  const std::vector<OnDrain> waiting = std::exchange(slot.waiting, {});
  if (slot.goal == Goal::kReplace) {
    Launch(slot);
  } else if (slot.goal == Goal::kRun) {
    slot.start_at = now_ + slot.backoff.Next();
    ChangeState(slot, ProcessState::kBackoff,
                absl::StrCat("ended; next start in ", absl::FormatDuration(slot.start_at - now_)));
  } else {
    ChangeState(slot, ProcessState::kStopped, "drained");
  }
  for (const OnDrain& progress : waiting) progress(0, true);
}

void WorkerProcesses::Stop(absl::Duration deadline) {
  stopping_ = true;
  stop_deadline_ = deadline;
  const DrainOrder order = Order("shutdown");
  for (auto& [number, slot] : slots_) {
    End(slot, Goal::kStop, order);
    if (slot.pid == 0) continue;
    // One that got SIGTERM already has none to come: a second would cut its drain short.
    if (slot.term_at != absl::InfiniteDuration()) {
      slot.term_at = std::min(slot.term_at, deadline - kLastTerm);
    }
    KillAt(slot, deadline, "did not end in time");
  }
}

void WorkerProcesses::CheckTimes(Slot& slot) {
  if (slot.pid == 0) {
    if (slot.state == ProcessState::kBackoff && slot.goal == Goal::kRun && now_ >= slot.start_at) {
      Launch(slot);
    }
    return;
  }
  if (slot.state == ProcessState::kRunning && now_ - slot.since >= options_.stable_after) {
    slot.backoff.Reset();
  }
  if (slot.state == ProcessState::kStarting && slot.adopted &&
      now_ - slot.since >= options_.adopt_window) {
    ChangeState(slot, ProcessState::kDead, "adopted; did not attach");
    KillAt(slot, now_ + settings_.frozen_kill_after, "adopted; did not attach");
  }
  if (now_ >= slot.term_at) {
    slot.term_at = absl::InfiniteDuration();
    Signal(slot, SIGTERM);
  }
  if (now_ >= slot.kill_at) {
    slot.kill_at = absl::InfiniteDuration();
    LogWarning("worker.kill",
               {{"worker", slot.id}, {"pid", slot.pid}, {"reason", slot.kill_reason}});
    Signal(slot, SIGKILL);
  }
}

std::vector<ProcessInfo> WorkerProcesses::Infos() const {
  std::vector<ProcessInfo> infos;
  infos.reserve(slots_.size());
  for (const auto& [number, slot] : slots_) {
    infos.push_back({.id = slot.id,
                     .slot = number,
                     .pid = static_cast<uint32_t>(slot.pid),
                     .state = slot.state,
                     .restarts = std::max<int64_t>(slot.launches - 1, 0)});
  }
  return infos;
}

bool WorkerProcesses::calm() const {
  return !stopping_ && rolling_.empty() &&
         std::all_of(slots_.begin(), slots_.end(), [](const auto& entry) {
           const ProcessState state = entry.second.state;
           return state == ProcessState::kRunning || state == ProcessState::kStopped;
         });
}

bool WorkerProcesses::stopped() const {
  if (!stopping_) return false;
  return now_ >= stop_deadline_ + kLastWait ||
         std::all_of(slots_.begin(), slots_.end(),
                     [](const auto& entry) { return entry.second.pid == 0; });
}

// ------------------------------------------------------------------------------- rolling restart

void WorkerProcesses::Restart(std::vector<std::string> ids, bool only_stopped, OnRestart progress) {
  if (ids.empty()) {
    for (const auto& [number, slot] : slots_) ids.push_back(slot.id);
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
      Finish(rolling_.front(), absl::UnavailableError("control stops"));
    } else if (!AdvanceRestart(rolling_.front())) {
      return;
    }
    rolling_.pop_front();
  }
}

// Returns whether it is over.
bool WorkerProcesses::AdvanceRestart(Rolling& rolling) {
  const auto begin_start = [&](const Slot& slot) {
    Report(rolling, slot.id, "starting");
    rolling.phase = Rolling::Phase::kStarting;
    rolling.give_up = now_ + options_.ready_timeout;
  };
  for (; rolling.next < rolling.ids.size(); ++rolling.next, rolling.phase = Rolling::Phase::kNext) {
    const std::string& id = rolling.ids[rolling.next];
    Slot* const slot = Find(id);
    // Scaled away, or stopped by an operator meanwhile: it is not this restart's any more.
    if (slot == nullptr || slot->goal == Goal::kRemove) continue;
    if (rolling.phase != Rolling::Phase::kNext && slot->goal == Goal::kStop) continue;
    if (rolling.phase == Rolling::Phase::kNext) {
      if (rolling.only_stopped && slot->goal != Goal::kStop) continue;
      if (slot->pid == 0) {
        slot->backoff.Reset();
        Launch(*slot);
        begin_start(*slot);
      } else {
        End(*slot, Goal::kReplace, Order("restart"));
        Report(rolling, id, "draining");
        rolling.phase = Rolling::Phase::kEnding;
      }
    }
    if (rolling.phase == Rolling::Phase::kEnding) {
      if (slot->goal == Goal::kReplace) return false;
      begin_start(*slot);
    }
    if (slot->state == ProcessState::kRunning && orders_->IsReady(id)) {
      Report(rolling, id, "ready");
      continue;
    }
    if (now_ < rolling.give_up) return false;
    Finish(rolling, absl::DeadlineExceededError(absl::StrCat(
                        id, " was not ready within ", absl::FormatDuration(options_.ready_timeout),
                        "; the workers after it were left alone")));
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
