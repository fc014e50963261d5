// CallThreads runs calls at the same time, each on a thread of its own while it runs.  Threads are
// started when they are needed, and reused.
//
// Threading: Run() from any thread.  The destructor drops the tasks that wait, and returns when
//            those that run have returned: cancel them first.
// Cost:      at most `max_threads` threads; an idle one waits on a condition variable.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "common/mutex.h"

namespace fanwire::cli {

class CallThreads {
 public:
  CallThreads(size_t max_threads, size_t max_waiting);
  ~CallThreads();
  CallThreads(const CallThreads&) = delete;
  CallThreads& operator=(const CallThreads&) = delete;

  // Runs `task` as soon as a thread is free.  Returns false if as many tasks as allowed wait.
  bool Run(std::function<void()> task);

 private:
  void Work();

  const size_t max_threads_;
  const size_t max_waiting_;
  Mutex mu_;
  CondVar changed_;
  std::deque<std::function<void()>> waiting_ ABSL_GUARDED_BY(mu_);
  size_t idle_ ABSL_GUARDED_BY(mu_) = 0;  // threads that run no task, or have just been started
  bool ending_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::thread> threads_ ABSL_GUARDED_BY(mu_);
};

}  // namespace fanwire::cli
