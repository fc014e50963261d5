// The tools that list services, channels, connections and workers, and show the ledger and the
// engine.
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "cli/json.h"
#include "cli/mcp/mcp_tool.h"

namespace fanwire::cli {
namespace {

using Json = nlohmann::ordered_json;

// How many of a connection's channels a list shows; channel_count counts them all.
constexpr size_t kChannelsShown = 20;

constexpr char kCounts[] = R"({"type":"object","additionalProperties":{"type":"integer"}})";
constexpr char kTexts[] = R"({"type":"array","items":{"type":"string"}})";

std::string ArrayOf(const std::string& items) {
  return absl::StrCat(R"({"type":"array","items":)", items, "}");
}

std::string ServiceSchema() {
  const std::string listener = OutputSchema({{"host", kText},
                                             {"port", kWhole},
                                             {"dialect", kText},
                                             {"tls", kYesOrNo},
                                             {"auth_required", kYesOrNo},
                                             {"error", kTextOrNull}});
  return OutputSchema({{"name", kText},
                       {"listeners", ArrayOf(listener)},
                       {"max_connections", kWhole},
                       {"message_rate_limit", kNumber},
                       {"sessions", kWhole},
                       {"subscriptions", kWhole},
                       {"channels", kWhole},
                       {"publications", kWhole}});
}

std::string ChannelSchema() {
  return OutputSchema({{"service", kText},
                       {"channel", kText},
                       {"head", OutputSchema({{"epoch", kText}, {"offset", kWhole}})},
                       {"history_publications", kWhole},
                       {"history_bytes", kWhole},
                       {"oldest_offset", kWhole},
                       {"publications", kWhole},
                       {"last_published", kTextOrNull},
                       {"workers", kWhole},
                       {"subscribers", kWhole},
                       {"history_size", kWhole},
                       {"history_ttl_seconds", kNumber},
                       {"backlog_policy", kText}});
}

std::string ConnectionSchema() {
  return OutputSchema({{"id", kText},
                       {"service", kText},
                       {"worker_id", kText},
                       {"user", kTextOrNull},
                       {"address", kText},
                       {"channels", kTexts},
                       {"channel_count", kWhole},
                       {"backlog_bytes", kWhole},
                       {"backlog_frames", kWhole},
                       {"delivered", kWhole},
                       {"dropped", kWhole},
                       {"received", kWhole},
                       {"connected_at", kTextOrNull},
                       {"user_agent", kText},
                       {"dialect", kText}});
}

std::string MemberSchema() {
  return OutputSchema({{"connection_id", kText},
                       {"user_id", kTextOrNull},
                       {"info", R"({"type":"object"})"},
                       {"worker_id", kText},
                       {"away", kYesOrNo}});
}

std::string WorkerSchema() {
  const std::string listener = OutputSchema({{"service", kText},
                                             {"host", kText},
                                             {"configured_port", kWhole},
                                             {"port", kWhole},
                                             {"error", kTextOrNull}});
  return OutputSchema({{"id", kText},
                       {"pid", kWhole},
                       {"address", kText},
                       {"state", kText},
                       {"sessions", kWhole},
                       {"subscriptions", kWhole},
                       {"version", kText},
                       {"attached_at", kTextOrNull},
                       {"last_heartbeat", kTextOrNull},
                       {"rss_bytes", kWhole},
                       {"cpu_percent", kNumber},
                       {"queue_publications", kWhole},
                       {"queue_bytes", kWhole},
                       {"config_version", kWhole},
                       {"config_error", kText},
                       {"restarts", kWhole},
                       {"repairs", kWhole},
                       {"dropped", kWhole},
                       {"supervised", kYesOrNo},
                       {"listeners", ArrayOf(listener)},
                       {"loop_lag_us", kWhole}});
}

std::string LedgerSchema() {
  return OutputSchema({{"service", kText},
                       {"published", kWhole},
                       {"matched", kWhole},
                       {"written", kWhole},
                       {"dropped", kCounts},
                       {"lost_connection", kWhole},
                       {"expired", kWhole},
                       {"queued", kWhole},
                       {"recovered", kWhole},
                       {"difference", kWhole}});
}

std::string EngineSchema() {
  return OutputSchema({{"kind", kText},
                       {"healthy", kYesOrNo},
                       {"reason", kTextOrNull},
                       {"path", kTextOrNull},
                       {"history_bytes", kWhole},
                       {"max_history_bytes", kWhole},
                       {"disk_bytes", kWhole},
                       {"waiting_publications", kWhole},
                       {"lag_seconds", kNumber}});
}

absl::StatusOr<std::string> ListServices(const ToolArguments&, McpCall& call) {
  const auto services = call.admin().ListServices();
  if (!services.ok()) return services.status();
  return WithWarnings(CompactJson({{"services", ToJsonArray(*services)}}), call.admin());
}

ChannelSort ChannelSortOf(const std::string& name) {
  if (name == "subscribers") return ChannelSort::kSubscribers;
  if (name == "publications") return ChannelSort::kPublications;
  return name == "recent" ? ChannelSort::kRecent : ChannelSort::kName;
}

absl::StatusOr<std::string> ListChannels(const ToolArguments& arguments, McpCall& call) {
  const auto list = call.admin().ListChannels({.service = arguments.Text("service"),
                                               .pattern = arguments.Text("pattern"),
                                               .sort = ChannelSortOf(arguments.Text("sort")),
                                               .limit = arguments.Number("limit", 100),
                                               .page_token = arguments.Text("cursor")});
  if (!list.ok()) return list.status();
  Json object = {{"channels", ToJsonArray(list->channels)}, {"total", list->total}};
  const std::string& next = list->next_page_token;
  object["next_cursor"] = next.empty() ? Json(nullptr) : Json(next);
  return WithWarnings(CompactJson(object), call.admin());
}

ConnectionSort ConnectionSortOf(const std::string& name) {
  if (name == "backlog") return ConnectionSort::kBacklog;
  return name == "drops" ? ConnectionSort::kDrops : ConnectionSort::kAge;
}

absl::StatusOr<std::string> ListConnections(const ToolArguments& arguments, McpCall& call) {
  auto list = call.admin().ListConnections(
      {.filter = {.service = arguments.Text("service"),
                  .id = arguments.Text("id"),
                  .user = arguments.Text("user"),
                  .address = arguments.Text("address"),
                  .channel = arguments.Text("channel"),
                  .slow = arguments.Flag("slow")},
       .sort = ConnectionSortOf(arguments.Text("sort")),
       .limit = static_cast<uint32_t>(arguments.Number("limit", 100))});
  if (!list.ok()) return list.status();
  for (ConnectionInfo& connection : list->connections) {
    if (connection.channels.size() > kChannelsShown) connection.channels.resize(kChannelsShown);
  }
  return WithWarnings(CompactJson({{"connections", ToJsonArray(list->connections)},
                                   {"total", list->total},
                                   {"workers_total", list->workers_total},
                                   {"workers_answered", list->workers_answered}}),
                      call.admin());
}

absl::StatusOr<std::string> ListPresence(const ToolArguments& arguments, McpCall& call) {
  const auto list =
      call.admin().ListPresence({.service = arguments.Text("service"),
                                 .channel = arguments.Text("channel"),
                                 .limit = static_cast<uint32_t>(arguments.Number("limit", 100))});
  if (!list.ok()) return list.status();
  return WithWarnings(CompactJson({{"members", ToJsonArray(list->members)},
                                   {"total", list->total},
                                   {"users", list->users}}),
                      call.admin());
}

absl::StatusOr<std::string> ListWorkers(const ToolArguments&, McpCall& call) {
  const auto list = call.admin().ListWorkers();
  if (!list.ok()) return list.status();
  return WithWarnings(CompactJson({{"workers", ToJsonArray(list->workers)},
                                   {"config_version", list->config_version}}),
                      call.admin());
}

absl::StatusOr<std::string> GetLedger(const ToolArguments& arguments, McpCall& call) {
  const auto entries = call.admin().GetLedger(arguments.Text("service"));
  if (!entries.ok()) return entries.status();
  return WithWarnings(CompactJson({{"services", ToJsonArray(*entries)}}), call.admin());
}

absl::StatusOr<std::string> ShowEngineStatus(const ToolArguments&, McpCall& call) {
  const auto engine = call.admin().GetEngineStatus();
  if (!engine.ok()) return engine.status();
  return WithWarnings(CompactJson(ToJson(*engine)), call.admin());
}

}  // namespace

void AddListTools(std::vector<McpTool>* tools) {
  tools->push_back(
      {.name = "list_services",
       .title = "List services",
       .description = "List the services with their listeners and load. Other tools take the name "
                      "of a service from here.",
       .input_schema = InputSchema({}),
       .output_schema = OutputSchema({{"services", ArrayOf(ServiceSchema())}}),
       .annotations = ReadsOnly(),
       .run = ListServices});
  tools->push_back(
      {.name = "list_channels",
       .title = "List channels",
       .description =
           "List the channels (rooms) that control knows, with their history and subscribers. "
           "`subscribers` is counted only with the sort order `subscribers`. If `next_cursor` is "
           "not null, call again with it as `cursor` and the same other arguments.",
       .input_schema = InputSchema(
           {{"service", OptionalText("Only channels of this service; null means all")},
            {"pattern", OptionalText("Only channels that match, such as workflow:*; null means "
                                     "all")},
            {"sort", Choice({"name", "subscribers", "publications", "recent"},
                            "The order; all but name put the highest number or the latest "
                            "publication first")},
            {"limit", WholeNumber(1, 1000, 100, "At most so many channels")},
            {"cursor", OptionalText("next_cursor of the page before")}}),
       .output_schema = OutputSchema({{"channels", ArrayOf(ChannelSchema())},
                                      {"total", kWhole},
                                      {"next_cursor", kTextOrNull}}),
       .annotations = ReadsOnly(),
       .run = ListChannels});
  tools->push_back(
      {.name = "list_connections",
       .title = "List connections",
       .description = absl::StrCat(
           "List the connected clients that match all given filters, with their backlog and drops. "
           "Of each connection's channels the first ",
           kChannelsShown, " are listed; channel_count counts them all."),
       .input_schema = InputSchema(
           {{"service", OptionalText("Only clients of this service")},
            {"id", OptionalText("Only the connection with this id")},
            {"user", OptionalText("Only clients of this user")},
            {"address", OptionalText("Only clients from this host, or host:port")},
            {"channel", OptionalText("Only subscribers of this channel or pattern")},
            {"slow", YesOrNo("Only clients with a backlog")},
            {"sort", Choice({"age", "backlog", "drops"}, "The order; age is the oldest first")},
            {"limit", WholeNumber(1, 1000, 100, "At most so many connections")}}),
       .output_schema = OutputSchema({{"connections", ArrayOf(ConnectionSchema())},
                                      {"total", kWhole},
                                      {"workers_total", kWhole},
                                      {"workers_answered", kWhole}}),
       .annotations = ReadsOnly(),
       .run = ListConnections});
  tools->push_back(
      {.name = "list_presence",
       .title = "List who is on a channel",
       .description =
           "List the connections that are members of a channel, with their users. Works only for "
           "channels whose members the service's configuration tracks.",
       .input_schema =
           InputSchema({{"service", RequiredText("The service of the channel")},
                        {"channel", RequiredText("The channel: diagram:d1")},
                        {"limit", WholeNumber(1, 1000, 100, "At most so many connections")}}),
       .output_schema = OutputSchema(
           {{"members", ArrayOf(MemberSchema())}, {"total", kWhole}, {"users", kWhole}}),
       .annotations = ReadsOnly(),
       .run = ListPresence});
  tools->push_back({.name = "list_workers",
                    .title = "List workers",
                    .description = "List the fan-out processes with their state and load.",
                    .input_schema = InputSchema({}),
                    .output_schema = OutputSchema(
                        {{"workers", ArrayOf(WorkerSchema())}, {"config_version", kWhole}}),
                    .annotations = ReadsOnly(),
                    .run = ListWorkers});
  tools->push_back(
      {.name = "get_ledger",
       .title = "Ledger of deliveries",
       .description = "Count the deliveries of each service by their outcome: matched = written + "
                      "dropped + lost_connection + expired + queued + difference. A difference "
                      "that does not go away is a bug.",
       .input_schema =
           InputSchema({{"service", OptionalText("Only this service; null means all")}}),
       .output_schema = OutputSchema({{"services", ArrayOf(LedgerSchema())}}),
       .annotations = ReadsOnly(),
       .run = GetLedger});
  tools->push_back({.name = "engine_status",
                    .title = "Status of the engine",
                    .description =
                        "Show whether the engine, which keeps history, takes publications (if not, "
                        "`reason` says why), the bytes of history with their bound (0 means no "
                        "bound), and how many publications wait for it and for how long.",
                    .input_schema = InputSchema({}),
                    .output_schema = EngineSchema(),
                    .annotations = ReadsOnly(),
                    .run = ShowEngineStatus});
}

}  // namespace fanwire::cli
