// Makes the engine that the configuration names.
//
// Threading: pure functions.
#pragma once

#include <memory>

#include "absl/status/status.h"
#include "common/clock.h"
#include "control/engine/engine.h"

namespace fanwire::v1 {
class Config;
class EngineConfig;
}  // namespace fanwire::v1

namespace fanwire::control {

// The engine borrows the clock.
std::unique_ptr<Engine> MakeEngine(const v1::Config& config, const Clock* clock);

// Returns why the engine could not be started, as far as can be seen without changing anything.  A
// control may run with this configuration.
absl::Status CheckEngine(const v1::EngineConfig& config);

}  // namespace fanwire::control
