// What differs between two resolved configurations, and what of it cannot change while control
// runs.
//
// Threading: pure functions.
// Source:    the option `needs_restart` of proto/fanwire/v1/config_options.proto
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace fanwire::v1 {
class Config;
}

namespace fanwire::control {

// The paths of what differs: "workers", "limits.max_batch", "services[mahavishnu].max_connections",
// "services[billing]" for a service that only one of them has.
std::vector<std::string> ConfigDifference(const v1::Config& before, const v1::Config& after);

// Whether a change of this path takes effect only when control starts again.
bool NeedsRestart(absl::string_view path);

// Gives those keys of `after` that need a restart the values that they have in `before`.  Returns
// the paths of those that differed.
std::vector<std::string> KeepWhatNeedsRestart(const v1::Config& before, v1::Config* after);

}  // namespace fanwire::control
