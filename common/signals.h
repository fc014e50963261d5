// SignalWaiter turns process signals into return values of the main thread.
//
// Threading: construct it on the main thread before any other thread starts, so that all inherit
//            the blocked mask; Wait() and WaitFor() belong to the main thread.
#pragma once

#include "absl/time/time.h"

namespace fanwire {

enum class ProcessSignal {
  kStop,     // TERM or INT: drain and end
  kReload,   // HUP
  kTimeout,  // WaitFor() only
};

class SignalWaiter {
 public:
  // Blocks TERM, INT and HUP, and ignores PIPE.
  SignalWaiter();
  ~SignalWaiter();
  SignalWaiter(const SignalWaiter&) = delete;
  SignalWaiter& operator=(const SignalWaiter&) = delete;

  // A second kStop after the first ends the process at once, with 128 + the signal: an operator who
  // asks twice means it.
  ProcessSignal Wait();
  ProcessSignal WaitFor(absl::Duration timeout);

  // Lets a child process start with the signals as they were.  Call it between fork and exec.
  static void RestoreInChild();

 private:
  int stops_ = 0;
};

}  // namespace fanwire
