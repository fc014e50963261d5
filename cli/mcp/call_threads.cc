#include "cli/mcp/call_threads.h"

#include <utility>

namespace fanwire::cli {

CallThreads::CallThreads(size_t max_threads, size_t max_waiting)
    : max_threads_(max_threads), max_waiting_(max_waiting) {}

CallThreads::~CallThreads() {
  std::vector<std::thread> threads;
  std::deque<std::function<void()>> dropped;
  {
    MutexLock lock(&mu_);
    ending_ = true;
    dropped.swap(waiting_);
    threads.swap(threads_);
    changed_.SignalAll();
  }
  dropped.clear();
  for (std::thread& thread : threads) thread.join();
}

bool CallThreads::Run(std::function<void()> task) {
  MutexLock lock(&mu_);
  if (ending_) return false;
  // Each task that waits may take one of the idle threads.
  const bool needs_thread = waiting_.size() >= idle_;
  const bool starts = needs_thread && threads_.size() < max_threads_;
  if (needs_thread && !starts && waiting_.size() >= idle_ + max_waiting_) return false;
  waiting_.push_back(std::move(task));
  if (starts) {
    ++idle_;
    threads_.emplace_back([this] { Work(); });
  } else {
    changed_.Signal();
  }
  return true;
}

void CallThreads::Work() {
  while (true) {
    std::function<void()> task;
    {
      MutexLock lock(&mu_);
      while (waiting_.empty() && !ending_) changed_.Wait(&mu_);
      --idle_;
      if (ending_) return;
      task = std::move(waiting_.front());
      waiting_.pop_front();
    }
    task();
    MutexLock lock(&mu_);
    ++idle_;
  }
}

}  // namespace fanwire::cli
