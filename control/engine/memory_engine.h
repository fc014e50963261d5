// The engine that keeps everything in the memory of this process.  A restart loses all history;
// clients notice because the channels have new epochs.
#pragma once

#include <cstdint>
#include <memory>

#include "control/engine/engine.h"

namespace fanwire::control {

// `max_history_bytes` bounds the memory of all channels together.
std::unique_ptr<Engine> MakeMemoryEngine(uint64_t max_history_bytes);

}  // namespace fanwire::control
