#include <unistd.h>

#include <CLI/CLI.hpp>
#include <climits>
#include <iostream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/arguments.h"
#include "common/environment.h"
#include "common/log.h"
#include "common/signals.h"
#include "common/terminal_text.h"
#include "common/version.h"
#include "control/admin/catalog_messages.h"
#include "control/config/config_loader.h"
#include "control/server.h"
#include "fanwire/v1/admin.pb.h"
#include "google/protobuf/stubs/logging.h"

namespace {

// The worker's program lies beside this one.
std::string WorkerProgram() {
  char path[PATH_MAX];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof(path));
  if (size <= 0) return "fanwire-fanout";
  const std::string self(path, static_cast<size_t>(size));
  return self.substr(0, self.rfind('/') + 1) + "fanwire-fanout";
}

// Runs before the constructors of the libraries, which take most of the time of a start.
__attribute__((section(".preinit_array"),
               used)) void (*hold_reload)() = &fanwire::SignalWaiter::HoldReload;

}  // namespace

int main(int argc, char** argv) {
  fanwire::control::ServerOptions options;
  options.worker_program = WorkerProgram();
  options.overrides.environment = fanwire::ProcessEnvironment();
  options.overrides.variables = fanwire::EnvironmentVariables();
  bool check = false, json = false, catalog = false;
  CLI::App app{
      "fanwire-control accepts publications over gRPC, keeps their history, routes them to its\n"
      "fan-out workers and starts and watches those.",
      "fanwire-control"};
  app.set_version_flag("--version", absl::StrCat("fanwire-control ", fanwire::kVersion));
  app.add_option("--config", options.config_file, "Configuration, a YAML file")->required();
  app.add_option("--set", options.overrides.settings,
                 "A setting that beats file and environment: PATH=VALUE, as in "
                 "limits.max_channels=1000; may be repeated")
      ->allow_extra_args(false);
  app.add_flag("--check-config", check,
               "Check the configuration, print its faults and warnings, and end");
  app.add_flag("--json", json, "With --check-config: print the result as JSON")
      ->needs("--check-config");
  app.add_flag(
         "--print-catalog", catalog,
         "Print the events of all services as a serialized fanwire.v1.GetCatalogResponse, and "
         "end")
      ->excludes("--check-config");
  app.add_option("--config-folder", options.overrides.folder,
                 "What relative paths in the configuration are relative to; default: the folder "
                 "of --config");
  app.add_option("--worker-program", options.worker_program, "Path of fanwire-fanout")
      ->capture_default_str();
  app.footer(
      "Signals: TERM and INT drain the workers and end with exit code 0; a second one ends at\n"
      "once with 128 + its number (143, 130).  HUP reads the configuration again.\n"
      "Exit code: 0 stopped by a signal, or nothing wrong in a check; 1 the start failed, and the\n"
      "last log line says why; 2 wrong arguments or a wrong configuration.\n"
      "Every setting can also come from the environment: FANWIRE_LIMITS__MAX_CHANNELS=1000.");
  if (const std::optional<int> exit = fanwire::ParseArguments(app, argc, argv)) return *exit;

  fanwire::control::LoadedConfig config =
      fanwire::control::LoadConfigFile(options.config_file, options.overrides);
  if (json) {
    std::cout << config.ToJson() << "\n";
    return config.ok() ? 0 : fanwire::kExitUsage;
  }
  for (const std::string& warning : config.warnings) {
    std::cerr << "warning: " << fanwire::EscapeControls(warning) << "\n";
  }
  if (!config.ok()) {
    for (const std::string& fault : config.errors) {
      std::cerr << fanwire::EscapeControls(fault) << "\n";
    }
    const size_t faults = config.errors.size();
    std::cerr << options.config_file << ": " << faults << (faults == 1 ? " fault\n" : " faults\n");
    return fanwire::kExitUsage;
  }
  if (catalog) {
    fanwire::v1::GetCatalogResponse response;
    fanwire::control::ToProto(*config.config, *config.catalog_files, &response);
    std::cout << response.SerializeAsString() << std::flush;
    return std::cout ? 0 : 1;
  }
  if (check) {
    std::cout << options.config_file << ": fine\n";
    return 0;
  }

  // Protobuf would write a line for each text of a publisher that is not UTF-8.  The publisher is
  // told, and the refusal is counted.
  google::protobuf::SetLogHandler(nullptr);
  fanwire::SignalWaiter signals;
  auto server = fanwire::control::Server::Start(options, std::move(config));
  if (!server.ok()) {
    fanwire::LogError("control.failed", {{"reason", server.status()}});
    return 1;
  }
  while (signals.Wait() == fanwire::ProcessSignal::kReload) (*server)->Reload();
  (*server)->Stop();
  return 0;  // a signal that came during Stop() was the second one, and has ended the process
}
