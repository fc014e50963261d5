// SupervisorTest drives a Supervisor turn by turn, with fake processes and a fake clock.
#pragma once

#include <signal.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "control/processes/supervisor.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_clock.h"

namespace fanwire::control {

inline constexpr absl::Duration kMs = absl::Milliseconds(1);
inline constexpr absl::Duration kSecond = absl::Seconds(1);

// Processes that end when they get a signal, unless they are deaf or frozen.
class FakeProcesses final : public ProcessHost {
 public:
  absl::StatusOr<pid_t> Spawn(const std::vector<std::string>& command) override {
    ++spawns;
    if (refuse) return absl::NotFoundError("cannot start it");
    commands[next_pid] = command;
    running.insert(next_pid);
    return next_pid++;
  }
  absl::StatusOr<pid_t> AdoptHolder(const std::string& lock_path) override {
    const auto lock = locks.find(lock_path);
    if (lock == locks.end()) return 0;
    if (lock->second == 0) return absl::UnavailableError("held by whom?");
    return running.contains(lock->second) ? lock->second : 0;
  }
  absl::Status Kill(pid_t pid, int signal) override {
    if (!running.contains(pid)) return absl::NotFoundError("gone");
    signals.emplace_back(pid, signal);
    if (signal == SIGKILL || (signal == SIGTERM && !deaf.contains(pid))) Exit(pid, 0, signal);
    return absl::OkStatus();
  }
  int64_t Activity(pid_t pid) override {
    if (unknown.contains(pid)) return 0;
    return busy.contains(pid) ? ++activity : 1;
  }
  std::vector<ProcessExit> Poll() override { return std::exchange(exits, {}); }

  void Exit(pid_t pid, int code = 0, int signal = 0) {
    running.erase(pid);
    exits.push_back({.pid = pid, .code = code, .signal = signal});
  }
  // A worker of an earlier control.
  void Survivor(const std::string& id, pid_t pid) {
    running.insert(pid);
    locks[absl::StrCat("/run/fanwire/", id, ".lock")] = pid;
  }

  bool refuse = false;
  std::set<pid_t> deaf;     // to SIGTERM
  std::set<pid_t> busy;     // their event loops run; those of all others stand still
  std::set<pid_t> unknown;  // whose activity cannot be read
  int64_t activity = 1;
  pid_t next_pid = 100;
  int spawns = 0;
  std::map<pid_t, std::vector<std::string>> commands;
  std::map<std::string, pid_t> locks;  // 0: holder unknown
  std::set<pid_t> running;
  std::vector<std::pair<pid_t, int>> signals;
  std::vector<ProcessExit> exits;
};

class FakeOrders final : public WorkerCommands {
 public:
  struct Drained {
    std::string id;
    DrainOrder order;
    std::function<void(int64_t, bool)> progress;
  };

  absl::Status Drain(absl::string_view worker_id, const DrainOrder& order,
                     std::function<void(int64_t, bool)> progress) override {
    if (!attached.contains(std::string(worker_id))) return absl::NotFoundError("not attached");
    drains.push_back({std::string(worker_id), order, std::move(progress)});
    return absl::OkStatus();
  }
  void Forget(absl::string_view worker_id) override { forgotten.emplace_back(worker_id); }
  void Expect(absl::string_view worker_id, bool runs) override {
    runs ? void(expected.emplace(worker_id)) : void(expected.erase(std::string(worker_id)));
  }
  bool IsReady(absl::string_view worker_id) const override {
    return ready && attached.contains(std::string(worker_id));
  }

  bool ready = true;  // whoever is attached
  std::set<std::string> attached;
  std::vector<Drained> drains;
  std::vector<std::string> forgotten;
  std::set<std::string> expected;
};

class SupervisorTest : public ::testing::Test {
 protected:
  // The jitter takes all of the backoff.
  void Make(int workers) {
    supervisor_ = std::make_unique<Supervisor>(
        SupervisorOptions{.worker_program = "/usr/bin/fanwire-fanout",
                          .control_address = "unix:/run/fanwire/control.sock",
                          .runtime_dir = "/run/fanwire",
                          .settings = {.workers = workers},
                          .random = [] { return ~uint64_t{0}; }},
        &clock_, &host_, &orders_);
    supervisor_->Step();
  }

  // Turns of the thread, as time goes by.
  void Run(absl::Duration time) {
    for (; time > absl::ZeroDuration(); time -= 50 * kMs) {
      clock_.Advance(std::min(time, 50 * kMs));
      supervisor_->Step();
    }
  }

  ProcessInfo Slot(size_t number) {
    const std::vector<ProcessInfo> slots = supervisor_->Workers();
    return number < slots.size() ? slots[number] : ProcessInfo{.id = "none"};
  }
  pid_t Pid(size_t number) { return static_cast<pid_t>(Slot(number).pid); }

  void Attach(size_t number) {
    const ProcessInfo slot = Slot(number);
    orders_.attached.insert(slot.id);
    supervisor_->OnWorkerAttached(slot.id, slot.number, slot.pid, true);
    supervisor_->Step();
  }
  void Detach(size_t number, bool silent) {
    const ProcessInfo slot = Slot(number);
    orders_.attached.erase(slot.id);
    supervisor_->OnWorkerDetached(slot.id, slot.pid, silent);
    supervisor_->Step();
  }
  void Exit(size_t number, int code = 0, int signal = 0) {
    orders_.attached.erase(Slot(number).id);
    host_.Exit(Pid(number), code, signal);
    supervisor_->Step();
  }
  void MakeAttached(int workers) {
    Make(workers);
    for (int number = 0; number < workers; ++number) Attach(number);
  }

  absl::Status Drain(const std::string& id) {
    const absl::Status status = supervisor_->Drain(
        id, DrainOrder(),
        [this](int64_t remaining, bool done) { drained_.emplace_back(remaining, done); });
    supervisor_->Step();
    return status;
  }
  absl::Status Restart(const std::vector<std::string>& ids = {}, bool only_stopped = false) {
    const absl::Status status =
        supervisor_->Restart(ids, only_stopped, [this](const RestartProgress& progress) {
          if (progress.done) {
            finished_.push_back(progress.status);
          } else {
            reports_.push_back(absl::StrCat(progress.id, " ", progress.state));
          }
        });
    supervisor_->Step();
    return status;
  }

  FakeClock clock_;
  FakeProcesses host_;
  FakeOrders orders_;
  std::unique_ptr<Supervisor> supervisor_;
  std::vector<std::pair<int64_t, bool>> drained_;
  std::vector<std::string> reports_;
  std::vector<absl::Status> finished_;
};

}  // namespace fanwire::control
