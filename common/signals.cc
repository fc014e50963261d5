#include "common/signals.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

#include "common/check.h"
#include "common/clock.h"

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

int OpenSignals() {
  const sigset_t set = Watched();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  const int fd = signalfd(-1, &set, SFD_CLOEXEC);
  FANWIRE_CHECK(fd >= 0);
  return fd;
}

int OpenEvent() {
  const int fd = eventfd(0, EFD_CLOEXEC);
  FANWIRE_CHECK(fd >= 0);
  return fd;
}

}  // namespace

SignalWaiter::SignalWaiter() : signals_(OpenSignals()), end_(OpenEvent()) {
  signal(SIGPIPE, SIG_IGN);
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "signals");
    TakeSignals();
  });
}

SignalWaiter::~SignalWaiter() {
  eventfd_write(end_, 1);
  thread_.join();
  close(signals_);
  close(end_);
}

void SignalWaiter::TakeSignals() {
  bool stopping = false;
  while (true) {
    pollfd ready[] = {{.fd = signals_, .events = POLLIN, .revents = 0},
                      {.fd = end_, .events = POLLIN, .revents = 0}};
    if (poll(ready, 2, -1) < 0) continue;
    if (ready[1].revents != 0) return;
    signalfd_siginfo info;
    if (read(signals_, &info, sizeof(info)) != sizeof(info)) continue;
    const bool stop = info.ssi_signo != SIGHUP;
    if (stop && std::exchange(stopping, true)) _exit(128 + static_cast<int>(info.ssi_signo));
    MutexLock lock(&mu_);
    (stop ? stop_ : reload_) = true;
    changed_.SignalAll();
  }
}

ProcessSignal SignalWaiter::Wait() { return WaitFor(absl::InfiniteDuration()); }

ProcessSignal SignalWaiter::WaitFor(absl::Duration timeout) {
  const Clock* const clock = Clock::Real();
  const absl::Duration deadline = clock->Now() + timeout;
  MutexLock lock(&mu_);
  while (true) {
    if (std::exchange(stop_, false)) return ProcessSignal::kStop;
    if (std::exchange(reload_, false)) return ProcessSignal::kReload;
    if (std::exchange(woken_, false)) return ProcessSignal::kWoken;
    if (timeout == absl::InfiniteDuration()) {
      changed_.Wait(&mu_);
      continue;
    }
    const absl::Duration left = deadline - clock->Now();
    if (left <= absl::ZeroDuration()) return ProcessSignal::kTimeout;
    changed_.WaitWithTimeout(&mu_, left);
  }
}

void SignalWaiter::Wake() {
  MutexLock lock(&mu_);
  woken_ = true;
  changed_.SignalAll();
}

// Sanitizers are not ready before all constructors: this touches nothing that they watch.
__attribute__((no_sanitize("address", "thread", "undefined"))) void SignalWaiter::HoldReload() {
  const uint64_t set = uint64_t{1} << (SIGHUP - 1);
  syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, nullptr, sizeof(set));
}

void SignalWaiter::RestoreInChild() {
  const sigset_t set = Watched();
  sigprocmask(SIG_UNBLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_DFL);
}

}  // namespace fanwire
