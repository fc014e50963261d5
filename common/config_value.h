// One value of a configuration and its text: "250ms" for a Duration, "64KiB" for an integer whose
// name ends in `_bytes`, the lower-case name without its prefix for an enum.
//
// Threading: pure functions.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace google::protobuf {
class Descriptor;
class EnumValueDescriptor;
class FieldDescriptor;
class Message;
}  // namespace google::protobuf

namespace fanwire {

// The messages that are written as single values, or as any YAML.
inline constexpr char kConfigDuration[] = "google.protobuf.Duration";
inline constexpr char kConfigStruct[] = "google.protobuf.Struct";
inline constexpr char kConfigValue[] = "google.protobuf.Value";

// Whether `field` is a message of this full name.
bool IsMessage(const google::protobuf::FieldDescriptor* field, const char* name);

// What a fault expects of a duration: `expected a duration such as "250ms" or "5s", found "soon"`.
inline constexpr char kDurationExample[] = "a duration such as \"250ms\" or \"5s\"";

// Sets `field`, a single value, of `message` from its text; adds an element if it is a list.
// Returns what is wrong, or an empty text: `expected true or false, found "yes"`.
std::string SetConfigField(absl::string_view text, const google::protobuf::FieldDescriptor* field,
                           google::protobuf::Message* message);

// "latest" of BACKLOG_POLICY_LATEST.
std::string ConfigEnumName(const google::protobuf::EnumValueDescriptor* value);

std::vector<std::string> FieldNames(const google::protobuf::Descriptor* descriptor);

// "debug, info or error".
std::string ConfigChoices(const std::vector<std::string>& choices);

// "; did you mean X?" for the nearest of `known`, or all of them if none is near.
std::string Suggestion(absl::string_view given, const std::vector<std::string>& known);

}  // namespace fanwire
