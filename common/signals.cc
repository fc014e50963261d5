#include "common/signals.h"

#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

namespace fanwire {
namespace {

sigset_t Watched() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGHUP);
  return set;
}

}  // namespace

SignalWaiter::SignalWaiter() {
  const sigset_t set = Watched();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

SignalWaiter::~SignalWaiter() {
  const sigset_t set = Watched();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

ProcessSignal SignalWaiter::Wait() { return WaitFor(absl::InfiniteDuration()); }

ProcessSignal SignalWaiter::WaitFor(absl::Duration timeout) {
  const sigset_t set = Watched();
  const timespec limit = absl::ToTimespec(timeout);
  while (true) {
    const int got = timeout == absl::InfiniteDuration() ? sigwaitinfo(&set, nullptr)
                                                        : sigtimedwait(&set, nullptr, &limit);
    if (got == SIGHUP) return ProcessSignal::kReload;
    if (got == SIGTERM || got == SIGINT) {
      if (++stops_ > 1) _exit(128 + got);
      return ProcessSignal::kStop;
    }
    if (got < 0 && errno == EAGAIN) return ProcessSignal::kTimeout;
  }
}

void SignalWaiter::RestoreInChild() {
  const sigset_t set = Watched();
  sigprocmask(SIG_UNBLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_DFL);
}

}  // namespace fanwire
