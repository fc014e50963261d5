#include "cli/standard_streams.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace fanwire::cli {
namespace {

// Replaces closed descriptors 0, 1 and 2.  open() returns the lowest free number; with O_PATH,
// read() and write() fail with EBADF.
//
// Calls the kernel directly, because it also runs before the libraries are initialized, and so
// before sanitizers are.
__attribute__((no_sanitize("address", "thread", "undefined"))) void FillClosed() {
  long fd = 0;
  while (fd >= 0 && fd <= STDERR_FILENO) {
    if (syscall(SYS_fcntl, fd, F_GETFD) >= 0) {
      ++fd;
    } else {
      fd = syscall(SYS_openat, AT_FDCWD, "/", O_PATH);
    }
  }
}

// gRPC opens descriptors while it is loaded.  The functions of this section run before that.
__attribute__((section(".preinit_array"), used)) void (*const fill_closed)() = FillClosed;

// Whether `fd` is open and allows what `access` stands for: O_RDONLY or O_WRONLY.
bool Allows(int fd, int access) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || (flags & O_PATH) != 0) return false;
  const int mode = flags & O_ACCMODE;
  return mode == O_RDWR || mode == access;
}

}  // namespace

StandardStreams CheckStandardStreams() {
  const StandardStreams streams{.input = Allows(STDIN_FILENO, O_RDONLY),
                                .results = Allows(STDOUT_FILENO, O_WRONLY),
                                .notes = Allows(STDERR_FILENO, O_WRONLY)};
  FillClosed();
  return streams;
}

}  // namespace fanwire::cli
