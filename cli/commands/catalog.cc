#include "cli/commands/catalog.h"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/catalog_schema.h"
#include "cli/catalog_text.h"
#include "cli/commands/all.h"
#include "cli/exit_code.h"
#include "cli/input.h"
#include "cli/text.h"
#include "common/edit_distance.h"
#include "common/terminal_text.h"
#include "common/utf8.h"
#include "proto/catalog_descriptors.h"

namespace fanwire::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kSourceDetails[] =
    "Without --config and --running these are the built-in catalogs, and control is not asked.";

std::vector<ServiceCatalog> BuiltInCatalogs() {
  std::vector<ServiceCatalog> catalogs;
  for (const std::string& service : BuiltInCatalogNames()) {
    ServiceCatalog& catalog = catalogs.emplace_back();
    catalog.service = service;
    for (const CatalogEvent& event : CatalogDescriptors::BuiltIn()->events()) {
      if (event.service == service) catalog.events.push_back(event);
    }
  }
  return catalogs;
}

std::string ChannelsText(const CatalogEvent& event) {
  return event.channels.empty() ? "any" : absl::StrJoin(event.channels, " ");
}

Json ToJson(const CatalogKey& key) {
  Json json = Json::object();
  if (!key.name.empty()) json["key"] = key.name;
  json["type"] = TypeText(key);
  json["optional"] = key.optional;
  json["nullable"] = key.nullable;
  json["description"] = key.comment;
  if (!key.keys.empty()) {
    Json inner = Json::array();
    for (const CatalogKey& one : key.keys) inner.push_back(ToJson(one));
    json["keys"] = std::move(inner);
  }
  return json;
}

Json ToJson(const CatalogEvent& event, bool with_keys) {
  Json json = {{"service", event.service},
               {"event", event.name},
               {"message", event.message.empty() ? Json() : Json(event.message)},
               {"status", std::string(CatalogStatusName(event.status))},
               {"channels", event.channels},
               {"description", event.comment}};
  if (!with_keys) return json;
  json["closed"] = event.closed;
  json["further_keys"] = event.spread;
  json["keys"] = Json::array();
  for (const CatalogKey& key : event.keys) json["keys"].push_back(ToJson(key));
  json["routing_keys"] = Json::array();
  for (const CatalogKey& key : event.routing_keys) json["routing_keys"].push_back(ToJson(key));
  return json;
}

void AddKeys(const std::vector<CatalogKey>& keys, const std::string& prefix, Table* table) {
  for (const CatalogKey& key : keys) {
    table->Add({prefix + key.name, TypeText(key), key.optional ? "optional" : "", key.comment});
    const bool list = key.type == CatalogType::kList && !key.keys.empty();
    const CatalogKey& inner = list ? key.keys[0] : key;
    if (inner.type == CatalogType::kObject) {
      AddKeys(inner.keys, absl::StrCat(prefix, key.name, list ? "[]." : "."), table);
    }
  }
}

void ShowEvent(const CatalogEvent& event, Output& out) {
  std::vector<std::pair<std::string, Cell>> fields = {
      {"event", event.name}, {"service", event.service}, {"channels", ChannelsText(event)}};
  if (!event.message.empty()) fields.emplace_back("message", event.message);
  if (event.status != CatalogEvent::Status::kUnknown) {
    fields.emplace_back("status", std::string(CatalogStatusName(event.status)));
  }
  if (!event.comment.empty()) fields.emplace_back("meaning", event.comment);
  if (event.spread) fields.emplace_back("further keys", "usual");
  if (event.closed) fields.emplace_back("further keys", "refused");
  for (const CatalogKey& key : event.routing_keys) {
    fields.emplace_back("for the channel only", key.name);
  }
  out.Print(fields);
  Table table({"KEY", "TYPE", {"OPTIONAL", 2}, {"MEANING", 1, Cut::kEnd}});
  table.SetWhenEmpty("no keys");
  AddKeys(event.keys, "", &table);
  out.Print(table);
}

}  // namespace

absl::StatusOr<std::vector<ServiceCatalog>> ChosenCatalogs(const CatalogChoice& choice,
                                                           Invocation& run) {
  if (!choice.config.empty() && choice.running) {
    return UsageError("--config and --running choose different catalogs: give one of them");
  }
  std::vector<ServiceCatalog> catalogs;
  if (!choice.config.empty()) {
    auto read = run.read_catalog()(choice.config);
    if (!read.ok()) return read.status();
    catalogs = *std::move(read);
  } else if (choice.running) {
    const absl::Status status = run.WithAdmin([&](AdminClient& admin) {
      auto read = admin.GetCatalog(choice.service);
      if (!read.ok()) return read.status();
      catalogs = *std::move(read);
      return absl::OkStatus();
    });
    if (!status.ok()) return status;
  } else {
    catalogs = BuiltInCatalogs();
  }
  std::vector<std::string> names;
  names.reserve(catalogs.size());
  for (const ServiceCatalog& catalog : catalogs) names.push_back(catalog.service);
  if (!choice.service.empty()) {
    std::erase_if(catalogs,
                  [&](const ServiceCatalog& one) { return one.service != choice.service; });
    if (catalogs.empty()) {
      const std::string nearest = NearestName(choice.service, names, 2);
      return absl::NotFoundError(
          absl::StrCat("no catalog of service \"", choice.service, "\"",
                       nearest.empty() ? "" : absl::StrCat("; did you mean \"", nearest, "\"?")));
    }
  }
  std::erase_if(catalogs, [](const ServiceCatalog& one) { return one.events.empty(); });
  return catalogs;
}

absl::Status RunCatalogList(const std::vector<ServiceCatalog>& catalogs, Output& out) {
  if (out.json()) {
    Json list = Json::array();
    for (const ServiceCatalog& catalog : catalogs) {
      for (const CatalogEvent& event : catalog.events) list.push_back(ToJson(event, false));
    }
    out.Json(list);
    return absl::OkStatus();
  }
  Table table({{"SERVICE", 0, Cut::kMiddle},
               "EVENT",
               {"STATUS", 2},
               {"CHANNELS", 0, Cut::kEnd},
               {"MEANING", 1, Cut::kEnd}});
  table.SetWhenEmpty("no events");
  for (const ServiceCatalog& catalog : catalogs) {
    for (const CatalogEvent& event : catalog.events) {
      table.Add({catalog.service, event.name, CatalogStatusName(event.status), ChannelsText(event),
                 event.comment});
    }
  }
  out.Print(table);
  return absl::OkStatus();
}

absl::Status RunCatalogShow(const std::string& event, const std::vector<ServiceCatalog>& catalogs,
                            Output& out) {
  std::vector<const CatalogEvent*> found;
  std::vector<std::string> names;
  for (const ServiceCatalog& catalog : catalogs) {
    for (const CatalogEvent& one : catalog.events) {
      names.push_back(one.name);
      if (one.name == event) found.push_back(&one);
    }
  }
  if (found.empty()) {
    const std::string nearest = NearestName(event, names, 4);
    // With --service only that one was looked at.
    const std::string where = catalogs.size() == 1 ? absl::StrCat(" in the catalog of service \"",
                                                                  catalogs[0].service, "\"")
                                                   : "";
    return absl::NotFoundError(
        absl::StrCat("no event \"", event, "\"", where,
                     nearest.empty() ? "" : absl::StrCat("; did you mean \"", nearest, "\"?")));
  }
  if (out.json()) {
    Json list = Json::array();
    for (const CatalogEvent* one : found) list.push_back(ToJson(*one, true));
    out.Json(list);
    return absl::OkStatus();
  }
  for (size_t i = 0; i < found.size(); ++i) {
    if (i > 0) out.Line("");
    ShowEvent(*found[i], out);
  }
  return absl::OkStatus();
}

absl::Status RunCatalogValidate(const std::vector<std::string>& files, Output& out) {
  Json list = Json::array();
  size_t faults = 0;
  for (const std::string& file : files) {
    absl::Status status;
    std::vector<std::string> events;
    if (const auto bytes = ReadFile(file); !bytes.ok()) {
      status = bytes.status();
    } else if (const auto read = CatalogDescriptors::Read(*bytes); !read.ok()) {
      status = read.status();
    } else {
      for (const CatalogEvent& event : (*read)->events()) events.push_back(event.name);
      if (events.empty()) {
        status =
            absl::InvalidArgumentError("no message in it has the option fanwire.catalog.v1.event");
      }
    }
    faults += status.ok() ? 0 : 1;
    const std::string shown = TextFault(file).empty() ? file : EscapeControls(file);
    list.push_back({{"file", shown},
                    {"error", status.ok() ? Json() : Json(std::string(status.message()))},
                    {"events", events}});
    if (out.json()) continue;
    out.Line(status.ok() ? absl::StrCat(shown, ": ", absl::StrJoin(events, ", "))
                         : absl::StrCat(shown, ": ", status.message()));
  }
  if (out.json()) out.Json(list);
  if (faults == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(faults, faults == 1 ? " file" : " files", " cannot be used as catalog_files"));
}

absl::Status RunCatalogExport(CatalogFormat format, const std::vector<ServiceCatalog>& catalogs,
                              Output& out) {
  switch (format) {
    case CatalogFormat::kAsyncApi:
      out.Text(AsyncApiOf(catalogs).dump(2) + "\n");
      break;
    case CatalogFormat::kJsonSchema:
      out.Text(JsonSchemaOf(catalogs).dump(2) + "\n");
      break;
    case CatalogFormat::kTypeScript:
      out.Text(TypeScriptOf(catalogs));
      break;
    case CatalogFormat::kMarkdown:
      out.Text(MarkdownOf(catalogs));
      break;
  }
  return absl::OkStatus();
}

void AddCatalogCommands(Command root) {
  Command catalog =
      root.AddGroup("catalog", "The events that services publish", "wsctl catalog list");
  const auto choice = std::make_shared<CatalogChoice>();
  const auto with = [choice](Command& command) {
    command
        .Text("--service", "NAME", &choice->service, "Only this service; default all",
              Values::kServices)
        .Text("--config", "FILE", &choice->config, "The catalogs of this configuration",
              Values::kFiles)
        .AnyBytes("--config")
        .Flag("--running", &choice->running, "The catalogs of the control that is running");
  };

  Command list =
      catalog.AddCommand("list", "List the events of each service",
                         "wsctl catalog list --service mahavishnu", [choice](Invocation& run) {
                           const auto catalogs = ChosenCatalogs(*choice, run);
                           if (!catalogs.ok()) return catalogs.status();
                           return RunCatalogList(*catalogs, run.out());
                         });
  with(list);
  list.Details(kSourceDetails).TableFlags();

  const auto event = std::make_shared<std::string>();
  Command show =
      catalog.AddCommand("show", "Show an event and the keys of its data",
                         "wsctl catalog show workflow.started", [choice, event](Invocation& run) {
                           const auto catalogs = ChosenCatalogs(*choice, run);
                           if (!catalogs.ok()) return catalogs.status();
                           return RunCatalogShow(*event, *catalogs, run.out());
                         });
  show.Argument("EVENT", event.get(), "Name of the event");
  with(show);
  show.Details(kSourceDetails).TableFlags();

  const auto files = std::make_shared<std::vector<std::string>>();
  catalog
      .AddCommand("validate", "Check descriptor files before a configuration names them",
                  "wsctl catalog validate events.binpb",
                  [files](Invocation& run) { return RunCatalogValidate(*files, run.out()); })
      .Details(
          "The files are written by `protoc --include_imports --descriptor_set_out=FILE`, and are\n"
          "for the key catalog_files of a service.  Control is not asked.")
      .Arguments("FILE", files.get(), "Files of descriptors", Values::kFiles)
      .AnyBytes("FILE");

  const auto format = std::make_shared<CatalogFormat>(CatalogFormat::kAsyncApi);
  Command exported = catalog.AddCommand("export", "Print the events as a document for other tools",
                                        "wsctl catalog export --format typescript",
                                        [choice, format](Invocation& run) {
                                          const auto catalogs = ChosenCatalogs(*choice, run);
                                          if (!catalogs.ok()) return catalogs.status();
                                          return RunCatalogExport(*format, *catalogs, run.out());
                                        });
  exported.Choice<CatalogFormat>("--format", format.get(),
                                 {{"asyncapi", CatalogFormat::kAsyncApi},
                                  {"jsonschema", CatalogFormat::kJsonSchema},
                                  {"typescript", CatalogFormat::kTypeScript},
                                  {"markdown", CatalogFormat::kMarkdown}},
                                 "Default asyncapi (3.0); jsonschema is draft 2020-12");
  with(exported);
  exported.Details(kSourceDetails);
}

}  // namespace fanwire::cli
