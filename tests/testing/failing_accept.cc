#include "tests/testing/failing_accept.h"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <utility>

namespace fanwire {

namespace {

std::atomic<FailingAccept*> active{nullptr};

}  // namespace

FailingAccept::FailingAccept(std::deque<int> errors) : errors_(std::move(errors)) { active = this; }

FailingAccept::FailingAccept(int error) : always_(error) { active = this; }

FailingAccept::~FailingAccept() { active = nullptr; }

int FailingAccept::Next() {
  const MutexLock lock(&mu_);
  if (errors_.empty()) return always_;
  const int error = errors_.front();
  errors_.pop_front();
  return error;
}

}  // namespace fanwire

// Takes the place of the C library's.
extern "C" int accept4(int fd, sockaddr* address, socklen_t* size, int flags) {
  if (fanwire::FailingAccept* const failing = fanwire::active; failing != nullptr) {
    if (const int error = failing->Next(); error != 0) {
      errno = error;
      return -1;
    }
  }
  return static_cast<int>(::syscall(SYS_accept4, fd, address, size, flags));
}
