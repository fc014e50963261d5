// What a worker is told at its start; everything else comes from control.
//
// Threading: pure functions and a value.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "common/log.h"

namespace fanwire::fanout {

struct WorkerOptions {
  std::string control;    // "unix:/run/fanwire/control.sock", "127.0.0.1:8701"
  std::string worker_id;  // "worker-0"
  uint32_t slot = 0;
  std::string runtime_dir;  // where the lock of the slot is; empty: none is taken
  bool supervised = false;  // started by a control of this machine
  LogLevel log_level = LogLevel::kInfo;
};

// Reads the command line.  If the program should end instead (--help, --version, a fault), `*exit`
// is set to its exit code, and the text has been printed.
WorkerOptions ParseWorkerOptions(int argc, char** argv, int* exit);

// Holds a slot of this machine for the life of the process: runtime_dir/worker-N.lock, which has
// the process id in it.
class SlotLock {
 public:
  //   ALREADY_EXISTS       another worker holds the slot
  //   FAILED_PRECONDITION  the file cannot be made
  static absl::StatusOr<SlotLock> Take(const std::string& runtime_dir, uint32_t slot);

  SlotLock(SlotLock&& other) noexcept;
  SlotLock& operator=(SlotLock&& other) noexcept;
  ~SlotLock();

 private:
  explicit SlotLock(int fd) : fd_(fd) {}

  int fd_ = -1;
};

}  // namespace fanwire::fanout
