// Whether the numbers and durations of a configuration lie in the ranges that config.proto names.
//
// Threading: pure functions.
// Source:    the options `min` and `max` of proto/fanwire/v1/config_options.proto
#pragma once

#include <string>
#include <vector>

namespace fanwire {
class ConfigSource;
}

namespace fanwire::v1 {
class Config;
}

namespace fanwire::control {

// Appends "file:line:column: limits.max_batch: 0 is not between 1 and 1000000" for each value that
// is out of range.  `config` is as it was read, without defaults: what is not given is not checked.
// A 0 in the file is given, although the message does not show it.
void CheckRanges(const v1::Config& config, const ConfigSource& source,
                 std::vector<std::string>* faults);

}  // namespace fanwire::control
