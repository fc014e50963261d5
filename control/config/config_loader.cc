#include "control/config/config_loader.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/config_overrides.h"
#include "control/config/config_defaults.h"
#include "control/config/config_ranges.h"
#include "control/config/config_rules.h"
#include "fanwire/v1/config.pb.h"

namespace fanwire::control {

LoadedConfig::LoadedConfig() : config(std::make_unique<v1::Config>()) {}
LoadedConfig::~LoadedConfig() = default;
LoadedConfig::LoadedConfig(LoadedConfig&&) noexcept = default;
LoadedConfig& LoadedConfig::operator=(LoadedConfig&&) noexcept = default;

std::string LoadedConfig::ErrorText() const { return absl::StrJoin(errors, "\n"); }

std::string LoadedConfig::ToJson() const {
  nlohmann::ordered_json object = {{"ok", ok()}, {"errors", errors}, {"warnings", warnings}};
  if (ok()) object["resolved_yaml"] = ConfigToYaml(*config);
  return object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

LoadedConfig LoadConfig(absl::string_view text, const std::string& file_name,
                        const ConfigOverrides& overrides) {
  LoadedConfig loaded;
  ConfigSource source(file_name);
  const EnvironmentLookup environment =
      overrides.environment ? overrides.environment : ProcessEnvironment();
  loaded.errors = ParseConfig(text, environment, loaded.config.get(), &source);
  for (std::string& fault :
       OverrideFromEnvironment("FANWIRE_", overrides.variables, loaded.config.get(), &source)) {
    loaded.errors.push_back(std::move(fault));
  }
  for (const std::string& setting : overrides.settings) {
    const std::vector<std::string> parts = absl::StrSplit(setting, absl::MaxSplits('=', 1));
    if (parts.size() != 2) {
      loaded.errors.push_back(absl::StrCat("--set ", setting, ": expected key=value"));
      continue;
    }
    const absl::Status status = OverrideConfig(parts[0], parts[1], absl::StrCat("--set ", parts[0]),
                                               loaded.config.get(), &source);
    if (!status.ok()) loaded.errors.emplace_back(status.message());
  }
  // A file with faults of form would bring a tail of faults of meaning that are none.
  if (!loaded.ok()) return loaded;
  CheckRanges(*loaded.config, source, &loaded.errors);
  FillDefaults(loaded.config.get());
  CheckRules(*loaded.config, source, &loaded.errors);
  return loaded;
}

absl::StatusOr<std::string> ReadConfigFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    const int error = errno;
    const std::string text = absl::StrCat("config file ", path, ": ", strerror(error));
    return error == EACCES ? absl::PermissionDeniedError(text) : absl::NotFoundError(text);
  }
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace fanwire::control
