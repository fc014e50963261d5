// ProcessLock makes sure that one process at a time is worker N of this machine.
//
// Threading: a value; move-only.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/statusor.h"

namespace fanwire::fanout {

// Holds the lock file of a worker's number for the life of the process: runtime_dir/worker-N.lock,
// which contains the process id.
class ProcessLock {
 public:
  //   ALREADY_EXISTS       another worker holds the slot
  //   FAILED_PRECONDITION  the file cannot be made
  static absl::StatusOr<ProcessLock> Take(const std::string& runtime_dir, uint32_t slot);

  // Makes the file again if somebody has deleted it, as cleaners of /tmp do: a control that starts
  // finds this process by it.  Does nothing while the folder is missing or another user's, or if a
  // process that was started meanwhile has taken the lock.
  void Restore();

  ProcessLock(ProcessLock&& other) noexcept;
  ProcessLock& operator=(ProcessLock&& other) noexcept;
  ~ProcessLock();

 private:
  ProcessLock(std::string runtime_dir, uint32_t slot, int fd)
      : runtime_dir_(std::move(runtime_dir)), slot_(slot), fd_(fd) {}

  std::string runtime_dir_;
  uint32_t slot_ = 0;
  int fd_ = -1;
};

}  // namespace fanwire::fanout
