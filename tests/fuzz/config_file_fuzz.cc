// A configuration file: any text gets a message or faults, which are UTF-8, and what was read can
// be written and is the same when it is read again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/config_file.h"
#include "common/utf8.h"
#include "common/yaml_check.h"
#include "fanwire/v1/config.pb.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace fanwire;
  const absl::string_view text(reinterpret_cast<const char*>(bytes), size);
  const EnvironmentLookup nothing = [](const std::string&) -> const char* { return nullptr; };
  v1::Config config;
  ConfigSource source("fuzz.yaml");
  const std::vector<std::string> faults = ParseConfig(text, nothing, &config, &source);
  for (const std::string& fault : faults) {
    if (FirstBadUtf8(fault) != absl::string_view::npos) abort();
  }
  if (!faults.empty()) return 0;
  const std::string yaml = ConfigToYaml(config);
  if (yaml.size() > kMaxConfigBytes) return 0;
  v1::Config again;
  ConfigSource again_source("again.yaml");
  if (!ParseConfig(yaml, nothing, &again, &again_source).empty()) abort();
  if (ConfigToYaml(again) != yaml) abort();
  return 0;
}
