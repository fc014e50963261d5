// EventLoop is the one thread of a worker: it waits for descriptors, deadlines, timers and
// functions that other threads post, and handles them one turn after the other.
//
// The loop is a standalone Asio io_context: Asio implements Post(), RunAfter() and the wait.
// Connections, however, are watched by an epoll descriptor of our own, for which the io_context
// waits as for any other.  Asio's descriptor object costs about 300 bytes and a mutex, and an
// epoll_ctl() and an allocation for each wait; ours costs 16 bytes and nothing for a wait.  The
// price is two more system calls for each turn (not for each connection) in which a connection is
// readable.
//
// A turn is one posted function, one timer, or a slice of the ready descriptors.  Turn hooks run at
// its end: the hub flushes there, and closed connections are destroyed.
//
// Ready descriptors wait in one line.  A slice ends when its time is over; the rest of the line has
// its turn after the functions and timers that are due by then.  A watcher whose work is longer
// than a slice stops when SliceOver() says so, and calls CallAgain() to join the end of the line.
//
// Threading: Post() and Stop() may be called from any thread, all else only on the loop.  Before
//            Run() begins and after it has returned, the thread that owns the loop counts as being
//            on it.
// Ownership: borrows watchers and deadlines.  Owns posted functions, and destroys those that did
//            not run.
// Cost:      16 bytes a watched descriptor, 40 a deadline (inside its owner), one read buffer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "fanout/net/timer_wheel.h"

namespace fanwire::fanout {

// The bits of what a descriptor is watched for.
enum IoReadiness : uint32_t {
  kReadable = 1,
  kWritable = 2,
  kBroken = 4,  // a hang-up or an error; every watcher is told, none asks for it
  kEnded = 8,   // the peer has finished sending; for a watcher that does not read for now
};

// Watcher is called when a descriptor is ready.
class Watcher {
 public:
  // `ready` is a set of IoReadiness bits.  A hang-up or error of the descriptor is reported as
  // kReadable and kBroken; the next read returns it.  May unwatch and destroy anything, also this
  // watcher.
  virtual void OnReady(uint32_t ready) = 0;

 protected:
  ~Watcher() = default;
};

class EventLoop {
 public:
  struct Options {
    absl::Duration tick = absl::Milliseconds(100);  // resolution of deadlines
    size_t read_buffer_bytes = size_t{64} * 1024;
  };
  using TimerId = uint64_t;  // 0: no timer
  using HookId = uint64_t;

  EventLoop();
  explicit EventLoop(const Options& options);
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Runs turns until Stop(), then returns without running functions that are still posted.  May be
  // called again.
  void Run();

  // Ends Run() after the present turn.  Called before Run(), it makes the next Run() return at
  // once.
  void Stop();

  // Runs the next turn, if one is due within `max_wait`.  Returns whether it ran.  For tests and
  // for shutting down step by step.
  bool RunTurn(absl::Duration max_wait);

  // Runs `fn` on the loop, after all functions that were posted before.  On the loop itself it
  // means "in a later turn".
  void Post(absl::AnyInvocable<void()> fn);

  // Runs `fn` once, `delay` from now (to the microsecond).  For the few timers of a worker;
  // sessions use deadlines.
  TimerId RunAfter(absl::Duration delay, absl::AnyInvocable<void()> fn);

  // Cancels a timer.  A timer that has run, or 0, is no error.
  void Cancel(TimerId timer);

  // Arms `deadline` (fanout/net/timer_wheel.h) for `delay` from now, rounded up to a tick; moves it
  // if it is armed.
  void Arm(Deadline* deadline, absl::Duration delay);

  // Runs `hook` at the end of every turn, in the order of adding, until removed.  A hook must not
  // add or remove hooks.
  HookId AddTurnHook(absl::AnyInvocable<void()> hook);
  void RemoveTurnHook(HookId hook);

  // Calls `watcher` in each turn in which `fd` is ready for `interest`.  It is level-triggered:
  // while bytes are left unread, it is called again.  `fd` must not be watched yet.
  void Watch(int fd, uint32_t interest, Watcher* watcher);
  void ChangeInterest(int fd, uint32_t interest);

  // Calls the watcher of `fd` with kReadable in a later turn, as if the descriptor were ready,
  // after those that are ready already.
  void CallAgain(int fd);

  // Sets for how much time in a row watchers are called before other work has its turn.  At least
  // one is called.  InfiniteDuration(), the default: until none is ready.
  void set_slice(absl::Duration time);

  // Whether the time of the present slice is over.  A watcher with more to do should then stop.
  bool SliceOver() const;

  // Stops watching `fd`, also for the rest of this turn.  Call it before the descriptor is closed.
  void Unwatch(int fd);

  // Clock::Real()->Now() at the beginning of this turn.  It is monotonic; only differences have a
  // meaning.
  absl::Duration Now() const;

  // Whether the caller is on the loop; see Threading.
  bool OnLoop() const;

  // Dies unless the caller is on the loop.
  void AssertOnLoop() const;

  // One buffer for all reads of all sessions.  What is read must be consumed within the same call.
  absl::Span<uint8_t> read_buffer();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fanwire::fanout
