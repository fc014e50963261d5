// What a worker is told at its start; everything else comes from control.
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
  std::string runtime_dir;  // where the lock of the slot is; empty: none is taken
  bool supervised = false;  // started by a control of this machine
  LogLevel log_level = LogLevel::kInfo;
};

// Reads the command line.  If the program should end instead (--help, --version, a fault), `*exit`
// is set to its exit code, and the text has been printed.
WorkerFlags ParseFlags(int argc, char** argv, int* exit);

}  // namespace fanwire::fanout
