// TimerQueue runs functions at given times on a thread of its own.
//
// Threading: safe from every thread.  Functions run one at a time on the timer thread (or in
//            RunDue()), without locks.  They must be short.
// Cost:      O(log n) per timer; an idle queue sleeps.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <thread>

#include "absl/time/time.h"
#include "common/clock.h"
#include "common/mutex.h"

namespace fanwire {

class TimerQueue {
 public:
  explicit TimerQueue(const Clock* clock);
  ~TimerQueue();  // Stop()
  TimerQueue(const TimerQueue&) = delete;
  TimerQueue& operator=(const TimerQueue&) = delete;

  // Starts the thread.  Tests do not call it, so that functions run only in RunDue().
  void Start();
  // Ends the thread.  Timers that are not due yet never run.
  void Stop();

  // Runs `function` once, at Clock::Now() >= `at`.
  void At(absl::Duration at, std::function<void()> function);
  // Runs `function` every `interval` from now on.
  void Every(absl::Duration interval, std::function<void()> function);

  // Runs the functions whose time has come.
  void RunDue();

  // The number of waiting timers.
  size_t size() const;

 private:
  void Loop();

  const Clock* const clock_;
  mutable Mutex mu_;  // a leaf
  CondVar changed_;
  std::multimap<absl::Duration, std::function<void()>> timers_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace fanwire
