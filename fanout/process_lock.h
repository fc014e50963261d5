// ProcessLock makes sure that one process at a time is worker N of this machine.
//
// Threading: a value; move-only.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace fanwire::fanout {

// Holds the lock file of a worker's number for the life of the process: runtime_dir/worker-N.lock,
// which contains the process id.
class ProcessLock {
 public:
  //   ALREADY_EXISTS       another worker holds the slot
  //   FAILED_PRECONDITION  the file cannot be made
  static absl::StatusOr<ProcessLock> Take(const std::string& runtime_dir, uint32_t slot);

  ProcessLock(ProcessLock&& other) noexcept;
  ProcessLock& operator=(ProcessLock&& other) noexcept;
  ~ProcessLock();

 private:
  explicit ProcessLock(int fd) : fd_(fd) {}

  int fd_ = -1;
};

}  // namespace fanwire::fanout
