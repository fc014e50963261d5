// The five tools of the original servers: names, schemas, descriptions and objects as
// docs/protocol.md "Tools" and docs/mcp.md have them.  Failures are told inside of the object; only
// a service that is not configured is an error of the call.
#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cli/commands/tools.h"
#include "cli/mcp/mcp_tool.h"

namespace fanwire::cli {
namespace {

// As the original's framework wrote them.
constexpr char kAnyObject[] = R"({"additionalProperties":true,"type":"object"})";
constexpr char kNoTags[] = R"({"fastmcp":{"tags":[]}})";

std::string ServiceArgument() {
  return OptionalText("Name of the service; null means the configured default_service");
}

void AddReport(std::vector<McpTool>* tools, Tool tool, std::string name, std::string title,
               std::string description) {
  tools->push_back(
      {.name = std::move(name),
       .title = std::move(title),
       .description = std::move(description),
       .input_schema = InputSchema({{"service", ServiceArgument()}}),
       .output_schema = kAnyObject,
       .annotations = ReadsOnly(),
       .meta = kNoTags,
       .run =
           [tool](const ToolArguments& arguments, McpCall& call) {
             return call.admin().CallTool(
                 tool, {.service = arguments.Text("service"), .default_service = true});
           },
       .failure =
           [tool](const ToolArguments& arguments, const absl::Status& status) {
             return ToolErrorJson({.tool = tool, .service = arguments.Text("service")}, status);
           }});
}

// The room; servers whose tool has `channel` mean the same.
std::string RoomOf(const ToolArguments& arguments) {
  return arguments.Text(arguments.values().contains("room") ? "room" : "channel");
}

absl::StatusOr<std::string> BroadcastTestEvent(const ToolArguments& arguments, McpCall& call) {
  const bool by_room = arguments.values().contains("room");
  if (by_room == arguments.values().contains("channel")) {
    return absl::InvalidArgumentError(by_room ? "room and channel mean the same: give one of them"
                                              : "room is missing");
  }
  return call.admin().BroadcastTestEvent({.service = arguments.Text("service"),
                                          .event_type = arguments.Text("event_type"),
                                          .room = RoomOf(arguments),
                                          .data = arguments.Raw("data")});
}

constexpr char kRequiredText[] = R"({"type":"string"})";
constexpr char kTestData[] =
    R"({"anyOf":[{"additionalProperties":true,"type":"object"},{"type":"null"}],"default":null})";

}  // namespace

void AddFiveTools(std::vector<McpTool>* tools) {
  AddReport(tools, Tool::kHealthCheck, "websocket_health_check", "Health check",
            "Check WebSocket server health and status.");
  AddReport(tools, Tool::kGetStatus, "websocket_get_status", "Status",
            "Get detailed WebSocket server status.");
  AddReport(tools, Tool::kListRooms, "websocket_list_rooms", "Rooms",
            "List all WebSocket rooms and their subscriber counts.");
  tools->push_back({.name = "websocket_broadcast_test_event",
                    .title = "Broadcast test event",
                    .description = "Broadcast a test event via WebSocket (development only).",
                    .input_schema = InputSchema({{"event_type", kRequiredText},
                                                 {"room", kRequiredText},
                                                 {"data", kTestData},
                                                 {"service", ServiceArgument()}},
                                                {"event_type", "room"}),
                    .output_schema = kAnyObject,
                    .annotations = Changes(/*destructive=*/false, /*idempotent=*/false),
                    .meta = kNoTags,
                    .accepted_schema = InputSchema({{"event_type", kRequiredText},
                                                    {"room", kRequiredText},
                                                    {"channel", kRequiredText},
                                                    {"data", kTestData},
                                                    {"service", ServiceArgument()}},
                                                   {"event_type"}),
                    .run = BroadcastTestEvent,
                    .failure = [](const ToolArguments& arguments, const absl::Status& status) {
                      TestEventOptions options;
                      options.event_type = arguments.Text("event_type");
                      options.room = RoomOf(arguments);
                      return TestEventErrorJson(options, status);
                    }});
  AddReport(tools, Tool::kGetMetrics, "websocket_get_metrics", "Metrics",
            "Get WebSocket server metrics.");
}

}  // namespace fanwire::cli
