#include "cli/commands/tools.h"

#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/commands/all.h"
#include "cli/exit_code.h"
#include "cli/invocation.h"
#include "cli/json.h"
#include "common/json_parse.h"

namespace fanwire::cli {
namespace {

using Json = nlohmann::ordered_json;

// The host and port that the original tools report when they cannot reach the server.
constexpr char kDefaultHost[] = "127.0.0.1";
constexpr int kDefaultPort = 8690;
constexpr char kDefaultService[] = "mahavishnu";

// Formats a field as a cell: strings without quotes, other values as JSON, "-" if it is absent.
Cell Field(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return "-";
  if (found->is_string()) return found->get<std::string>();
  if (found->is_number_integer()) return found->get<int64_t>();
  // One decimal is enough for a rate.
  Cell cell(found->is_number_float() ? absl::StrFormat("%.1f", found->get<double>())
                                     : found->dump());
  cell.number = found->is_number();
  return cell;
}

Cell StatusCell(const Json& object) {
  Cell cell = Field(object, "status");
  cell.tone = cell.text == "healthy" || cell.text == "running" ? Tone::kGood : Tone::kBad;
  return cell;
}

using Answers = std::vector<std::pair<std::string, Json>>;  // by service

void PrintHealth(const Answers& answers, Output& out) {
  Table table({{"SERVICE", 0, Cut::kMiddle},
               "STATUS",
               {"HOST", 0, Cut::kMiddle},
               "PORT",
               {"CONNECTIONS", 1},
               {"ROOMS", 2},
               {"MAX CONNECTIONS", 3},
               {"MESSAGES/S", 4}});
  table.SetWhenEmpty("no services");
  for (const auto& [service, answer] : answers) {
    table.Add({service, StatusCell(answer), Field(answer, "host"), Field(answer, "port"),
               Field(answer, "connections"), Field(answer, "rooms"),
               Field(answer, "max_connections"), Field(answer, "message_rate_limit")});
  }
  out.Print(table);
}

// `after`: another table precedes this one, so an empty line separates them.
void PrintRooms(const Answers& answers, Output& out, bool after = false) {
  Table table({{"SERVICE", 0, Cut::kMiddle}, "SUBSCRIBERS", {"ROOM", 0, Cut::kMiddle}});
  for (const auto& [service, answer] : answers) {
    const auto rooms = answer.find("rooms");
    if (rooms == answer.end() || !rooms->is_object()) continue;
    for (const auto& [room, entry] : rooms->items()) {
      table.Add({service, Field(entry, "subscribers"), room});
    }
  }
  if (table.empty()) {
    out.Note("no rooms: nobody has subscribed to anything");
    return;
  }
  if (after) out.Line("");
  out.Print(table);
}

void PrintStatus(const Answers& answers, Output& out) {
  Table table({{"SERVICE", 0, Cut::kMiddle},
               "STATUS",
               {"HOST", 0, Cut::kMiddle},
               "PORT",
               {"CONNECTIONS", 1},
               {"ROOMS", 2}});
  table.SetWhenEmpty("no services");
  for (const auto& [service, answer] : answers) {
    const Json server = answer.value("server", Json::object());
    table.Add({service, StatusCell(server), Field(server, "host"), Field(server, "port"),
               Field(answer, "total_connections"), Field(answer, "total_rooms")});
  }
  out.Print(table);
  // Chosen columns are those of the first table.
  if (out.format() == Format::kTable && !out.chooses_columns()) {
    PrintRooms(answers, out, /*after=*/true);
  }
}

void PrintMetrics(const Answers& answers, Output& out) {
  Table table({{"SERVICE", 0, Cut::kMiddle},
               {"UPTIME S", 4},
               "BROADCASTS",
               {"MESSAGES/S", 2},
               {"CONNECTIONS", 1},
               {"PEAK", 3}});
  table.SetWhenEmpty("no services");
  for (const auto& [service, answer] : answers) {
    table.Add({service, Field(answer, "uptime_seconds"), Field(answer, "total_broadcasts"),
               Field(answer, "average_message_rate"), Field(answer, "current_connections"),
               Field(answer, "peak_connections")});
  }
  out.Print(table);
}

void PrintForPeople(Tool tool, const Answers& answers, Output& out) {
  switch (tool) {
    case Tool::kHealthCheck:
      return PrintHealth(answers, out);
    case Tool::kGetStatus:
      return PrintStatus(answers, out);
    case Tool::kListRooms:
      return PrintRooms(answers, out);
    case Tool::kGetMetrics:
      return PrintMetrics(answers, out);
  }
}

// Returns an error if an answer contains one or reports an unhealthy service.
absl::Status Verdict(Tool tool, const Answers& answers) {
  for (const auto& [service, answer] : answers) {
    const auto it = answer.find("error");
    const std::string error =
        it != answer.end() && it->is_string() ? it->get<std::string>() : std::string();
    if (tool == Tool::kHealthCheck && answer.value("status", "") != "healthy") {
      return absl::UnavailableError(absl::StrCat(
          service, " is not healthy: ", error.empty() ? "see `wsctl workers list`" : error));
    }
    if (!error.empty()) return absl::UnknownError(absl::StrCat(service, ": ", error));
  }
  return absl::OkStatus();
}

// Repeats the answers' warnings, each different one once, where people see them.
void NoteWarnings(const Answers& answers, Output& out) {
  std::set<std::string> told;
  for (const auto& [service, answer] : answers) {
    const auto warning = answer.find("warning");
    if (warning == answer.end() || !warning->is_string()) continue;
    if (told.insert(warning->get<std::string>()).second) out.Note(warning->get<std::string>());
  }
}

absl::StatusOr<Json> ParseAnswer(const std::string& text) {
  Json answer = ParseOrderedJson(text);
  if (!answer.is_object()) return absl::InternalError("control's answer is not a JSON object");
  return answer;
}

Answers ByService(const std::string& asked, const Json& answer) {
  Answers answers;
  const auto services = answer.find("services");
  if (services != answer.end() && services->is_object()) {
    for (const auto& [service, entry] : services->items()) answers.emplace_back(service, entry);
  } else {
    answers.emplace_back(asked.empty() ? "(default)" : asked, answer);
  }
  return answers;
}

}  // namespace

std::string ToolErrorJson(const ToolOptions& options, const absl::Status& status) {
  const std::string error(status.message());
  switch (options.tool) {
    case Tool::kHealthCheck: {
      // Without asking control, only the default service's host and port are known.
      const bool known = options.service.empty() || options.service == kDefaultService;
      return CompactJson({{"status", "error"},
                          {"error", error},
                          {"host", known ? Json(kDefaultHost) : Json(nullptr)},
                          {"port", known ? Json(kDefaultPort) : Json(nullptr)}});
    }
    case Tool::kGetStatus:
      return CompactJson({{"error", error},
                          {"server", {{"status", "error"}}},
                          {"connections", Json::array()},
                          {"rooms", Json::object()}});
    case Tool::kListRooms:
      return CompactJson({{"error", error}, {"rooms", Json::object()}, {"total_rooms", 0}});
    case Tool::kGetMetrics:
      break;
  }
  return CompactJson({{"error", error}, {"uptime_seconds", 0}, {"total_broadcasts", 0}});
}

std::string TestEventErrorJson(const TestEventOptions& options, const absl::Status& status) {
  return CompactJson({{"status", "error"},
                      {"error", std::string(status.message())},
                      {"event_type", options.event_type},
                      {"room", options.room}});
}

absl::Status RunTool(const ToolOptions& options, AdminClient& admin, Output& out) {
  const absl::StatusOr<std::string> text = admin.CallTool(
      options.tool, {.service = options.service,
                     .default_service = options.by_tool_name && options.service.empty()});
  if (!text.ok()) {
    if (out.json()) out.JsonLine(ToolErrorJson(options, text.status()));
    return text.status();
  }
  const absl::StatusOr<Json> answer = ParseAnswer(*text);
  if (!answer.ok()) return answer.status();
  const Answers answers = ByService(options.service, *answer);
  if (out.json()) {
    out.JsonLine(*text);
  } else {
    PrintForPeople(options.tool, answers, out);
  }
  NoteWarnings(answers, out);
  return Verdict(options.tool, answers);
}

absl::Status TakeRoom(TestEventOptions* options) {
  const bool by_room = !options->room_flag.empty(), by_channel = !options->channel_flag.empty();
  if (by_room && by_channel) {
    return UsageError("--room and --channel mean the same: give one of them");
  }
  if (!by_room && !by_channel) {
    if (!options->room.empty()) return absl::OkStatus();
    return UsageError("ROOM is missing\nTry `wsctl broadcast-test-event --help`.");
  }
  const absl::string_view data = absl::StripLeadingAsciiWhitespace(options->room);
  if (!options->data.empty() || (!data.empty() && data[0] != '{')) {
    return UsageError(absl::StrCat("the room is given with ", by_room ? "--room" : "--channel",
                                   ": only JSON may follow EVENT_TYPE, not \"", options->room,
                                   "\""));
  }
  options->data = options->room;
  options->room = by_room ? options->room_flag : options->channel_flag;
  return absl::OkStatus();
}

absl::Status RunTestEvent(const TestEventOptions& options, AdminClient& admin, Output& out) {
  const absl::StatusOr<std::string> text =
      admin.BroadcastTestEvent({.service = options.service,
                                .event_type = options.event_type,
                                .room = options.room,
                                .data = options.data});
  if (!text.ok()) {
    if (out.json()) out.JsonLine(TestEventErrorJson(options, text.status()));
    return text.status();
  }
  const absl::StatusOr<Json> answer = ParseAnswer(*text);
  if (!answer.ok()) return answer.status();
  if (out.json()) out.JsonLine(*text);
  NoteWarnings({{options.service, *answer}}, out);
  if (const std::string error = answer->value("error", ""); !error.empty()) {
    return absl::UnknownError(error);
  }
  if (!out.json()) {
    out.Print({{"event", options.event_type},
               {"room", options.room},
               {"subscribers", Field(*answer, "subscribers")}});
  }
  return absl::OkStatus();
}

namespace {

void AddTool(Command root, Tool tool, const std::string& command, const std::string& tool_name,
             const std::string& summary) {
  for (const bool by_tool_name : {false, true}) {
    auto options = std::make_shared<ToolOptions>();
    options->tool = tool;
    options->by_tool_name = by_tool_name;
    const std::string& name = by_tool_name ? tool_name : command;
    Command added = root.AddCommand(
        name, summary, absl::StrCat("wsctl ", name, " --service mahavishnu --output json"),
        [options](Invocation& run) {
          return run.WithAdmin(
              [&](AdminClient& admin) { return RunTool(*options, admin, run.out()); });
        });
    added.Text("--service", "NAME", &options->service,
               by_tool_name ? "Ask this service; default the configured default_service"
                            : "Only this service; default all",
               Values::kServices);
    added.TableFlags();
    if (by_tool_name) added.Hidden();
  }
}

}  // namespace

void AddToolCommands(Command root) {
  AddTool(root, Tool::kHealthCheck, "health-check", "websocket_health_check",
          "Show whether services are healthy");
  AddTool(root, Tool::kGetStatus, "get-status", "websocket_get_status",
          "Show connections and rooms of services");
  AddTool(root, Tool::kListRooms, "list-rooms", "websocket_list_rooms",
          "List rooms and their subscribers");
  AddTool(root, Tool::kGetMetrics, "get-metrics", "websocket_get_metrics",
          "Show uptime, broadcasts and connections of services");
  for (const char* name : {"broadcast-test-event", "websocket_broadcast_test_event"}) {
    auto options = std::make_shared<TestEventOptions>();
    Command added = root.AddCommand(
        name, "Publish an event marked `test: true`",
        absl::StrCat("wsctl ", name,
                     " workflow.started workflow:wf_1 '{\"workflow_id\": \"wf_1\"}'"),
        [options](Invocation& run) {
          absl::Status room = TakeRoom(options.get());
          if (!room.ok()) return room;
          return run.WithAdmin(
              [&](AdminClient& admin) { return RunTestEvent(*options, admin, run.out()); });
        });
    added.Argument("EVENT_TYPE", &options->event_type, "Name of the event")
        .OptionalArgument("ROOM", &options->room,
                          "Channel to publish to; omitted with --room or --channel")
        .OptionalArgument("JSON", &options->data, "Data, a JSON object; default {}")
        .Text("--room", "ROOM", &options->room_flag, "The channel, instead of the argument")
        .Text("--channel", "ROOM", &options->channel_flag, "A synonym of --room")
        .Text("--service", "NAME", &options->service,
              "Publish as this service; default the configured default_service", Values::kServices);
    if (absl::string_view(name) == "websocket_broadcast_test_event") added.Hidden();
  }
}

}  // namespace fanwire::cli
