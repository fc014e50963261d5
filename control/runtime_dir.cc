#include "control/runtime_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace fanwire::control {

namespace {

constexpr char kAdvice[] = "set control.socket to another place";

absl::Status SystemError(absl::string_view what) {
  return absl::FailedPreconditionError(absl::StrCat(what, ": ", std::strerror(errno)));
}

std::string LockPath(const std::string& folder) { return folder + "/control.lock"; }

// Whether somebody listens on the unix socket `path`.
bool IsListenedOn(const std::string& path) {
  sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
  std::memcpy(address.sun_path, path.data(), std::min(path.size(), sizeof(address.sun_path) - 1));
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const bool listened =
      connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ||
      errno == EAGAIN;  // its queue is full
  close(fd);
  return listened;
}

absl::Status RemoveAbandonedSocket(const std::string& path) {
  const auto refused = [&](absl::string_view why) {
    return absl::FailedPreconditionError(
        absl::StrCat("control.socket: ", path, " is ", why, "; move it away, or ", kAdvice));
  };
  struct stat info = {};
  if (lstat(path.c_str(), &info) != 0) {
    return errno == ENOENT ? absl::OkStatus() : SystemError(path);
  }
  if (S_ISDIR(info.st_mode)) return refused("a directory, not a socket");
  if (S_ISLNK(info.st_mode)) return refused("a symbolic link, not a socket");
  if (!S_ISSOCK(info.st_mode)) return refused("a file, not a socket");
  if (IsListenedOn(path)) return refused("the socket of another program, which listens there");
  return unlink(path.c_str()) == 0 ? absl::OkStatus() : SystemError(path);
}

}  // namespace

RuntimeDir::~RuntimeDir() {
  if (fd_ >= 0) close(fd_);
}

absl::Status RuntimeDir::Take(const std::string& socket) {
  path_ = socket.substr(0, std::max<size_t>(socket.rfind('/'), 1));
  if (absl::Status status = TakeFolder(); !status.ok()) return status;
  if (absl::Status status = TakeLock(); !status.ok()) return status;
  return RemoveAbandonedSocket(socket);
}

absl::Status RuntimeDir::Restore() {
  if (absl::Status status = TakeFolder(); !status.ok()) return status;
  struct stat held = {}, there = {};
  if (fstat(fd_, &held) == 0 && stat(LockPath(path_).c_str(), &there) == 0 &&
      held.st_dev == there.st_dev && held.st_ino == there.st_ino) {
    return absl::OkStatus();
  }
  return TakeLock();
}

absl::Status RuntimeDir::TakeFolder() {
  if (mkdir(path_.c_str(), 0700) != 0 && errno != EEXIST) return SystemError(path_);
  struct stat info = {};
  if (lstat(path_.c_str(), &info) != 0) return SystemError(path_);
  if (!S_ISDIR(info.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat(path_, ": expected a directory for control's socket; ", kAdvice));
  }
  // In a folder that all may write to, somebody else may have been first.
  if (info.st_uid != geteuid() && geteuid() != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(path_, ": directory is not owned by this user; ", kAdvice));
  }
  return absl::OkStatus();
}

absl::Status RuntimeDir::TakeLock() {
  const std::string lock = LockPath(path_);
  const int fd = open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return SystemError(lock);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    close(fd);
    return absl::FailedPreconditionError(
        absl::StrCat(lock, ": another control runs here; stop it, or ", kAdvice));
  }
  if (fd_ >= 0) close(fd_);
  fd_ = fd;
  return absl::OkStatus();
}

}  // namespace fanwire::control
