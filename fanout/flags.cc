#include "fanout/flags.h"

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/address.h"
#include "common/arguments.h"
#include "common/utf8.h"
#include "common/version.h"

namespace fanwire::fanout {

WorkerFlags ParseFlags(int argc, char** argv, int* exit) {
  *exit = -1;
  WorkerFlags flags;
  std::string level = "info";
  CLI::App app{
      "fanwire-fanout holds the WebSocket connections of clients and delivers the publications to\n"
      "them that control sends.  Listeners, limits, keys and policies come from control.",
      "fanwire-fanout"};
  app.set_version_flag("--version", absl::StrCat("fanwire-fanout ", kVersion));
  app.add_option("--control", flags.control,
                 "Address of control: unix:PATH or HOST:PORT.  Default: the socket of this user's "
                 "control");
  app.add_option("--worker-id", flags.worker_id,
                 "Name that is unique and stays the same over restarts.  Default: worker-SLOT");
  app.add_option("--slot", flags.slot, "Number of this worker on this machine, from 0")
      ->capture_default_str()
      ->check([](const std::string& text) { return CheckNumber(text, 0, UINT32_MAX); });
  app.add_option("--runtime-dir", flags.runtime_dir,
                 "Folder of the lock file that keeps a second process out of the same slot");
  app.add_flag("--supervised", flags.supervised, "Started and watched by control")->group("");
  app.add_option("--log-level", level, "debug, info, warning or error")
      ->capture_default_str()
      ->check([](const std::string& text) {
        LogLevel ignored;
        if (ParseLogLevel(text, &ignored)) return std::string();
        return absl::StrCat("\"", text, "\" is not one of debug, info, warning, error");
      });
  app.footer(
      "Signals: TERM and INT drain the sessions and end with exit code 0; a second one ends at\n"
      "once with 128 + its number (143, 130).  HUP does nothing: control reads the configuration.\n"
      "Exit code: 0 drained and stopped; 1 another process holds the slot, or control has "
      "replaced\n"
      "this worker; 2 wrong arguments.");
  if (const std::optional<int> code = ParseArguments(app, argc, argv)) {
    *exit = *code;
    return flags;
  }
  if (flags.control.empty()) {
    flags.control = absl::StrCat("unix:", DefaultRuntimeDir(), "/control.sock");
  }
  if (const auto address = ParseAddress(flags.control); !address.ok()) {
    *exit = UsageFault(app.get_name(), absl::StrCat("--control: ", address.status().message()));
    return flags;
  }
  if (flags.worker_id.empty()) flags.worker_id = absl::StrCat("worker-", flags.slot);
  if (ToUtf8(flags.worker_id) != flags.worker_id) {
    *exit = UsageFault(app.get_name(), absl::StrCat("--worker-id: \"", ToUtf8(flags.worker_id),
                                                    "\" is not UTF-8: use letters, digits, '-' "
                                                    "and '_'"));
    return flags;
  }
  ParseLogLevel(level, &flags.log_level);
  return flags;
}

}  // namespace fanwire::fanout
