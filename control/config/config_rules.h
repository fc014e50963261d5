// The rules of a configuration that a range cannot express: addresses, names, patterns, and what
// several keys must agree on.
//
// Threading: pure functions.
// Source:    proto/fanwire/v1/config.proto
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

// Appends "file:line:column: services[0].name: …" for each rule that `config` breaks.  `config` has
// its defaults.
void CheckRules(const v1::Config& config, const ConfigSource& source,
                std::vector<std::string>* faults);

}  // namespace fanwire::control
