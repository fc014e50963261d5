#include "control/config_answer.h"

#include <iostream>
#include <string>

#include "common/arguments.h"
#include "common/terminal_text.h"
#include "control/admin/catalog_messages.h"
#include "control/make_engine.h"
#include "fanwire/v1/admin.pb.h"
#include "fanwire/v1/config.pb.h"

namespace fanwire::control {

std::optional<int> AnswerAboutConfig(const ControlFlags& flags, const LoadedConfig& config) {
  const std::string& file = flags.server.config_file;
  if (flags.json) {
    std::cout << config.ToJson() << "\n";
    return config.ok() ? 0 : kExitUsage;
  }
  for (const std::string& warning : config.warnings) {
    std::cerr << "warning: " << EscapeControls(warning) << "\n";
  }
  if (!config.ok()) {
    for (const std::string& fault : config.errors) std::cerr << EscapeControls(fault) << "\n";
    const size_t faults = config.errors.size();
    std::cerr << file << ": " << faults << (faults == 1 ? " fault\n" : " faults\n");
    return kExitUsage;
  }
  if (flags.print_catalog) {
    v1::GetCatalogResponse response;
    ToProto(*config.config, *config.catalog_files, &response);
    std::cout << response.SerializeAsString() << std::flush;
    return std::cout ? 0 : 1;
  }
  if (flags.check_config) {
    if (const absl::Status status = CheckEngine(config.config->engine()); !status.ok()) {
      std::cerr << EscapeControls(status.message()) << "\n" << file << ": 1 fault\n";
      return kExitUsage;
    }
    std::cout << file << ": fine\n";
    return 0;
  }
  return std::nullopt;
}

}  // namespace fanwire::control
