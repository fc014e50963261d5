#include "control/processes/supervisor.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/mutex.h"

namespace fanwire::control {

namespace {

// The time between two turns: when all workers run, and while one starts or ends.
constexpr absl::Duration kCalmTurn = absl::Milliseconds(100);
constexpr absl::Duration kBusyTurn = absl::Milliseconds(10);

}  // namespace

// What the supervisor's thread shares with others: tasks for it, and a copy of the workers' states.
// The registry's progress functions hold a reference, because they may outlive the supervisor.
struct Supervisor::Board {
  Mutex mu;  // a leaf
  CondVar changed;
  CondVar over;
  std::vector<std::function<void()>> notes ABSL_GUARDED_BY(mu);
  std::vector<ProcessInfo> workers ABSL_GUARDED_BY(mu);
  int64_t restarts ABSL_GUARDED_BY(mu) = 0;
  bool stopped ABSL_GUARDED_BY(mu) = false;
  bool ending ABSL_GUARDED_BY(mu) = false;

  void Post(std::function<void()> note) {
    MutexLock lock(&mu);
    notes.push_back(std::move(note));
    changed.Signal();
  }
  void End() {
    MutexLock lock(&mu);
    ending = true;
    changed.Signal();
  }
};

Supervisor::Supervisor(SupervisorOptions options, const Clock* clock, ProcessHost* host,
                       WorkerCommands* commands)
    : clock_(clock),
      board_(std::make_shared<Board>()),
      processes_(std::move(options), clock->Now(), host, commands,
                 [board = board_](std::function<void()> note) { board->Post(std::move(note)); }) {
  Publish();
}

Supervisor::~Supervisor() {
  board_->End();
  if (thread_.joinable()) thread_.join();
}

void Supervisor::Start() {
  thread_ = std::thread([this] { Loop(); });
}

void Supervisor::Loop() {
  while (true) {
    Step();
    const absl::Duration pause = processes_.calm() ? kCalmTurn : kBusyTurn;
    MutexLock lock(&board_->mu);
    if (board_->ending) return;
    if (board_->notes.empty()) board_->changed.WaitWithTimeout(&board_->mu, pause);
  }
}

void Supervisor::Step() {
  processes_.BeginTurn(clock_->Now());
  std::vector<std::function<void()>> notes;
  {
    MutexLock lock(&board_->mu);
    notes.swap(board_->notes);
  }
  for (const std::function<void()>& note : notes) note();
  processes_.EndTurn();
  Publish();
}

void Supervisor::Publish() {
  std::vector<ProcessInfo> infos = processes_.Infos();
  MutexLock lock(&board_->mu);
  board_->workers = std::move(infos);
  board_->restarts = processes_.restarts();
  board_->stopped = processes_.stopped();
  if (board_->stopped) board_->over.SignalAll();
}

absl::Status Supervisor::CheckId(absl::string_view id) const {
  MutexLock lock(&board_->mu);
  const bool found = std::any_of(board_->workers.begin(), board_->workers.end(),
                                 [id](const ProcessInfo& worker) { return worker.id == id; });
  return found ? absl::OkStatus()
               : absl::NotFoundError(absl::StrCat("no local worker \"", id, "\""));
}

void Supervisor::Apply(const SupervisorSettings& settings) {
  board_->Post([this, settings] { processes_.Apply(settings); });
}

absl::Status Supervisor::Drain(absl::string_view id, const DrainOrder& order, OnDrain progress) {
  if (absl::Status status = CheckId(id); !status.ok()) return status;
  board_->Post([this, id = std::string(id), order, progress = std::move(progress)] {
    processes_.Drain(id, order, progress);
  });
  return absl::OkStatus();
}

absl::Status Supervisor::Restart(const std::vector<std::string>& ids, bool only_stopped,
                                 OnRestart progress) {
  for (const std::string& id : ids) {
    if (absl::Status status = CheckId(id); !status.ok()) return status;
  }
  board_->Post([this, ids, only_stopped, progress = std::move(progress)] {
    processes_.Restart(ids, only_stopped, progress);
  });
  return absl::OkStatus();
}

void Supervisor::Stop(absl::Duration timeout) {
  if (!thread_.joinable()) return;
  BeginStop(timeout);
  {
    MutexLock lock(&board_->mu);
    while (!board_->stopped) board_->over.Wait(&board_->mu);
  }
  board_->End();
  thread_.join();
}

void Supervisor::BeginStop(absl::Duration timeout) {
  board_->Post([this, deadline = clock_->Now() + timeout] { processes_.Stop(deadline); });
}

bool Supervisor::stopped() const {
  MutexLock lock(&board_->mu);
  return board_->stopped;
}

std::vector<ProcessInfo> Supervisor::Workers() const {
  MutexLock lock(&board_->mu);
  return board_->workers;
}

void Supervisor::CollectMetrics(MetricSink& sink) const {
  std::array<int, kProcessStates> counts = {};
  int64_t restarts = 0;
  {
    MutexLock lock(&board_->mu);
    for (const ProcessInfo& worker : board_->workers) ++counts[static_cast<size_t>(worker.state)];
    restarts = board_->restarts;
  }
  sink.Counter("fanwire_control_worker_restarts_total",
               "Workers started again after their process had ended",
               static_cast<double>(restarts));
  for (int state = 0; state < kProcessStates; ++state) {
    sink.Gauge("fanwire_control_worker_slots", "Local workers by state", counts[state],
               {{"state", std::string(ProcessStateName(static_cast<ProcessState>(state)))}});
  }
}

void Supervisor::OnWorkerAttached(absl::string_view worker_id, uint32_t number, uint32_t pid,
                                  bool supervised) {
  board_->Post([this, id = std::string(worker_id), number, pid, supervised] {
    processes_.OnAttached(id, number, static_cast<pid_t>(pid), supervised);
  });
}

void Supervisor::OnWorkerDetached(absl::string_view worker_id, uint32_t pid, bool silent) {
  board_->Post([this, id = std::string(worker_id), pid, silent] {
    processes_.OnDetached(id, static_cast<pid_t>(pid), silent);
  });
}

}  // namespace fanwire::control
