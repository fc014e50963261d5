#include "cli/commands/contexts.h"

#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "cli/commands/all.h"
#include "cli/context_file.h"
#include "cli/invocation.h"

namespace fanwire::cli {
namespace {

const char* TokenText(const NamedServer& server) {
  if (!server.target.token.empty()) return "in the file";
  if (!server.token_env.empty()) return server.token_env.c_str();
  return server.token_file.empty() ? "-" : server.token_file.c_str();
}

}  // namespace

absl::Status RunContextList(const Environment& environment, Output& out) {
  const std::string file = ContextsFile(environment);
  Contexts contexts;
  // A missing file is not an error: there are no contexts.
  if (!file.empty() && access(file.c_str(), F_OK) == 0) {
    absl::StatusOr<Contexts> read = ReadContexts(environment);
    if (!read.ok()) return read.status();
    contexts = *std::move(read);
  }
  if (out.json()) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const NamedServer& server : contexts.servers) {
      list.push_back({{"name", server.name},
                      {"address", server.target.address},
                      {"tls", server.target.tls},
                      {"current", server.name == contexts.current}});
    }
    out.Json(list);
    return absl::OkStatus();
  }
  Table table({"CURRENT",
               {"NAME", 0, Cut::kMiddle},
               {"ADDRESS", 0, Cut::kMiddle},
               {"TLS", 1},
               {"TOKEN", 2, Cut::kMiddle}});
  table.SetWhenEmpty(file.empty() ? "no contexts" : absl::StrCat("no contexts in ", file));
  for (const NamedServer& server : contexts.servers) {
    const bool current = server.name == contexts.current;
    table.Add({current ? Cell("*", Tone::kGood) : Cell(""), server.name, server.target.address,
               server.target.tls ? "yes" : "no", TokenText(server)});
  }
  out.Print(table);
  return absl::OkStatus();
}

absl::Status RunContextUse(const std::string& name, const Environment& environment, Output& out) {
  absl::Status status = UseContext(name, environment);
  if (!status.ok()) return status;
  if (out.json()) {
    out.Json({{"current", name}});
  } else {
    out.Line(absl::StrCat("current context: ", name));
  }
  return absl::OkStatus();
}

void AddContextCommands(Command root) {
  Command context =
      root.AddGroup("context", "The servers of the contexts file", "wsctl context list");

  context
      .AddCommand("list", "List the contexts and show which one is current", "wsctl context list",
                  [](Invocation& run) { return RunContextList(run.environment(), run.out()); })
      .TableFlags();

  auto name = std::make_shared<std::string>();
  context
      .AddCommand(
          "use", "Make a context the current one", "wsctl context use production",
          [name](Invocation& run) { return RunContextUse(*name, run.environment(), run.out()); })
      .Argument("NAME", name.get(), "Name of the context", Values::kContexts);
}

}  // namespace fanwire::cli
