#include <unistd.h>

#include <csignal>

#include "common/log.h"
#include "common/signals.h"
#include "fanout/flags.h"
#include "fanout/process_lock.h"
#include "fanout/worker.h"

int main(int argc, char** argv) {
  int exit = -1;
  const fanwire::fanout::WorkerFlags flags = fanwire::fanout::ParseFlags(argc, argv, &exit);
  if (exit >= 0) return exit;
  fanwire::SetLogLevel(flags.log_level);
  fanwire::SignalWaiter signals;
  const auto lock = fanwire::fanout::ProcessLock::Take(flags.runtime_dir, flags.slot);
  if (!lock.ok()) {
    fanwire::LogError("worker.no_slot", {{"reason", lock.status()}});
    return 1;
  }
  // A worker that ends by itself wakes this thread as a reload would.
  const auto worker = fanwire::fanout::Worker::Start(flags, [] { kill(getpid(), SIGHUP); });
  while (!worker->finished()) {
    if (signals.Wait() == fanwire::ProcessSignal::kStop) worker->Stop();
  }
  return worker->exit_code();
}
