#include "common/timer_queue.h"

#include <algorithm>
#include <utility>

namespace fanwire {
namespace {

// A fake clock does not advance while the thread waits, so the thread checks it this often.
constexpr absl::Duration kLongestSleep = absl::Seconds(10);

}  // namespace

TimerQueue::TimerQueue(const Clock* clock) : clock_(clock) {}

TimerQueue::~TimerQueue() { Stop(); }

void TimerQueue::Start() {
  thread_ = std::thread([this] { Loop(); });
}

void TimerQueue::Stop() {
  {
    MutexLock lock(&mu_);
    stopping_ = true;
    changed_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
}

void TimerQueue::At(absl::Duration at, std::function<void()> function) {
  MutexLock lock(&mu_);
  const bool earliest = timers_.empty() || at < timers_.begin()->first;
  timers_.emplace(at, std::move(function));
  if (earliest) changed_.Signal();
}

void TimerQueue::Every(absl::Duration interval, std::function<void()> function) {
  At(clock_->Now() + interval, [this, interval, function = std::move(function)] {
    function();
    Every(interval, function);
  });
}

void TimerQueue::RunDue() {
  const absl::Duration now = clock_->Now();
  while (true) {
    std::function<void()> function;
    {
      MutexLock lock(&mu_);
      if (stopping_ || timers_.empty() || timers_.begin()->first > now) return;
      function = std::move(timers_.begin()->second);
      timers_.erase(timers_.begin());
    }
    function();
  }
}

size_t TimerQueue::size() const {
  MutexLock lock(&mu_);
  return timers_.size();
}

void TimerQueue::Loop() {
  while (true) {
    {
      MutexLock lock(&mu_);
      while (!stopping_) {
        absl::Duration sleep = kLongestSleep;
        if (!timers_.empty()) sleep = std::min(sleep, timers_.begin()->first - clock_->Now());
        if (sleep <= absl::ZeroDuration()) break;
        changed_.WaitWithTimeout(&mu_, sleep);
      }
      if (stopping_) return;
    }
    RunDue();
  }
}

}  // namespace fanwire
