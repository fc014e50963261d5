// SignalWaiter lets the main thread wait for process signals.
//
// Threading: construct it on the main thread before any other thread starts, so that all threads
//            inherit the blocked signals.  Only the main thread calls Wait() and WaitFor().
#pragma once

#include "absl/time/time.h"

namespace fanwire {

enum class ProcessSignal {
  kStop,     // TERM or INT: drain and stop
  kReload,   // HUP: reload the configuration
  kTimeout,  // no signal arrived in time; WaitFor() only
};

class SignalWaiter {
 public:
  // Blocks TERM, INT and HUP, and ignores PIPE.
  SignalWaiter();
  ~SignalWaiter();
  SignalWaiter(const SignalWaiter&) = delete;
  SignalWaiter& operator=(const SignalWaiter&) = delete;

  // Wait for the next signal.  A second TERM or INT ends the process at once with 128 + the signal,
  // because an operator who asks twice does not want to wait for the drain.
  ProcessSignal Wait();
  ProcessSignal WaitFor(absl::Duration timeout);

  // Restores the original signal mask and handlers in a child process, between fork and exec.
  static void RestoreInChild();

 private:
  int stops_ = 0;
};

}  // namespace fanwire
