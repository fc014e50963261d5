// The tool and the resources that describe the events of services, as control knows them.
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "cli/catalog_schema.h"
#include "cli/commands/catalog.h"
#include "cli/json.h"
#include "cli/mcp/mcp_tool.h"
#include "cli/mcp/resources.h"
#include "cli/mcp/rpc_message.h"
#include "cli/output.h"
#include "common/clock.h"

namespace fanwire::cli {
namespace {

class TextSink : public Sink {
 public:
  absl::Status Write(absl::string_view bytes) override {
    text_.append(bytes.data(), bytes.size());
    return absl::OkStatus();
  }
  // Without the line break at its end.
  std::string Take() { return std::string(absl::StripTrailingAsciiWhitespace(text_)); }

 private:
  std::string text_;
};

// The list of events that `wsctl catalog list` prints, or of `event` that `show` prints.
absl::StatusOr<std::string> EventsJson(const std::string& event,
                                       const std::vector<ServiceCatalog>& catalogs) {
  TextSink results;
  TextSink notes;
  Output out({.format = Format::kJson}, &results, &notes, Clock::Real());
  absl::Status status =
      event.empty() ? RunCatalogList(catalogs, out) : RunCatalogShow(event, catalogs, out);
  if (!status.ok()) return status;
  return results.Take();
}

absl::StatusOr<std::string> RunGetCatalog(const ToolArguments& arguments, McpCall& call) {
  const auto catalogs = call.admin().GetCatalog(arguments.Text("service"));
  if (!catalogs.ok()) return catalogs.status();
  const absl::StatusOr<std::string> events = EventsJson(arguments.Text("event"), *catalogs);
  if (!events.ok()) return events.status();
  return WithWarnings(absl::StrCat("{\"events\":", *events, "}"), call.admin());
}

}  // namespace

absl::StatusOr<std::string> CatalogMembers(absl::string_view uri, AdminClient& admin) {
  const std::string service = CatalogService(uri);
  const auto catalogs = admin.GetCatalog(service);
  if (!catalogs.ok()) return catalogs.status();
  std::string text;
  if (service.empty()) {
    const absl::StatusOr<std::string> events = EventsJson("", *catalogs);
    if (!events.ok()) return events.status();
    text = *events;
  } else {
    text = CompactJson(JsonSchemaOf(*catalogs));
  }
  return absl::StrCat("\"contents\":[{\"uri\":", RpcText(uri), ",\"mimeType\":\"",
                      service.empty() ? "application/json" : "application/schema+json",
                      "\",\"text\":", RpcText(text), "}]");
}

void AddCatalogTool(std::vector<McpTool>* tools) {
  const std::string texts = R"({"type":"array","items":{"type":"string"}})";
  const std::string event = OutputSchema({{"service", kText},
                                          {"event", kText},
                                          {"message", kTextOrNull},
                                          {"status", kText},
                                          {"channels", texts},
                                          {"description", kText}});
  tools->push_back(
      {.name = "get_catalog",
       .title = "Catalog of events",
       .description = "List the events that services publish, with the templates of their channels "
                      "(none means every channel). With `event`, describe every form of that event "
                      "with the keys of its data.",
       .input_schema = InputSchema(
           {{"service", OptionalText("Only events of this service; null means all")},
            {"event", OptionalText("Name of an event, such as workflow.started; null lists all")}}),
       .output_schema =
           OutputSchema({{"events", absl::StrCat(R"({"type":"array","items":)", event, "}")}}),
       .annotations = ReadsOnly(),
       .run = RunGetCatalog});
}

}  // namespace fanwire::cli
