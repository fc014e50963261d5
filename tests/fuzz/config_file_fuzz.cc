// A configuration file: any text gets a message or faults with places, and what was read can be
// written and read again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/strings/string_view.h"
#include "common/config_file.h"
#include "fanwire/v1/config.pb.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace fanwire;
  const absl::string_view text(reinterpret_cast<const char*>(bytes), size);
  const EnvironmentLookup nothing = [](const std::string&) -> const char* { return nullptr; };
  v1::Config config;
  ConfigSource source("fuzz.yaml");
  if (!ParseConfig(text, nothing, &config, &source).empty()) return 0;
  v1::Config again;
  ConfigSource again_source("again.yaml");
  if (!ParseConfig(ConfigToYaml(config), nothing, &again, &again_source).empty()) abort();
  return 0;
}
