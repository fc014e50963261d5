// InterruptScope calls a function on the first SIGINT or SIGTERM during its life.  A second signal
// ends the process, as it would without the scope.
//
// Threading: calls the function on a thread of its own.  At most one scope exists at a time.
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
