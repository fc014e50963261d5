// RedisLoop runs tasks, timers and sockets on one thread: the thread of the connections to Redis.
//
// Sockets and timers have ids that are never used again.  So an event of a socket that was closed,
// or whose number the next socket got, reaches nobody.
//
// Threading: Start(), Stop() and Post() are safe from every thread, but Stop() not from the loop's.
//            Everything else is called on the loop's thread.  All functions run there, without
//            locks.
// Ownership: borrows the clock.  Sockets stay their owners'.
// Cost:      many posts wake the thread once.  O(log n) per timer.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/mutex.h"

namespace fanwire::control {

class RedisLoop {
 public:
  using Task = absl::AnyInvocable<void()>;
  // Never 0.
  using TimerId = uint64_t;
  using SocketId = uint64_t;
  // A socket with an error or a hang-up is both readable and writable.
  using Ready = std::function<void(bool readable, bool writable)>;

  explicit RedisLoop(const Clock* clock);
  ~RedisLoop();  // Stop()
  RedisLoop(const RedisLoop&) = delete;
  RedisLoop& operator=(const RedisLoop&) = delete;

  void Start();
  // Runs what was posted before, and ends the thread.  Timers and sockets no longer run.  A loop
  // that was stopped does not start again.
  void Stop();

  // Returns false, and drops the task, after Stop().
  bool Post(Task task);

  // Runs `task` once, `delay` from now or later.
  TimerId After(absl::Duration delay, Task task);
  // The timer does not run any more.  Does nothing if it has run.
  void Cancel(TimerId id);

  // Calls `ready` when `fd` can be read or written, as SetInterest() chose.
  SocketId Watch(int fd, Ready ready);
  void SetInterest(SocketId id, bool read, bool write);
  // Call it before `fd` is closed.  `ready` is not called any more, and may be running.
  void Unwatch(SocketId id);

  bool OnLoopThread() const { return std::this_thread::get_id() == thread_.get_id(); }
  absl::Duration Now() const { return clock_->Now(); }

 private:
  struct Socket {
    int fd;
    std::shared_ptr<Ready> ready;  // shared with the call that is running
  };

  void Run();
  // Returns false when the loop is to end.
  bool RunTasks();
  bool Stopping();
  void RunTimers();
  void WaitForEvents();

  const Clock* const clock_;
  const int epoll_;
  const int wake_;
  std::thread thread_;

  Mutex mu_;  // a leaf
  std::vector<Task> tasks_ ABSL_GUARDED_BY(mu_);
  bool started_ ABSL_GUARDED_BY(mu_) = false;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;

  // Only touched by the thread.
  uint64_t last_id_ = 0;
  std::map<std::pair<absl::Duration, TimerId>, Task> timers_;  // the next one first
  absl::flat_hash_map<TimerId, absl::Duration> timer_times_;
  absl::flat_hash_map<SocketId, Socket> sockets_;
};

}  // namespace fanwire::control
