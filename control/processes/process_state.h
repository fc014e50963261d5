// The states of a local worker's process, as the supervisor tells them.  WorkerProcesses shows how
// one follows another.
//
// Threading: a pure function and values.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace fanwire::control {

enum class ProcessState : uint8_t {
  kStarting,  // its process runs and has not attached yet
  kRunning,   // attached
  kDraining,  // was told to end, by a drain order or SIGTERM
  kDead,      // its process runs and is no longer attached
  kBackoff,   // has no process; it will be started again
  kStopped,   // has no process; an operator drained it, or control is stopping
};

constexpr int kProcessStates = 6;
absl::string_view ProcessStateName(ProcessState state);  // "starting"

struct ProcessInfo {
  std::string id;       // "worker-0"
  uint32_t number = 0;  // 0 for "worker-0"
  uint32_t pid = 0;     // 0: no process
  ProcessState state = ProcessState::kBackoff;
  int64_t restarts = 0;
};

}  // namespace fanwire::control
