#include <optional>
#include <utility>

#include "common/log.h"
#include "common/signals.h"
#include "control/config/config_loader.h"
#include "control/config_answer.h"
#include "control/flags.h"
#include "control/server.h"
#include "google/protobuf/stubs/logging.h"

namespace {

// Runs before the constructors of the libraries, which take most of the time of a start.
__attribute__((section(".preinit_array"),
               used)) void (*hold_reload)() = &fanwire::SignalWaiter::HoldReload;

}  // namespace

int main(int argc, char** argv) {
  int exit = -1;
  const fanwire::control::ControlFlags flags = fanwire::control::ParseFlags(argc, argv, &exit);
  if (exit >= 0) return exit;
  fanwire::control::LoadedConfig config =
      fanwire::control::LoadConfigFile(flags.server.config_file, flags.server.overrides);
  if (const std::optional<int> answered = fanwire::control::AnswerAboutConfig(flags, config)) {
    return *answered;
  }

  // Protobuf would write a line for each text of a publisher that is not UTF-8.  The publisher is
  // told, and the refusal is counted.
  google::protobuf::SetLogHandler(nullptr);
  fanwire::SignalWaiter signals;
  auto server = fanwire::control::Server::Start(flags.server, std::move(config));
  if (!server.ok()) {
    fanwire::LogError("control.failed", {{"reason", server.status()}});
    return 1;
  }
  while (signals.Wait() == fanwire::ProcessSignal::kReload) (*server)->Reload();
  (*server)->Stop();
  return 0;  // a signal that came during Stop() was the second one, and has ended the process
}
