#include "cli/interrupt.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <utility>

#include "common/check.h"

namespace fanwire::cli {
namespace {

constexpr char kSignal = 's';
constexpr char kEnd = 'e';

std::atomic<int> write_end{-1};

void OnSignal(int) {
  const int saved = errno;
  [[maybe_unused]] const ssize_t written = write(write_end.load(), &kSignal, 1);
  errno = saved;
}

}  // namespace

InterruptScope::InterruptScope(std::function<void()> on_interrupt) {
  FANWIRE_CHECK(pipe2(pipe_, O_CLOEXEC) == 0);
  write_end.store(pipe_[1]);
  thread_ = std::thread([fd = pipe_[0], on_interrupt = std::move(on_interrupt)] {
    char what = 0;
    while (read(fd, &what, 1) < 0 && errno == EINTR) {
    }
    if (what == kSignal) on_interrupt();
  });
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  action.sa_flags = static_cast<int>(SA_RESETHAND) | SA_RESTART;
  sigaction(SIGINT, &action, &old_int_);
  sigaction(SIGTERM, &action, &old_term_);
}

InterruptScope::~InterruptScope() {
  sigaction(SIGINT, &old_int_, nullptr);
  sigaction(SIGTERM, &old_term_, nullptr);
  [[maybe_unused]] const ssize_t written = write(pipe_[1], &kEnd, 1);
  thread_.join();
  close(pipe_[0]);
  close(pipe_[1]);
}

}  // namespace fanwire::cli
