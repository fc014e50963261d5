// Settings that beat a configuration file: flags and environment variables.
//
// Threading: pure functions.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/config_file.h"

namespace fanwire {

// Sets one field by its path, "limits.max_event_bytes" (or services.NAME.port for the element of a
// list whose `name` is NAME), as a flag or a variable does.  Error messages name `origin`, and from
// now on `source` returns `origin` as the place of this field.
//   INVALID_ARGUMENT  `--set limits.x: no such key; did you mean limits.y?`
absl::Status OverrideConfig(absl::string_view path, absl::string_view value,
                            absl::string_view origin, google::protobuf::Message* message,
                            ConfigSource* source);

// Applies each PREFIX_A__B=value of `variables` ("NAME=value") as an override of a.b.  Returns what
// is wrong, a line each.
std::vector<std::string> OverrideFromEnvironment(absl::string_view prefix,
                                                 const std::vector<std::string>& variables,
                                                 google::protobuf::Message* message,
                                                 ConfigSource* source);

}  // namespace fanwire
