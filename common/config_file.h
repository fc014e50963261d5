// A configuration file: YAML read into a protobuf message by reflection, so that the proto is both
// schema and manual.
//
// Keys are the fields' names.  Durations are written "250ms", "5s", "1h30m"; integer fields whose
// name ends in `_bytes` take "64KiB" or "1MiB" too; enums the lower-case name without its prefix;
// Struct and Value fields any YAML.  In texts `${NAME}` and `${NAME:-default}` stand for
// environment variables (common/environment.h), and `$${` for `${`; texts in Struct and Value
// fields are taken as they are.  common/yaml_check.h says which YAML is accepted.
//
// Threading: pure functions.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/environment.h"

namespace google::protobuf {
class Message;
}

namespace fanwire {

// Remembers at which place of the file each value of a message stands, for later error messages.
class ConfigSource {
 public:
  explicit ConfigSource(std::string file = "config") : file_(std::move(file)) {}

  // Returns "fanwire.yaml:12:5" for the path of a field, "services[2].port".  For a field that the
  // file does not have, returns the place of the nearest field around it.
  std::string Where(absl::string_view path) const;

  // Returns whether the file has this field, even if its value is 0 or an empty text.
  bool Given(absl::string_view path) const;

  // "fanwire.yaml:12:5: services[2].port: TEXT".
  std::string Message(absl::string_view path, absl::string_view text) const;

  void Set(const std::string& path, std::string where) { where_[path] = std::move(where); }
  const std::string& file() const { return file_; }

 private:
  std::string file_;
  std::map<std::string, std::string> where_;
};

// ParseConfig() returns at most this many faults.
inline constexpr size_t kMaxConfigFaults = 100;

// Reads `text` into `message` (merging), and the places of its values into `source`.  Returns the
// faults, each as "file:line:column: path: what is wrong" in one line; none if the text is good.
// If there are more than kMaxConfigFaults, returns the first ones, and a last line that says so.
std::vector<std::string> ParseConfig(absl::string_view text, const EnvironmentLookup& environment,
                                     google::protobuf::Message* message, ConfigSource* source);

// `message` as YAML that ParseConfig() reads back to the same message, except for secrets (texts of
// fields whose name has "secret" in it or is "token"), which are kHiddenSecret.
inline constexpr char kHiddenSecret[] = "***";
std::string ConfigToYaml(const google::protobuf::Message& message);

}  // namespace fanwire
