#include "cli/commands/services.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "cli/commands/all.h"
#include "cli/invocation.h"
#include "cli/json.h"

namespace fanwire::cli {
namespace {

// "127.0.0.1:8765 (session_buddy, tls, auth)".
std::string ListenerText(const ListenerInfo& listener) {
  std::vector<std::string> remarks;
  if (listener.dialect != "common") remarks.push_back(listener.dialect);
  if (listener.tls) remarks.push_back("tls");
  if (listener.auth_required) remarks.push_back("auth");
  const bool v6 = listener.host.find(':') != std::string::npos;
  std::string text = v6 ? absl::StrCat("[", listener.host, "]:", listener.port)
                        : absl::StrCat(listener.host, ":", listener.port);
  for (size_t i = 0; i < remarks.size(); ++i) {
    absl::StrAppend(&text, i == 0 ? " (" : ", ", remarks[i], i + 1 == remarks.size() ? ")" : "");
  }
  return text;
}

}  // namespace

absl::Status RunServicesList(AdminClient& admin, Output& out) {
  const absl::StatusOr<std::vector<ServiceInfo>> services = admin.ListServices();
  if (!services.ok()) return services.status();
  if (out.json()) {
    out.Json(ToJsonArray(*services));
    return absl::OkStatus();
  }
  Table table(
      {"SERVICE", "SESSIONS", "MAX", "SUBSCRIPTIONS", "CHANNELS", "PUBLICATIONS", "LISTENERS"});
  for (const ServiceInfo& service : *services) {
    std::string listeners;
    for (const ListenerInfo& listener : service.listeners) {
      absl::StrAppend(&listeners, listeners.empty() ? "" : "  ", ListenerText(listener));
    }
    table.Add({service.name, service.sessions, service.max_connections, service.subscriptions,
               service.channels, service.publications, listeners});
  }
  out.Print(table);
  return absl::OkStatus();
}

void AddServiceCommands(Command root) {
  Command services =
      root.AddGroup("services", "The services of this deployment", "wsctl services list");
  services.AddCommand(
      "list", "List services with their listeners and load", "wsctl services list",
      [](Invocation& run) {
        return run.WithAdmin([&](AdminClient& admin) { return RunServicesList(admin, run.out()); });
      });
}

}  // namespace fanwire::cli
