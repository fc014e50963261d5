// The tools of --allow-write: they publish, drain a worker and close connections.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "cli/json.h"
#include "cli/mcp/mcp_tool.h"

namespace fanwire::cli {
namespace {

using Json = nlohmann::ordered_json;

ReceiptLevel LevelOf(const std::string& name) {
  if (name == "routed") return ReceiptLevel::kRouted;
  return name == "written" ? ReceiptLevel::kWritten : ReceiptLevel::kAccepted;
}

std::optional<absl::Duration> DurationOf(const ToolArguments& arguments, absl::string_view name) {
  const std::optional<double> seconds = arguments.Seconds(name);
  if (!seconds.has_value()) return std::nullopt;
  return absl::Seconds(*seconds);
}

absl::StatusOr<std::string> PublishEvent(const ToolArguments& arguments, McpCall& call) {
  const absl::StatusOr<Receipt> receipt =
      call.publisher().Publish({.service = arguments.Text("service"),
                                .channel = arguments.Text("channel"),
                                .event = arguments.Text("event"),
                                .json = arguments.Raw("data"),
                                .id = arguments.Text("id"),
                                .idempotency_key = arguments.Text("idempotency_key"),
                                .ttl = DurationOf(arguments, "ttl_seconds"),
                                .skip_history = arguments.Flag("skip_history")},
                               {.level = LevelOf(arguments.Text("receipt"))});
  if (!receipt.ok()) return receipt.status();
  if (!receipt->status.ok()) return receipt->status;
  return CompactJson(ToJson(*receipt));
}

absl::StatusOr<std::string> DrainWorker(const ToolArguments& arguments, McpCall& call) {
  const std::string id = arguments.Text("worker");
  int64_t most = 0;
  absl::Status status = call.admin().DrainWorker(
      {.worker = id,
       .window = DurationOf(arguments, "window_seconds"),
       .deadline = DurationOf(arguments, "deadline_seconds"),
       .unless_last = !arguments.Flag("force")},
      [&](int64_t remaining) {
        most = std::max(most, remaining);
        call.Progress(static_cast<double>(most - remaining), static_cast<double>(most),
                      absl::StrCat(remaining, " sessions left"));
      });
  if (absl::IsFailedPrecondition(status) && !arguments.Flag("force")) {
    return absl::FailedPreconditionError(
        absl::StrCat(status.message(), "; with \"force\": true it is drained all the same"));
  }
  if (!status.ok()) return status;
  return CompactJson({{"id", id}, {"drained", true}, {"sessions", most}});
}

absl::StatusOr<std::string> DisconnectClients(const ToolArguments& arguments, McpCall& call) {
  const ConnectionFilter filter{.service = arguments.Text("service"),
                                .id = arguments.Text("id"),
                                .user = arguments.Text("user"),
                                .address = arguments.Text("address"),
                                .channel = arguments.Text("channel"),
                                .slow = arguments.Flag("slow")};
  if (filter.empty()) {
    return absl::InvalidArgumentError(
        "no filter: give id, service, user, address, channel or slow");
  }
  const absl::StatusOr<DisconnectResult> result =
      call.admin().Disconnect({.filter = filter,
                               .code = static_cast<uint32_t>(arguments.Number("code", 0)),
                               .reason = arguments.Text("reason")});
  if (!result.ok()) return result.status();
  return WithWarnings(CompactJson({{"disconnected", result->disconnected},
                                   {"workers_total", result->workers_total},
                                   {"workers_answered", result->workers_answered}}),
                      call.admin());
}

constexpr char kSeconds[] =
    R"({"anyOf":[{"type":"number","minimum":0,"maximum":86400},{"type":"null"}],"default":null,)"
    R"("description":")";

std::string OptionalSeconds(absl::string_view description) {
  return absl::StrCat(kSeconds, description, "\"}");
}

}  // namespace

void AddWriteTools(std::vector<McpTool>* tools) {
  tools->push_back(
      {.name = "publish_event",
       .title = "Publish an event",
       .description = "Publish one event to a channel; its subscribers receive it. With an "
                      "idempotency_key it is safe to call again after an error.",
       .input_schema = InputSchema(
           {{"service", RequiredText("Name of the service, such as mahavishnu")},
            {"channel", RequiredText("The channel (room), such as workflow:wf_1")},
            {"event", RequiredText("Name of the event, such as workflow.started")},
            {"data", R"({"anyOf":[{"additionalProperties":true,"type":"object"},{"type":"null"}],)"
                     R"("default":null,"description":"The event's data; null means {}"})"},
            {"id", OptionalText("The event's id; null means a new UUID")},
            {"idempotency_key", OptionalText("An event with a key that was published before is not "
                                             "published again")},
            {"ttl_seconds", OptionalSeconds("The event is not delivered after this time")},
            {"skip_history", YesOrNo("Deliver the event, but do not keep it")},
            {"receipt", Choice({"accepted", "routed", "written"},
                               "What to wait for: accepted is a position, routed the queues of the "
                               "workers, written every session that matched")}},
           {"service", "channel", "event"}),
       .output_schema = OutputSchema(
           {{"level", kText}, {"id", kText}, {"duplicate", kYesOrNo}, {"timed_out", kYesOrNo}}),
       .annotations = Changes(/*destructive=*/false, /*idempotent=*/false),
       .run = PublishEvent});
  tools->push_back(
      {.name = "drain_worker",
       .title = "Drain a worker",
       .description = "Close a worker's connections gradually, then stop it. It stays stopped "
                      "until a person runs `wsctl workers restart`. Returns when the worker has "
                      "ended; a drain "
                      "that was begun goes on if the call is cancelled.",
       .input_schema = InputSchema(
           {{"worker", RequiredText("Id of the worker, such as worker-0")},
            {"window_seconds", OptionalSeconds("Spread the closing over this time; null means "
                                               "worker.drain_window")},
            {"deadline_seconds", OptionalSeconds("Close what is left after this time; null means "
                                                 "worker.drain_deadline")},
            {"force", YesOrNo("Drain even the last worker that serves clients")}},
           {"worker"}),
       .output_schema = OutputSchema({{"id", kText}, {"drained", kYesOrNo}, {"sessions", kWhole}}),
       .annotations = Changes(/*destructive=*/true, /*idempotent=*/true),
       .run = DrainWorker});
  tools->push_back(
      {.name = "disconnect_clients",
       .title = "Disconnect clients",
       .description = "Close the connections that match all given filters; at least one is needed.",
       .input_schema = InputSchema(
           {{"id", OptionalText("The connection with this id")},
            {"service", OptionalText("Clients of this service")},
            {"user", OptionalText("Clients of this user")},
            {"address", OptionalText("Clients from this host, or host:port")},
            {"channel", OptionalText("Subscribers of this channel or pattern")},
            {"slow", YesOrNo("Clients with a backlog")},
            {"code", WholeNumber(0, 4999, 0,
                                 "Close code: 1000, 1001, 1008, 1012, 1013 or "
                                 "3000-4999; 0 means 4500, which tells clients not to "
                                 "reconnect")},
            {"reason", OptionalText("Close reason, at most 123 bytes; null means \"disconnected by "
                                    "operator\"")}}),
       .output_schema = OutputSchema(
           {{"disconnected", kWhole}, {"workers_total", kWhole}, {"workers_answered", kWhole}}),
       .annotations = Changes(/*destructive=*/true, /*idempotent=*/true),
       .run = DisconnectClients});
}

}  // namespace fanwire::cli
