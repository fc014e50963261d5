#include "control/flags.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <climits>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/arguments.h"
#include "common/environment.h"
#include "common/version.h"

namespace fanwire::control {

namespace {

// The worker's program lies beside this one.
std::string WorkerProgram() {
  char path[PATH_MAX];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof(path));
  if (size <= 0) return "fanwire-fanout";
  const std::string self(path, static_cast<size_t>(size));
  return self.substr(0, self.rfind('/') + 1) + "fanwire-fanout";
}

}  // namespace

ControlFlags ParseFlags(int argc, char** argv, int* exit) {
  ControlFlags flags;
  ServerOptions& server = flags.server;
  server.worker_program = WorkerProgram();
  server.overrides.environment = ProcessEnvironment();
  server.overrides.variables = EnvironmentVariables();
  CLI::App app{
      "fanwire-control accepts publications over gRPC, keeps their history, routes them to its\n"
      "fan-out workers and starts and watches those.",
      "fanwire-control"};
  app.set_version_flag("--version", absl::StrCat("fanwire-control ", kVersion));
  app.add_option("--config", server.config_file, "Configuration, a YAML file")->required();
  app.add_option("--set", server.overrides.settings,
                 "A setting that beats file and environment: PATH=VALUE, as in "
                 "limits.max_channels=1000; may be repeated")
      ->allow_extra_args(false);
  app.add_flag("--check-config", flags.check_config,
               "Check the configuration, print its faults and warnings, and end");
  app.add_flag("--json", flags.json, "With --check-config: print the result as JSON")
      ->needs("--check-config");
  app.add_flag(
         "--print-catalog", flags.print_catalog,
         "Print the events of all services as a serialized fanwire.v1.GetCatalogResponse, and "
         "end")
      ->excludes("--check-config");
  app.add_option("--config-folder", server.overrides.folder,
                 "What relative paths in the configuration are relative to; default: the folder "
                 "of --config");
  app.add_option("--worker-program", server.worker_program, "Path of fanwire-fanout")
      ->capture_default_str();
  app.footer(
      "Signals: TERM and INT drain the workers and end with exit code 0; a second one ends at\n"
      "once with 128 + its number (143, 130).  HUP reads the configuration again.\n"
      "Exit code: 0 stopped by a signal, or nothing wrong in a check; 1 the start failed, and the\n"
      "last log line says why; 2 wrong arguments or a wrong configuration.\n"
      "Every setting can also come from the environment: FANWIRE_LIMITS__MAX_CHANNELS=1000.");
  *exit = ParseArguments(app, argc, argv).value_or(-1);
  return flags;
}

}  // namespace fanwire::control
