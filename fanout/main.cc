#include "absl/time/time.h"
#include "common/log.h"
#include "common/signals.h"
#include "fanout/flags.h"
#include "fanout/process_lock.h"
#include "fanout/worker.h"

namespace {

// How often the worker looks whether its lock file is still there.
constexpr absl::Duration kCheckLock = absl::Seconds(2);

// Runs before the constructors of the libraries, which take most of the time of a start.
__attribute__((section(".preinit_array"),
               used)) void (*hold_reload)() = &fanwire::SignalWaiter::HoldReload;

}  // namespace

int main(int argc, char** argv) {
  int exit = -1;
  const fanwire::fanout::WorkerFlags flags = fanwire::fanout::ParseFlags(argc, argv, &exit);
  if (exit >= 0) return exit;
  fanwire::SetLogLevel(flags.log_level);
  fanwire::SignalWaiter signals;
  auto lock = fanwire::fanout::ProcessLock::Take(flags.runtime_dir, flags.slot);
  if (!lock.ok()) {
    fanwire::LogError("worker.no_slot", {{"reason", lock.status()}});
    return 1;
  }
  const auto worker = fanwire::fanout::Worker::Start(flags, [&signals] { signals.Wake(); });
  while (!worker->finished()) {
    if (signals.WaitFor(kCheckLock) == fanwire::ProcessSignal::kStop) worker->Stop();
    lock->Restore();
  }
  return worker->exit_code();
}
