// What fanwire-control prints about its configuration before it starts, or instead.
//
// Threading: a pure function that prints.
#pragma once

#include <optional>

#include "control/config/config_loader.h"
#include "control/flags.h"

namespace fanwire::control {

// Prints the faults and warnings of `config`, and what `flags` asks for.  Returns the exit code, or
// nothing if the program should start.
std::optional<int> AnswerAboutConfig(const ControlFlags& flags, const LoadedConfig& config);

}  // namespace fanwire::control
