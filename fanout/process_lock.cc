#include "fanout/process_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log.h"

namespace fanwire::fanout {

namespace {

std::string LockPath(const std::string& runtime_dir, uint32_t slot) {
  return absl::StrCat(runtime_dir, "/worker-", slot, ".lock");
}

// In a folder that all may write to, somebody else may have made it again first.
bool IsOwnFolder(const std::string& path) {
  struct stat info = {};
  return lstat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode) &&
         (info.st_uid == geteuid() || geteuid() == 0);
}

}  // namespace

absl::StatusOr<ProcessLock> ProcessLock::Take(const std::string& runtime_dir, uint32_t slot) {
  if (runtime_dir.empty()) return ProcessLock("", slot, -1);
  const std::string path = LockPath(runtime_dir, slot);
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": ", std::strerror(errno)));
  }
  ProcessLock lock(runtime_dir, slot, fd);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    return absl::AlreadyExistsError(absl::StrCat(path, ": another worker holds this slot"));
  }
  const std::string text = absl::StrCat(getpid(), "\n");
  if (ftruncate(fd, 0) != 0 ||
      write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": ", std::strerror(errno)));
  }
  return lock;
}

void ProcessLock::Restore() {
  if (fd_ < 0) return;
  const std::string path = LockPath(runtime_dir_, slot_);
  struct stat info = {};
  if (lstat(path.c_str(), &info) == 0 || errno != ENOENT || !IsOwnFolder(runtime_dir_)) return;
  absl::StatusOr<ProcessLock> again = Take(runtime_dir_, slot_);
  if (!again.ok()) return;
  *this = *std::move(again);
  LogWarning("lock.made_again", {{"file", path}, {"reason", "it was deleted"}});
}

ProcessLock::ProcessLock(ProcessLock&& other) noexcept
    : runtime_dir_(std::move(other.runtime_dir_)),
      slot_(other.slot_),
      fd_(std::exchange(other.fd_, -1)) {}

ProcessLock& ProcessLock::operator=(ProcessLock&& other) noexcept {
  std::swap(runtime_dir_, other.runtime_dir_);
  std::swap(slot_, other.slot_);
  std::swap(fd_, other.fd_);
  return *this;
}

ProcessLock::~ProcessLock() {
  if (fd_ >= 0) close(fd_);
}

}  // namespace fanwire::fanout
