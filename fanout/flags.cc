#include "fanout/flags.h"

#include <CLI/CLI.hpp>
#include <iostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/address.h"
#include "common/utf8.h"
#include "common/version.h"

namespace fanwire::fanout {

WorkerFlags ParseFlags(int argc, char** argv, int* exit) {
  *exit = -1;
  WorkerFlags flags;
  std::string level = "info";
  CLI::App app{
      "fanwire-fanout holds the WebSocket connections of clients and delivers to them what "
      "control\n"
      "routes here.  Listeners, limits, keys and policies come from control.",
      "fanwire-fanout"};
  app.set_version_flag("--version", absl::StrCat("fanwire-fanout ", kVersion));
  app.add_option("--control", flags.control,
                 "Address of control: unix:PATH or HOST:PORT.  Default: the socket of this user's "
                 "control");
  app.add_option("--worker-id", flags.worker_id,
                 "Name that is unique and stays the same over restarts.  Default: worker-SLOT");
  app.add_option("--slot", flags.slot, "Number of this worker on this machine, from 0")
      ->capture_default_str();
  app.add_option("--runtime-dir", flags.runtime_dir,
                 "Folder where the slot's lock is held for the life of the process");
  app.add_flag("--supervised", flags.supervised, "Started and watched by control")->group("");
  app.add_option("--log-level", level, "debug, info, warning or error")
      ->capture_default_str()
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}));
  app.footer(
      "Signals: TERM and INT drain the sessions and end with exit code 0; a second one ends at\n"
      "once with 128 + its number (143, 130).  HUP does nothing: control reads the configuration.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    *exit = code == 0 ? 0 : 2;
    return flags;
  }
  if (flags.control.empty()) {
    flags.control = absl::StrCat("unix:", DefaultRuntimeDir(), "/control.sock");
  }
  if (const auto address = ParseAddress(flags.control); !address.ok()) {
    std::cerr << "--control: " << address.status().message() << "\n";
    *exit = 2;
  }
  if (flags.worker_id.empty()) flags.worker_id = absl::StrCat("worker-", flags.slot);
  if (ToUtf8(flags.worker_id) != flags.worker_id) {
    std::cerr << "--worker-id: \"" << ToUtf8(flags.worker_id)
              << "\" is not UTF-8: use letters, digits, '-' and '_'\n";
    *exit = 2;
  }
  ParseLogLevel(level, &flags.log_level);
  return flags;
}

}  // namespace fanwire::fanout
