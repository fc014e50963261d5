// Fills what a configuration does not give.
//
// Threading: pure functions.
// Source:    the options `default`, `computed`, `same_as` and `fallback` of
//            proto/fanwire/v1/config_options.proto
#pragma once

namespace fanwire::v1 {
class ChannelRule;
class Config;
}  // namespace fanwire::v1

namespace fanwire::control {

// Gives each key that is not given its default, and each service its listeners.  Leaves out keys
// whose secret is empty: the variable that holds it is not set.
void FillDefaults(v1::Config* config);

// What holds for a channel where no rule sets a key.
v1::ChannelRule FallbackRule();

}  // namespace fanwire::control
