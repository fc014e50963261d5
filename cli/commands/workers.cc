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

Cell PidCell(const WorkerInfo& worker) {
  return worker.pid == 0 ? Cell("-") : Cell(worker.pid);  // a stopped worker has no process
}

void NoteConfigError(const WorkerInfo& worker, uint64_t version, Output& out) {
  if (worker.config_error.empty()) return;
  out.Note(absl::StrCat(worker.id, " refused configuration ", version, " and keeps ",
                        worker.config_version, ": ", worker.config_error));
}

void NotePortErrors(const WorkerInfo& worker, Output& out) {
  for (const BoundListener& listener : worker.listeners) {
    if (listener.error.empty()) continue;
    out.Note(absl::StrCat(worker.id, " has port ", listener.configured_port, " of ",
                          listener.service,
                          " not open and tries again every 5 s: ", listener.error));
  }
}

}  // namespace

absl::Status RunWorkersList(AdminClient& admin, Output& out) {
  const absl::StatusOr<WorkerList> list = admin.ListWorkers();
  if (!list.ok()) return list.status();
  if (out.json()) {
    out.Json(ToJsonArray(list->workers));
    return absl::OkStatus();
  }
  Table table({{"ID", 0, Cut::kMiddle},
               {"PID", 4},
               {"ADDRESS", 3, Cut::kMiddle},
               "STATE",
               "SESSIONS",
               {"SUBSCRIPTIONS", 8},
               {"CPU %", 1},
               {"MEMORY", 2},
               {"QUEUE", 5},
               {"RESTARTS", 7},
               {"ATTACHED", 6}});
  table.SetWhenEmpty("no workers");
  for (const WorkerInfo& worker : list->workers) {
    Cell cpu(absl::StrFormat("%.1f", worker.cpu_percent));
    cpu.number = true;
    table.Add({worker.id, PidCell(worker), worker.address, StateCell(worker.state), worker.sessions,
               worker.subscriptions, cpu, out.Bytes(worker.rss_bytes), worker.queue_publications,
               worker.restarts, out.Time(worker.attached_at)});
  }
  out.Print(table);
  for (const WorkerInfo& worker : list->workers) {
    NoteConfigError(worker, list->config_version, out);
    NotePortErrors(worker, out);
  }
  return absl::OkStatus();
}

absl::Status RunWorkersShow(const std::string& id, AdminClient& admin, Output& out) {
  const absl::StatusOr<WorkerList> list = admin.ListWorkers();
  if (!list.ok()) return list.status();
  const auto found = std::find_if(list->workers.begin(), list->workers.end(),
                                  [&](const WorkerInfo& worker) { return worker.id == id; });
  if (found == list->workers.end()) {
    const auto append = [](std::string* text, const WorkerInfo& worker) {
      absl::StrAppend(text, worker.id);
    };
    return absl::NotFoundError(absl::StrCat(
        "no worker \"", id, "\"",
        list->workers.empty()
            ? ""
            : absl::StrCat("; known are ", absl::StrJoin(list->workers, ", ", append))));
  }
  const WorkerInfo& worker = *found;
  if (out.json()) {
    out.Json(ToJson(worker));
    return absl::OkStatus();
  }
  std::vector<std::string> ports;
  for (const BoundListener& listener : worker.listeners) {
    ports.push_back(listener.error.empty() ? absl::StrCat(listener.service, ":", listener.port)
                                           : absl::StrCat(listener.service, ":",
                                                          listener.configured_port, " (not open)"));
  }
  out.Print({{"id", worker.id},
             {"state", StateCell(worker.state)},
             {"pid", PidCell(worker)},
             {"address", worker.address},
             {"version", worker.version.empty() ? "-" : worker.version},
             {"attached", out.Time(worker.attached_at)},
             {"last heartbeat", out.Time(worker.last_heartbeat)},
             {"sessions", worker.sessions},
             {"subscriptions", worker.subscriptions},
             {"ports", ports.empty() ? std::string("-") : absl::StrJoin(ports, "  ")},
             {"ops address", worker.ops_address.empty() ? "-" : worker.ops_address},
             {"cpu %", absl::StrFormat("%.1f", worker.cpu_percent)},
             {"memory", out.Bytes(worker.rss_bytes)},
             {"file limit", worker.file_limit},
             {"connection cap", worker.max_connections},
             {"loop lag us", worker.loop_lag_us},
             {"queue", worker.queue_publications},
             {"queue bytes", out.Bytes(static_cast<uint64_t>(worker.queue_bytes))},
             {"dropped", worker.dropped},
             {"repairs", worker.repairs},
             {"restarts", worker.restarts},
             {"configuration", worker.config_version}});
  NoteConfigError(worker, list->config_version, out);
  NotePortErrors(worker, out);
  return absl::OkStatus();
}

absl::Status RunDrain(const DrainOptions& options, AdminClient& admin, Output& out) {
  const std::string& id = options.request.worker;
  const absl::StatusOr<WorkerList> list = admin.ListWorkers();
  if (!list.ok()) return list.status();
  // Only control's own workers can be started again from here.
  const bool local =
      std::any_of(list->workers.begin(), list->workers.end(),
                  [&](const WorkerInfo& worker) { return worker.id == id && worker.supervised; });
  DrainRequest request = options.request;
  request.unless_last = !options.force;
  int64_t sessions = 0;
  absl::Status status = admin.DrainWorker(request, [&](int64_t remaining) {
    sessions = std::max(sessions, remaining);
    out.Progress(absl::StrCat(id, ": ", remaining, " sessions left"));
  });
  if (absl::IsFailedPrecondition(status) && request.unless_last) {
    return absl::FailedPreconditionError(
        absl::StrCat(status.message(), "; ",
                     local ? absl::StrCat("`wsctl workers restart ", id, "` replaces it, ") : "",
                     "--force drains it all the same"));
  }
  if (!status.ok()) return status;
  if (out.json()) {
    out.Json({{"id", id}, {"drained", true}, {"sessions", sessions}});
  } else {
    out.Line(local ? absl::StrCat(id, " is drained and stays stopped until `wsctl workers restart ",
                                  id, "`")
                   : absl::StrCat(id,
                                  " is drained and has ended; control did not start it: start "
                                  "it again where it was started"));
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

  workers
      .AddCommand("list", "List workers with their state and load", "wsctl workers list",
                  [](Invocation& run) {
                    return run.WithAdmin(
                        [&](AdminClient& admin) { return RunWorkersList(admin, run.out()); });
                  })
      .TableFlags();

  auto shown = std::make_shared<std::string>();
  workers
      .AddCommand("show", "Show one worker", "wsctl workers show worker-0",
                  [shown](Invocation& run) {
                    return run.WithAdmin([&](AdminClient& admin) {
                      return RunWorkersShow(*shown, admin, run.out());
                    });
                  })
      .Argument("ID", shown.get(), "Id of the worker, such as worker-0", Values::kWorkers);

  auto drain = std::make_shared<DrainOptions>();
  workers
      .AddCommand("drain", "Close a worker's connections gradually, then stop it",
                  "wsctl workers drain worker-0 --window 10s",
                  [drain](Invocation& run) {
                    return run.WithAdmin(
                        [&](AdminClient& admin) { return RunDrain(*drain, admin, run.out()); });
                  })
      .Argument("WORKER", &drain->request.worker, "Id of the worker, such as worker-0",
                Values::kWorkers)
      .Duration("--window", &drain->request.window,
                "Spread the closing over this time; default worker.drain_window")
      .Duration("--deadline", &drain->request.deadline,
                "Close what is left after this time; default worker.drain_deadline")
      .Flag("--force", &drain->force, "Drain even the last worker that serves clients");

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
