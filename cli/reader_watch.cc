#include "cli/reader_watch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "common/check.h"

namespace fanwire::cli {

ReaderWatch::ReaderWatch(int fd, std::function<void()> on_gone) {
  if (fd < 0) return;
  end_ = eventfd(0, EFD_CLOEXEC);
  FANWIRE_CHECK(end_ >= 0);
  thread_ = std::thread([fd, end = end_, on_gone = std::move(on_gone)] {
    // Without events asked for, poll() returns only with POLLERR or POLLHUP for `fd`.
    pollfd watched[] = {{.fd = fd, .events = 0, .revents = 0},
                        {.fd = end, .events = POLLIN, .revents = 0}};
    while (poll(watched, 2, -1) < 0 && errno == EINTR) {
    }
    if (watched[0].revents != 0 && watched[1].revents == 0) on_gone();
  });
}

ReaderWatch::~ReaderWatch() {
  if (end_ < 0) return;
  FANWIRE_CHECK(eventfd_write(end_, 1) == 0);
  thread_.join();
  close(end_);
}

}  // namespace fanwire::cli
