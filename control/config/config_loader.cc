#include "control/config/config_loader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/config_overrides.h"
#include "common/utf8.h"
#include "common/yaml_check.h"
#include "control/config/config_defaults.h"
#include "control/config/config_ranges.h"
#include "control/config/config_rules.h"
#include "control/config/service_catalog.h"
#include "fanwire/v1/config.pb.h"

namespace fanwire::control {

namespace {

class FileCloser {
 public:
  explicit FileCloser(int fd) : fd_(fd) {}
  ~FileCloser() { close(fd_); }
  FileCloser(const FileCloser&) = delete;
  FileCloser& operator=(const FileCloser&) = delete;

 private:
  const int fd_;
};

absl::Status CannotRead(absl::string_view name, int error) {
  const std::string text = absl::StrCat(name, ": cannot read the file: ", strerror(error));
  return error == EACCES ? absl::PermissionDeniedError(text) : absl::NotFoundError(text);
}

// Whether `path` names a file that this process has open: "/dev/stdin", or "/dev/fd/63", which a
// shell makes of <(...).
bool IsOwnDescriptor(absl::string_view path) {
  return path == "/dev/stdin" || absl::StartsWith(path, "/dev/fd/") ||
         absl::StartsWith(path, "/proc/self/fd/");
}

// A path for messages, which are UTF-8.
std::string ShownPath(const std::string& path) {
  return TextFault(path).empty() ? path : QuotedText(path);
}

// Tells which descriptions of events are not used, and which `repeat_keys` name no object.
void CheckCatalogs(const ConfigSource& source, LoadedConfig* loaded) {
  for (int i = 0; i < loaded->config->services_size(); ++i) {
    const v1::ServiceConfig& service = loaded->config->services(i);
    CatalogNotes notes;
    MakeCatalog(service, *loaded->catalog_files, &notes);
    for (const auto& [index, fault] : notes.repeat_faults) {
      loaded->errors.push_back(
          source.Message(absl::StrCat("services[", i, "].repeat_keys[", index, "]"), fault));
    }
    const std::vector<std::string>& replaced = notes.replaced;
    if (replaced.empty()) continue;
    loaded->warnings.push_back(source.Message(
        absl::StrCat("services[", i, "].events"),
        absl::StrCat("service \"", service.name(), "\": these descriptions replace those of ",
                     replaced.size(), replaced.size() == 1 ? " event" : " events",
                     " in the catalog, which has their fields: ", absl::StrJoin(replaced, ", "))));
  }
}

absl::string_view KindOf(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a named pipe";
  return "a device";
}

}  // namespace

LoadedConfig::LoadedConfig()
    : config(std::make_unique<v1::Config>()),
      catalog_files(std::make_shared<const CatalogFiles>()) {}
LoadedConfig::~LoadedConfig() = default;
LoadedConfig::LoadedConfig(LoadedConfig&&) noexcept = default;
LoadedConfig& LoadedConfig::operator=(LoadedConfig&&) noexcept = default;

std::string LoadedConfig::ToJson() const {
  nlohmann::ordered_json object = {{"ok", ok()}, {"errors", errors}, {"warnings", warnings}};
  if (ok()) object["resolved_yaml"] = ConfigToYaml(*config);
  return object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string FolderOf(const std::string& file_name) {
  const size_t slash = file_name.rfind('/');
  if (slash == std::string::npos) return "";
  return file_name.substr(0, std::max<size_t>(slash, 1));
}

LoadedConfig LoadConfig(absl::string_view text, const std::string& file_name,
                        const ConfigOverrides& overrides) {
  LoadedConfig loaded;
  ConfigSource source(file_name);
  const EnvironmentLookup environment =
      overrides.environment ? overrides.environment : ProcessEnvironment();
  loaded.errors = ParseConfig(text, environment, loaded.config.get(), &source);
  if (loaded.ok() && loaded.config->ByteSizeLong() == 0) {
    loaded.errors.push_back(
        absl::StrCat(file_name,
                     ": the file has no settings; it needs at least one service, as in "
                     "\"services: [{name: mahavishnu, port: 8690}]\""));
    return loaded;
  }
  for (std::string& fault :
       OverrideFromEnvironment("FANWIRE_", overrides.variables, loaded.config.get(), &source)) {
    loaded.errors.push_back(std::move(fault));
  }
  for (const std::string& setting : overrides.settings) {
    const std::vector<std::string> parts = absl::StrSplit(setting, absl::MaxSplits('=', 1));
    if (parts.size() != 2) {
      loaded.errors.push_back(
          absl::StrCat("--set ", TextFault(setting).empty() ? setting : QuotedText(setting),
                       ": expected key=value"));
      continue;
    }
    const absl::Status status = OverrideConfig(parts[0], parts[1], absl::StrCat("--set ", parts[0]),
                                               loaded.config.get(), &source);
    if (!status.ok()) loaded.errors.emplace_back(status.message());
  }
  // Until each value could be read, the rules would find faults that are not there.
  if (!loaded.ok()) return loaded;
  CheckRanges(*loaded.config, source, &loaded.errors);
  FillDefaults(loaded.config.get());
  CheckRules(*loaded.config, source, &loaded.errors);
  loaded.catalog_files = ReadCatalogFiles(
      *loaded.config, overrides.folder.value_or(FolderOf(file_name)), source, &loaded.errors);
  if (loaded.ok()) CheckCatalogs(source, &loaded);
  return loaded;
}

LoadedConfig LoadConfigFile(const std::string& path, const ConfigOverrides& overrides) {
  const absl::StatusOr<std::string> text = ReadConfigFile(path);
  if (text.ok()) return LoadConfig(*text, ShownPath(path), overrides);
  LoadedConfig loaded;
  loaded.errors.emplace_back(text.status().message());
  return loaded;
}

absl::StatusOr<std::string> ReadConfigFile(const std::string& path) {
  const std::string name = ShownPath(path);
  // The open of a named pipe that nobody writes to would wait for ever.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return CannotRead(name, errno);
  const FileCloser closer(fd);
  struct stat info = {};
  if (fstat(fd, &info) != 0) return CannotRead(name, errno);
  if (!S_ISREG(info.st_mode)) {
    if (!IsOwnDescriptor(path)) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": this is ", KindOf(info.st_mode), "; expected a YAML file"));
    }
    fcntl(fd, F_SETFL, 0);  // standard input: its writer is waited for
  }
  std::string text;
  char buffer[65536];
  while (text.size() <= kMaxConfigBytes) {
    const ssize_t got = read(fd, buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return CannotRead(name, errno);
    if (got == 0) break;
    text.append(buffer, static_cast<size_t>(got));
  }
  if (text.size() > kMaxConfigBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": the file has more than ", kMaxConfigBytes, " bytes"));
  }
  if (text.empty()) return absl::InvalidArgumentError(absl::StrCat(name, ": the file is empty"));
  return text;
}

}  // namespace fanwire::control
