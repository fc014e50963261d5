// InterruptScope turns the first SIGINT or SIGTERM during its life into a call; a second one ends
// the process as if there were no scope.
//
// Threading: the call is made on a thread of the scope.  One scope at a time.
#pragma once

#include <signal.h>

#include <functional>
#include <thread>

namespace fanwire::cli {

class InterruptScope {
 public:
  explicit InterruptScope(std::function<void()> on_interrupt);
  ~InterruptScope();
  InterruptScope(const InterruptScope&) = delete;
  InterruptScope& operator=(const InterruptScope&) = delete;

 private:
  int pipe_[2];  // the handler writes, the thread reads
  struct sigaction old_int_;
  struct sigaction old_term_;
  std::thread thread_;
};

}  // namespace fanwire::cli
