#include "cli/commands/services.h"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/commands/all.h"
#include "cli/invocation.h"
#include "cli/json.h"
#include "common/edit_distance.h"

namespace fanwire::cli {
namespace {

// Tells for each listener why no worker has it open.
void AddErrors(const std::vector<WorkerInfo>& workers, ServiceInfo* service) {
  for (ListenerInfo& listener : service->listeners) {
    listener.error = "no worker has opened it";
    for (const WorkerInfo& worker : workers) {
      if (worker.state != "ready" && worker.state != "catching_up") continue;
      const auto it = std::find_if(
          worker.listeners.begin(), worker.listeners.end(), [&](const BoundListener& bound) {
            return bound.service == service->name && bound.host == listener.host &&
                   bound.configured_port == listener.port;
          });
      if (it == worker.listeners.end()) continue;
      listener.error = it->error.empty() ? "" : absl::StrCat(worker.id, ": ", it->error);
      if (listener.error.empty()) break;
    }
  }
}

// The services, with what the workers say of their ports.
absl::StatusOr<std::vector<ServiceInfo>> ServicesWithErrors(AdminClient& admin) {
  absl::StatusOr<std::vector<ServiceInfo>> services = admin.ListServices();
  if (!services.ok()) return services;
  const absl::StatusOr<WorkerList> workers = admin.ListWorkers();
  if (!workers.ok()) return workers.status();
  for (ServiceInfo& service : *services) AddErrors(workers->workers, &service);
  return services;
}

void NoteClosedPorts(const ServiceInfo& service, Output& out) {
  for (const ListenerInfo& listener : service.listeners) {
    if (listener.error.empty()) continue;
    out.Note(
        absl::StrCat(service.name, ": port ", listener.port, " is not open: ", listener.error));
  }
}

// "127.0.0.1:8765 (session_buddy, tls, auth)".
std::string ListenerText(const ListenerInfo& listener) {
  std::vector<std::string> remarks;
  if (!listener.error.empty()) remarks.emplace_back("not open");
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

Cell ListenersCell(const ServiceInfo& service) {
  std::vector<std::string> texts;
  for (const ListenerInfo& listener : service.listeners) texts.push_back(ListenerText(listener));
  std::string all = absl::StrJoin(texts, "  ");
  return Cell::List(std::move(texts), "  ", std::move(all));
}

// "mahavishnu-1:4711 (3 of 64): get_x, job_*", for each process.
std::string RespondersText(const ServiceInfo& service) {
  std::vector<std::string> texts;
  for (const ResponderInfo& responder : service.responders) {
    texts.push_back(absl::StrCat(responder.id.empty() ? "-" : responder.id, " (",
                                 responder.outstanding, " of ", responder.max_concurrent,
                                 responder.leaving ? ", leaving" : "",
                                 "): ", absl::StrJoin(responder.requests, ", ")));
  }
  return texts.empty() ? "none" : absl::StrJoin(texts, "  ");
}

}  // namespace

absl::Status RunServicesList(AdminClient& admin, Output& out) {
  const absl::StatusOr<std::vector<ServiceInfo>> services = ServicesWithErrors(admin);
  if (!services.ok()) return services.status();
  if (out.json()) {
    out.Json(ToJsonArray(*services));
    return absl::OkStatus();
  }
  Table table({{"SERVICE", 0, Cut::kMiddle},
               "SESSIONS",
               {"MAX", 1},
               {"SUBSCRIPTIONS", 4},
               {"CHANNELS", 2},
               {"PUBLICATIONS", 3},
               {"LISTENERS", 0, Cut::kLast}});
  table.SetWhenEmpty("no services");
  for (const ServiceInfo& service : *services) {
    table.Add({service.name, service.sessions, service.max_connections, service.subscriptions,
               service.channels, service.publications, ListenersCell(service)});
  }
  out.Print(table);
  for (const ServiceInfo& service : *services) NoteClosedPorts(service, out);
  return absl::OkStatus();
}

absl::Status RunServicesShow(const std::string& name, AdminClient& admin, Output& out) {
  const absl::StatusOr<std::vector<ServiceInfo>> services = ServicesWithErrors(admin);
  if (!services.ok()) return services.status();
  const auto found = std::find_if(services->begin(), services->end(),
                                  [&](const ServiceInfo& service) { return service.name == name; });
  if (found == services->end()) {
    std::vector<std::string> names;
    for (const ServiceInfo& service : *services) names.push_back(service.name);
    const std::string nearest = NearestName(name, names, 2);
    return absl::NotFoundError(
        absl::StrCat("service \"", name, "\" is not configured",
                     nearest.empty() ? "" : absl::StrCat("; did you mean \"", nearest, "\"?")));
  }
  if (out.json()) {
    out.Json(ToJson(*found));
    return absl::OkStatus();
  }
  out.Print({{"service", found->name},
             {"listeners", WholeCell(ListenersCell(*found))},
             {"sessions", found->sessions},
             {"max connections", found->max_connections},
             {"messages/s", absl::StrCat(found->message_rate_limit)},
             {"subscriptions", found->subscriptions},
             {"channels", found->channels},
             {"publications", found->publications},
             {"responders", RespondersText(*found)}});
  NoteClosedPorts(*found, out);
  return absl::OkStatus();
}

void AddServiceCommands(Command root) {
  Command services =
      root.AddGroup("services", "The services of this deployment", "wsctl services list");
  services
      .AddCommand("list", "List services with their listeners and load", "wsctl services list",
                  [](Invocation& run) {
                    return run.WithAdmin(
                        [&](AdminClient& admin) { return RunServicesList(admin, run.out()); });
                  })
      .TableFlags();

  auto name = std::make_shared<std::string>();
  services
      .AddCommand("show", "Show one service", "wsctl services show mahavishnu",
                  [name](Invocation& run) {
                    return run.WithAdmin([&](AdminClient& admin) {
                      return RunServicesShow(*name, admin, run.out());
                    });
                  })
      .Argument("NAME", name.get(), "Name of the service", Values::kServices);
}

}  // namespace fanwire::cli
