#include "control/processes/process_state.h"

#include <array>
#include <cstddef>

namespace fanwire::control {

namespace {

constexpr std::array<absl::string_view, kProcessStates> kStateNames = {
    "starting", "running", "draining", "dead", "backoff", "stopped"};

}  // namespace

absl::string_view ProcessStateName(ProcessState state) {
  return kStateNames[static_cast<size_t>(state)];
}

}  // namespace fanwire::control
