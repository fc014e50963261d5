// The engine that keeps everything in this process.  A restart loses all history; clients learn of
// it by the new epochs.
#pragma once

#include <cstdint>
#include <memory>

#include "control/engine/engine.h"

namespace fanwire::control {

// `max_history_bytes` bounds the memory of all channels together.
std::unique_ptr<Engine> MakeMemoryEngine(uint64_t max_history_bytes);

}  // namespace fanwire::control
