// Environment variables, and the places in texts that stand for them.
//
// Threading: safe from every thread as long as nothing changes the environment.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace fanwire {

// An environment variable's value, or null.
using EnvironmentLookup = std::function<const char*(const std::string& name)>;
EnvironmentLookup ProcessEnvironment();

// All environment variables of this process, as "NAME=value".
std::vector<std::string> EnvironmentVariables();

// Replaces ${NAME} and ${NAME:-default} in `text`; "$${" becomes a plain "${".
//   INVALID_ARGUMENT  the variable is not set and there is no default; "${" without "}"
absl::Status ExpandVariables(const EnvironmentLookup& environment, std::string* text);

}  // namespace fanwire
