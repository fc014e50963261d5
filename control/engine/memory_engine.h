// The engine that keeps everything in this process: gone with it, and told to clients by new
// epochs.
#pragma once

#include <cstdint>
#include <memory>

#include "control/engine/engine.h"

namespace fanwire::control {

// `max_history_bytes` bounds what all channels hold together.
std::unique_ptr<Engine> MakeMemoryEngine(uint64_t max_history_bytes);

}  // namespace fanwire::control
