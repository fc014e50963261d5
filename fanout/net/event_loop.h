// EventLoop is a worker's one thread: it waits for descriptors, deadlines, timers and functions
// posted by other threads, and runs them one turn after the other.
//
// The loop is a standalone Asio io_context: Post(), RunAfter() and the wait itself are Asio's.
// Connections, however, are watched by one epoll descriptor of our own, which the io_context waits
// for like any other.  Asio's descriptor object costs about 300 bytes and a mutex each, and an
// epoll_ctl() and an allocation for each wait; ours costs 16 bytes and nothing per wait.  The price
// is two more system calls for each turn (not for each connection) in which one is readable.
//
// A turn is one posted function, one timer, or one batch of up to 256 ready descriptors; turn hooks
// run at its end.  That is where the hub flushes and where closed connections are destroyed.
//
// Threading: Post() and Stop() from any thread; all else on the loop.  Until Run() begins and after
//            it has returned, the thread that holds the loop counts as being on it.
// Ownership: borrows watchers, deadlines; owns posted functions, and destroys those not run.
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

// What a descriptor is watched for; a set of bits.
enum IoReadiness : uint32_t { kReadable = 1, kWritable = 2 };

// Told when a descriptor is ready.
class Watcher {
 public:
  // `ready` is a set of IoReadiness bits.  A hang-up or error of the descriptor is told as
  // kReadable: the next read says what it was.  May unwatch and destroy anything, itself included.
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
  using TimerId = uint64_t;  // 0 is none
  using HookId = uint64_t;

  EventLoop();
  explicit EventLoop(const Options& options);
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Runs turns until Stop(); then returns without running what is still posted.  May be called
  // again.
  void Run();

  // Ends Run() after the turn it is in.  Any thread.  Before Run() it makes the next one return.
  void Stop();

  // Runs one turn if there is one within `max_wait`; returns whether there was.  For tests and for
  // shutting down step by step.
  bool RunTurn(absl::Duration max_wait);

  // Runs `fn` on the loop, after what was posted before.  Any thread; also from the loop itself,
  // for "next turn".
  void Post(absl::AnyInvocable<void()> fn);

  // Runs `fn` once, `delay` from now (to the microsecond).  For the few timers of a worker;
  // sessions have deadlines.
  TimerId RunAfter(absl::Duration delay, absl::AnyInvocable<void()> fn);

  // Forgets a timer.  One that has run, or 0, is no error.
  void Cancel(TimerId timer);

  // Arms `deadline` (fanout/net/timer_wheel.h) for `delay` from now, rounded up to a tick; moves it
  // if it is armed.
  void Arm(Deadline* deadline, absl::Duration delay);

  // Runs `hook` at the end of every turn, in the order of adding, until removed.  A hook must not
  // add or remove hooks.
  HookId AddTurnHook(absl::AnyInvocable<void()> hook);
  void RemoveTurnHook(HookId hook);

  // Tells `watcher` each turn that `fd` (not watched yet) is ready for `interest`: level-triggered,
  // so what is left unread is told again.
  void Watch(int fd, uint32_t interest, Watcher* watcher);
  void ChangeInterest(int fd, uint32_t interest);

  // Forgets `fd`; what this turn still had to say of it is dropped.  Before it is closed.
  void Unwatch(int fd);

  // Clock::Real()->Now() as of this turn's beginning: monotonic, only differences mean anything.
  absl::Duration Now() const;

  // Whether the caller is on the loop, see Threading.
  bool OnLoop() const;

  // Dies unless the caller is on the loop.
  void AssertOnLoop() const;

  // One buffer for all reads of all sessions: what a turn reads must be consumed before it returns.
  absl::Span<uint8_t> read_buffer();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fanwire::fanout
