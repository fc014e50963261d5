// A configuration file: YAML read into a protobuf message by reflection, so that the proto is both
// schema and manual.
//
// Keys are the fields' names.  Durations are written "250ms", "5s", "1h30m"; integer fields whose
// name ends in `_bytes` take "64KiB" or "1MiB" too; enums the lower-case name without its prefix;
// Struct and Value fields any YAML.  In texts `${NAME}` and `${NAME:-default}` stand for
// environment variables (common/environment.h), and `$${` for `${`; texts in Struct and Value
// fields are taken as they are.  What can be read at all: common/yaml_check.h.
//
// Threading: none.
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

// Where each value of a message came from, for the messages of later checks.
class ConfigSource {
 public:
  explicit ConfigSource(std::string file = "config") : file_(std::move(file)) {}

  // "fanwire.yaml:12:5" for the path of a field, "services[2].port"; of a field that was not given,
  // the nearest one around it.
  std::string Where(absl::string_view path) const;

  // Whether the field itself was given, be it by 0 or an empty text.
  bool Given(absl::string_view path) const;

  // "fanwire.yaml:12:5: services[2].port: TEXT".
  std::string Message(absl::string_view path, absl::string_view text) const;

  void Set(const std::string& path, std::string where) { where_[path] = std::move(where); }
  const std::string& file() const { return file_; }

 private:
  std::string file_;
  std::map<std::string, std::string> where_;
};

// How many faults ParseConfig() names at most.
inline constexpr size_t kMaxConfigFaults = 100;

// Reads `text` into `message` (merging), and where its values stand into `source`.  Returns every
// fault found, each as "file:line:column: path: what is wrong" in one line; empty: all is well.  Of
// a text with more than kMaxConfigFaults the first ones are named, and that there are more.
std::vector<std::string> ParseConfig(absl::string_view text, const EnvironmentLookup& environment,
                                     google::protobuf::Message* message, ConfigSource* source);

// `message` as YAML that ParseConfig() reads back to the same message, except for secrets (texts of
// fields whose name has "secret" in it or is "token"), which are kHiddenSecret.
inline constexpr char kHiddenSecret[] = "***";
std::string ConfigToYaml(const google::protobuf::Message& message);

}  // namespace fanwire
