// The worker's command line.  Everything else comes from control.
//
// Threading: pure functions and a value.
#pragma once

#include <cstdint>
#include <string>

#include "common/log.h"

namespace fanwire::fanout {

struct WorkerFlags {
  std::string control;    // "unix:/run/fanwire/control.sock", "127.0.0.1:8701"
  std::string worker_id;  // "worker-0"
  uint32_t slot = 0;
  std::string runtime_dir;  // folder of the slot's lock file; empty: no lock is taken
  bool supervised = false;  // started by a control of this machine
  LogLevel log_level = LogLevel::kInfo;
};

// Reads the command line.  Sets `*exit` to -1 if the worker should start.  After --help, --version
// or an error the text has been printed, and `*exit` is the exit code.
WorkerFlags ParseFlags(int argc, char** argv, int* exit);

}  // namespace fanwire::fanout
