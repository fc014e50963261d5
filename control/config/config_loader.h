// The configuration, from file, environment and flags to a checked message with every default
// filled in.
//
// Threading: pure functions; ReadConfigFile() and LoadConfigFile() block on the disk.
// Source:    proto/fanwire/v1/config.proto
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/config_file.h"

namespace fanwire::v1 {
class Config;
}

namespace fanwire::control {

class CatalogFiles;

// Where settings come from besides the file.
struct ConfigOverrides {
  std::vector<std::string> settings = {};   // "--set" flags: "limits.max_channels=10"
  std::vector<std::string> variables = {};  // "NAME=value"; those that begin with FANWIRE_ count
  EnvironmentLookup environment = {};       // for ${NAME} in the file
  // What relative paths in the file are relative to; nothing: the file's own folder.
  std::optional<std::string> folder = {};
};

struct LoadedConfig {
  LoadedConfig();
  ~LoadedConfig();
  LoadedConfig(LoadedConfig&&) noexcept;
  LoadedConfig& operator=(LoadedConfig&&) noexcept;

  std::unique_ptr<v1::Config> config;                 // resolved: each field has its value in force
  std::shared_ptr<const CatalogFiles> catalog_files;  // never null
  std::vector<std::string> errors;                    // "fanwire.yaml:12:5: services[0].port: …"
  std::vector<std::string> warnings;

  bool ok() const { return errors.empty(); }
  // {"ok", "errors", "warnings"}, and "resolved_yaml" if it is good: what `wsctl config check`
  // shows.
  std::string ToJson() const;
};

// "a/b" of "a/b/fanwire.yaml"; empty: the current folder.
std::string FolderOf(const std::string& file_name);

// Reads `text`, applies overrides, fills defaults and checks everything; finds all faults, not just
// the first.
LoadedConfig LoadConfig(absl::string_view text, const std::string& file_name,
                        const ConfigOverrides& overrides);

// The same of a file; one that cannot be read is a fault as well.
LoadedConfig LoadConfigFile(const std::string& path, const ConfigOverrides& overrides);

//   NOT_FOUND, PERMISSION_DENIED  the file cannot be read
//   INVALID_ARGUMENT              it is empty, or longer than a configuration may be; it is a
//                                 directory, a named pipe or a device, other than standard input
absl::StatusOr<std::string> ReadConfigFile(const std::string& path);

}  // namespace fanwire::control
