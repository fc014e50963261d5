// RuntimeDir is the folder of control's socket and of the workers' locks.  Only one control at a
// time can hold it.
//
// Threading: one thread at a time.
// Ownership: holds the folder's lock until it is destroyed, or until the process ends.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace fanwire::control {

class RuntimeDir {
 public:
  RuntimeDir() = default;
  ~RuntimeDir();
  RuntimeDir(const RuntimeDir&) = delete;
  RuntimeDir& operator=(const RuntimeDir&) = delete;

  // Makes the folder of `socket` if it is missing, takes its lock, and removes a socket that an
  // earlier control has left behind.  Removes nothing else.
  //   FAILED_PRECONDITION  the folder cannot be made or is somebody else's; another control holds
  //                        it; something other than an abandoned socket is at `socket`
  absl::Status Take(const std::string& socket);

  // Makes the folder again and takes its lock again if somebody has deleted them since Take(), as
  // cleaners of /tmp do.
  //   FAILED_PRECONDITION  as above; another control has taken its place
  absl::Status Restore();

  // The path of the socket that was given to Take().
  const std::string& path() const { return path_; }

 private:
  absl::Status TakeFolder();
  absl::Status TakeLock();

  std::string path_;
  int fd_ = -1;  // of the lock
};

}  // namespace fanwire::control
