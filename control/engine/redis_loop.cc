#include "control/engine/redis_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>

#include "common/check.h"

namespace fanwire::control {
namespace {

constexpr int kEventsAtOnce = 64;
constexpr uint64_t kWakeId = 0;

}  // namespace

RedisLoop::RedisLoop(const Clock* clock)
    : clock_(clock),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  FANWIRE_CHECK(epoll_ >= 0 && wake_ >= 0, "no file descriptors are left for a loop");
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.u64 = kWakeId;
  FANWIRE_CHECK(epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event) == 0, "epoll refuses an eventfd");
}

RedisLoop::~RedisLoop() {
  Stop();
  close(wake_);
  close(epoll_);
}

void RedisLoop::Start() {
  MutexLock lock(&mu_);
  if (started_ || stopped_) return;
  started_ = true;
  // The thread waits for the lock before its first task, so a task sees thread_ complete.
  thread_ = std::thread([this] { Run(); });
}

void RedisLoop::Stop() {
  {
    MutexLock lock(&mu_);
    if (stopped_) return;
    stopped_ = true;
    if (!started_) return;
  }
  eventfd_write(wake_, 1);
  thread_.join();
}

bool RedisLoop::Post(Task task) {
  bool first = false;
  {
    MutexLock lock(&mu_);
    if (stopped_) return false;
    first = tasks_.empty();
    tasks_.push_back(std::move(task));
  }
  if (first) eventfd_write(wake_, 1);
  return true;
}

RedisLoop::TimerId RedisLoop::After(absl::Duration delay, Task task) {
  const absl::Duration at = clock_->Now() + std::max(delay, absl::ZeroDuration());
  const TimerId id = ++last_id_;
  timers_.emplace(std::make_pair(at, id), std::move(task));
  timer_times_.emplace(id, at);
  return id;
}

void RedisLoop::Cancel(TimerId id) {
  const auto time = timer_times_.find(id);
  if (time == timer_times_.end()) return;
  // What the task holds is destroyed last, because it may call back.
  const auto timer = timers_.extract({time->second, id});
  timer_times_.erase(time);
}

RedisLoop::SocketId RedisLoop::Watch(int fd, Ready ready) {
  const SocketId id = ++last_id_;
  epoll_event event = {};
  event.data.u64 = id;
  FANWIRE_CHECK(epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0, "epoll refuses a socket");
  sockets_.emplace(id, Socket{fd, std::make_shared<Ready>(std::move(ready))});
  return id;
}

void RedisLoop::SetInterest(SocketId id, bool read, bool write) {
  const auto socket = sockets_.find(id);
  if (socket == sockets_.end()) return;
  epoll_event event = {};
  event.events = (read ? EPOLLIN : 0U) | (write ? EPOLLOUT : 0U);
  event.data.u64 = id;
  epoll_ctl(epoll_, EPOLL_CTL_MOD, socket->second.fd, &event);
}

void RedisLoop::Unwatch(SocketId id) {
  const auto socket = sockets_.extract(id);
  if (!socket.empty()) epoll_ctl(epoll_, EPOLL_CTL_DEL, socket.mapped().fd, nullptr);
}

void RedisLoop::Run() {
  while (RunTasks()) {
    if (Stopping()) continue;
    RunTimers();
    WaitForEvents();
  }
}

bool RedisLoop::Stopping() {
  MutexLock lock(&mu_);
  return stopped_;
}

bool RedisLoop::RunTasks() {
  std::vector<Task> tasks;
  bool last = false;
  {
    MutexLock lock(&mu_);
    tasks.swap(tasks_);
    last = stopped_;
  }
  for (Task& task : tasks) {
    task();
    task = nullptr;
  }
  return !last;
}

void RedisLoop::RunTimers() {
  // Timers that are set meanwhile wait for the next round, so that sockets get their turn.
  const absl::Duration now = clock_->Now();
  const TimerId last = last_id_;
  auto next = timers_.begin();
  while (next != timers_.end() && next->first.first <= now) {
    if (next->first.second > last) {
      ++next;
      continue;
    }
    timer_times_.erase(next->first.second);
    auto timer = timers_.extract(next);
    timer.mapped()();
    next = timers_.begin();
  }
}

void RedisLoop::WaitForEvents() {
  int timeout = -1;
  if (!timers_.empty()) {
    const absl::Duration wait = std::clamp(timers_.begin()->first.first - clock_->Now(),
                                           absl::ZeroDuration(), absl::Hours(1));
    timeout = static_cast<int>(absl::ToInt64Milliseconds(absl::Ceil(wait, absl::Milliseconds(1))));
  }
  epoll_event events[kEventsAtOnce];
  const int count = epoll_wait(epoll_, events, kEventsAtOnce, timeout);
  for (int i = 0; i < count; ++i) {
    // A copy: the fields of an epoll_event are not aligned, so nothing may refer to them.
    const SocketId id = events[i].data.u64;
    const uint32_t event = events[i].events;
    if (id == kWakeId) {
      eventfd_t posts = 0;
      eventfd_read(wake_, &posts);
      continue;
    }
    const auto socket = sockets_.find(id);
    if (socket == sockets_.end()) continue;
    const std::shared_ptr<Ready> ready = socket->second.ready;
    const bool broken = (event & (EPOLLERR | EPOLLHUP)) != 0;
    (*ready)(broken || (event & EPOLLIN) != 0, broken || (event & EPOLLOUT) != 0);
  }
}

}  // namespace fanwire::control
