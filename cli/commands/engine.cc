#include "cli/commands/engine.h"

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cli/commands/all.h"
#include "cli/invocation.h"
#include "cli/json.h"
#include "cli/text.h"

namespace fanwire::cli {

namespace {

Cell HealthCell(const EngineStatus& engine) {
  if (engine.healthy) return {"healthy", Tone::kGood};
  return {engine.reason.empty() ? "not healthy" : absl::StrCat("not healthy: ", engine.reason),
          Tone::kBad};
}

// A lag is usually far below a second, which HumanDuration() would show as "0s".
std::string LagText(absl::Duration lag) {
  lag = absl::Ceil(lag, absl::Milliseconds(1));
  if (lag <= absl::ZeroDuration() || lag >= absl::Seconds(1)) return HumanDuration(lag);
  return absl::StrCat(absl::ToInt64Milliseconds(lag), "ms");
}

}  // namespace

absl::Status RunEngineStatus(AdminClient& admin, Output& out) {
  const absl::StatusOr<EngineStatus> engine = admin.GetEngineStatus();
  if (!engine.ok()) return engine.status();
  if (out.json()) {
    out.Json(ToJson(*engine));
    return absl::OkStatus();
  }
  std::vector<std::pair<std::string, Cell>> fields = {{"engine", engine->kind},
                                                      {"health", HealthCell(*engine)}};
  if (!engine->path.empty()) fields.emplace_back("path", engine->path);
  fields.emplace_back("history bytes", out.Bytes(static_cast<uint64_t>(engine->history_bytes)));
  fields.emplace_back("history bound",
                      engine->max_history_bytes == 0
                          ? Cell("none")
                          : out.Bytes(static_cast<uint64_t>(engine->max_history_bytes)));
  fields.emplace_back("disk bytes", out.Bytes(static_cast<uint64_t>(engine->disk_bytes)));
  fields.emplace_back("waiting", engine->waiting_publications);
  fields.emplace_back("lag", LagText(engine->lag));
  out.Print(fields);
  return absl::OkStatus();
}

void AddEngineCommands(Command root) {
  Command engine =
      root.AddGroup("engine", "The engine, which keeps history", "wsctl engine status");
  engine
      .AddCommand("status", "Show whether the engine takes publications, and how much it keeps",
                  "wsctl engine status",
                  [](Invocation& run) {
                    return run.WithAdmin(
                        [&](AdminClient& admin) { return RunEngineStatus(admin, run.out()); });
                  })
      .Details(
          "`waiting` counts the publications that the engine has got, but not kept yet.  `lag` is\n"
          "how long the oldest of them has waited.");
}

}  // namespace fanwire::cli
