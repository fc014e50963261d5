#include "cli/commands/version.h"

#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "cli/commands/all.h"
#include "common/time_format.h"
#include "common/version.h"

namespace fanwire::cli {
namespace {

using Json = nlohmann::ordered_json;

Json ServerJson(const ServerVersion& server) {
  return {{"version", server.version},
          {"build", server.build},
          {"engine", server.engine},
          {"pid", server.pid},
          {"started_at",
           IsKnown(server.started_at) ? Json(FormatRfc3339(server.started_at)) : Json(nullptr)}};
}

}  // namespace

absl::Status RunVersion(const VersionOptions& options, Invocation& run) {
  Output& out = run.out();
  absl::StatusOr<ServerVersion> server = absl::UnavailableError("not asked");
  absl::Status status;
  if (!options.client_only) {
    status = run.WithAdmin([&](AdminClient& admin) {
      server = admin.GetVersion();
      return server.status();
    });
  }
  const std::string version(kVersion);
  if (out.json()) {
    Json object = {{"client", {{"version", version}, {"build", BuildInfo()}}}};
    if (!options.client_only) object["server"] = server.ok() ? ServerJson(*server) : Json(nullptr);
    out.Json(object);
    return status;
  }
  std::vector<std::pair<std::string, Cell>> fields = {
      {"client", absl::StrCat(version, " (", BuildInfo(), ")")}};
  if (server.ok()) {
    fields.emplace_back("server", absl::StrCat(server->version, " (", server->build, ")"));
    fields.emplace_back("engine", server->engine);
    fields.emplace_back("pid", server->pid);
    fields.emplace_back("started", out.Time(server->started_at));
  }
  out.Print(fields);
  return status;
}

void AddVersionCommand(Command root) {
  auto options = std::make_shared<VersionOptions>();
  root.AddCommand("version", "Show the versions of wsctl and of control", "wsctl version",
                  [options](Invocation& run) { return RunVersion(*options, run); })
      .Flag("--client", &options->client_only, "Show only wsctl's version, without asking control");
}

}  // namespace fanwire::cli
