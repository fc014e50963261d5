#include "cli/commands/workers.h"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cli/commands/all.h"
#include "cli/invocation.h"
#include "cli/json.h"
#include "cli/text.h"

namespace fanwire::cli {
namespace {

Cell StateCell(const std::string& state) {
  if (state == "ready") return {state, Tone::kGood};
  if (state == "dead" || state == "backoff") return {state, Tone::kBad};
  return {state, Tone::kWarning};
}

}  // namespace

absl::Status RunWorkersList(AdminClient& admin, Output& out) {
  const absl::StatusOr<WorkerList> list = admin.ListWorkers();
  if (!list.ok()) return list.status();
  if (out.json()) {
    out.Json(ToJsonArray(list->workers));
    return absl::OkStatus();
  }
  Table table({"ID", "PID", "ADDRESS", "STATE", "SESSIONS", "SUBSCRIPTIONS", "CPU %", "MEMORY",
               "QUEUE", "RESTARTS", "ATTACHED"});
  for (const WorkerInfo& worker : list->workers) {
    Cell cpu(absl::StrFormat("%.1f", worker.cpu_percent));
    cpu.number = true;
    const Cell pid =
        worker.pid == 0 ? Cell("-") : Cell(worker.pid);  // a stopped worker has no process
    table.Add({worker.id, pid, worker.address, StateCell(worker.state), worker.sessions,
               worker.subscriptions, cpu, out.Bytes(worker.rss_bytes), worker.queue_publications,
               worker.restarts, out.Time(worker.attached_at)});
  }
  out.Print(table);
  for (const WorkerInfo& worker : list->workers) {
    if (!worker.config_error.empty()) {
      out.Note(absl::StrCat(worker.id, " refused configuration ", list->config_version,
                            " and keeps ", worker.config_version, ": ",
                            EscapeControls(worker.config_error)));
    }
  }
  return absl::OkStatus();
}

absl::Status RunDrain(const DrainRequest& options, AdminClient& admin, Output& out) {
  int64_t sessions = 0;
  absl::Status status = admin.DrainWorker(options, [&](int64_t remaining) {
    sessions = std::max(sessions, remaining);
    out.Progress(absl::StrCat(options.worker, ": ", remaining, " sessions left"));
  });
  if (!status.ok()) return status;
  if (out.json()) {
    out.Json({{"id", options.worker}, {"drained", true}, {"sessions", sessions}});
  } else {
    out.Line(absl::StrCat(options.worker,
                          " is drained and stays stopped until `wsctl workers restart ",
                          options.worker, "`"));
  }
  return absl::OkStatus();
}

absl::Status RunRestart(const RestartRequest& options, AdminClient& admin, Output& out) {
  std::vector<std::string> ready;
  absl::Status status = admin.RestartWorkers(options, [&](const RestartProgress& progress) {
    out.Progress(absl::StrCat(progress.worker, ": ", progress.state));
    if (progress.state == "ready") ready.push_back(progress.worker);
  });
  if (!status.ok()) return status;
  if (out.json()) {
    out.Json({{"restarted", ready}});
  } else if (ready.empty()) {
    out.Note("no worker to restart");
  } else {
    out.Line(absl::StrCat(absl::StrJoin(ready, ", "), " ready"));
  }
  return absl::OkStatus();
}

void AddWorkerCommands(Command root) {
  Command workers = root.AddGroup("workers", "The fan-out processes", "wsctl workers list");

  workers.AddCommand(
      "list", "List workers with their state and load", "wsctl workers list", [](Invocation& run) {
        return run.WithAdmin([&](AdminClient& admin) { return RunWorkersList(admin, run.out()); });
      });

  auto drain = std::make_shared<DrainRequest>();
  workers
      .AddCommand("drain", "Close a worker's connections gradually, then stop it",
                  "wsctl workers drain worker-0 --window 10s",
                  [drain](Invocation& run) {
                    return run.WithAdmin(
                        [&](AdminClient& admin) { return RunDrain(*drain, admin, run.out()); });
                  })
      .Argument("WORKER", &drain->worker, "Id of the worker, such as worker-0", Values::kWorkers)
      .Duration("--window", &drain->window,
                "Spread the closing over this time; default worker.drain_window")
      .Duration("--deadline", &drain->deadline,
                "Close what is left after this time; default worker.drain_deadline");

  auto restart = std::make_shared<RestartRequest>();
  workers
      .AddCommand("restart", "Replace workers one after another and start stopped ones",
                  "wsctl workers restart worker-0",
                  [restart](Invocation& run) {
                    return run.WithAdmin(
                        [&](AdminClient& admin) { return RunRestart(*restart, admin, run.out()); });
                  })
      .Arguments("WORKER", &restart->workers, "Ids of the workers; default all", Values::kWorkers)
      .Flag("--only-stopped", &restart->only_stopped,
            "Only start stopped workers; do not replace running ones");
}

}  // namespace fanwire::cli
