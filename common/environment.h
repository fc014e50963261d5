// Environment variables, and the places in texts that stand for them.
//
// Threading: safe from every thread as long as nothing changes the environment.
#pragma once

#include <cstddef>
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

// Replaces ${NAME} and ${NAME:-default} in `text`; "$${" becomes a plain "${".  A variable that is
// set but empty has the default, too.  A default may have variables of its own, which are looked at
// only if it is used: ${A:-${B:-c}}.  Values of variables are taken as they are.
//   INVALID_ARGUMENT    the variable is not set and there is no default, or its value is not UTF-8;
//                       "${" without "}"; not a variable's name, as in ${A-b} or ${ A }
//   RESOURCE_EXHAUSTED  the result would have more than `max_bytes`
absl::Status ExpandVariables(const EnvironmentLookup& environment, std::string* text,
                             size_t max_bytes = size_t{1} << 20);

}  // namespace fanwire
