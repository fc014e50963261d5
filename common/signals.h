// SignalWaiter lets the main thread wait for process signals.
//
// A second TERM or INT ends the process at once with exit code 128 + the signal's number, whatever
// the main thread does: an operator who asks twice does not want to wait for the drain.
//
// Threading: construct it on the main thread before any other thread starts, so that all threads
//            inherit the blocked signals.  Only the main thread calls Wait() and WaitFor(); Wake()
//            is safe from every thread.  A thread of its own takes the signals.
#pragma once

#include <thread>

#include "absl/time/time.h"
#include "common/mutex.h"

namespace fanwire {

enum class ProcessSignal {
  kStop,     // TERM or INT: drain and stop; returned once
  kReload,   // HUP: reload the configuration
  kWoken,    // Wake() was called
  kTimeout,  // nothing happened in time; WaitFor() only
};

class SignalWaiter {
 public:
  // Blocks TERM, INT and HUP, and ignores PIPE.
  SignalWaiter();
  // TERM, INT and HUP stay blocked: one that comes while the process ends does not change its exit
  // code.
  ~SignalWaiter();
  SignalWaiter(const SignalWaiter&) = delete;
  SignalWaiter& operator=(const SignalWaiter&) = delete;

  // Wait for the next signal or for Wake().  Signals of one kind that came before the call are
  // returned once.
  ProcessSignal Wait();
  ProcessSignal WaitFor(absl::Duration timeout);

  // Makes Wait() or WaitFor() return kWoken.
  void Wake();

  // Holds HUP back until a SignalWaiter takes it.  A program calls this before anything else,
  // because HUP ends a process that does not expect it.  It may run before all constructors.
  static void HoldReload();

  // Restores the original signal mask and handlers in a child process, between fork and exec.
  static void RestoreInChild();

 private:
  void TakeSignals();

  const int signals_;  // signalfd
  const int end_;      // eventfd: the thread is to end

  Mutex mu_;  // a leaf
  CondVar changed_;
  bool stop_ ABSL_GUARDED_BY(mu_) = false;
  bool reload_ ABSL_GUARDED_BY(mu_) = false;
  bool woken_ ABSL_GUARDED_BY(mu_) = false;

  std::thread thread_;
};

}  // namespace fanwire
