// What config.proto says about its keys beside their types: the options of config_options.proto,
// read by reflection.
//
// Threading: pure functions.
// Cost:      texts are parsed at each call; for loading a configuration, not for serving.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace google::protobuf {
class FieldDescriptor;
class Message;
}  // namespace google::protobuf

namespace fanwire::v1 {
class KeyOptions;
}  // namespace fanwire::v1

namespace fanwire::control {

// The options of a key; empty ones if it has none.
const v1::KeyOptions& KeyOf(const google::protobuf::FieldDescriptor* field);

// The key whose range and unit hold for `field`: `field` itself, or the one that `same_as` names.
const google::protobuf::FieldDescriptor* RangeKeyOf(const google::protobuf::FieldDescriptor* field);

// The key of a path such as "limits.max_channels" or "services[a].port", whatever stands in the
// brackets; null if there is none.
const google::protobuf::FieldDescriptor* FindKey(absl::string_view path);

// Whether `field` has keys of its own, or is a list of such: not a single value, a map, a duration
// or any YAML.
bool IsSection(const google::protobuf::FieldDescriptor* field);
bool IsDuration(const google::protobuf::FieldDescriptor* field);

// Sets `field` to the value of an option ("64KiB", "3s", "memory"), which must be right.
void SetFromText(absl::string_view text, const google::protobuf::FieldDescriptor* field,
                 google::protobuf::Message* message);

}  // namespace fanwire::control
