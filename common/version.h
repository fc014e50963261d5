// The version and the build of this program.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace fanwire {

// The project's version, "0.1.0".
extern const absl::string_view kVersion;

// Compiler and build type: "g++ 12.2.0, Release".
std::string BuildInfo();

}  // namespace fanwire
