#include "control/admin/agent_tools.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/json_depth.h"
#include "common/time_format.h"
#include "control/config/service_table.h"
#include "control/events/event.h"
#include "control/events/json_document.h"
#include "control/routing/channel_queries.h"
#include "control/routing/router.h"
#include "control/workers/ledger.h"
#include "control/workers/query_all_workers.h"
#include "control/workers/service_reach.h"
#include "control/workers/worker_registry.h"
#include "fanwire/v1/admin.pb.h"
#include "fanwire/v1/worker.pb.h"

namespace fanwire::control {

namespace {

using Json = nlohmann::ordered_json;

// A test event waits this long for workers whose clients are slow.  Then it is answered with the
// number of matches so far.
constexpr absl::Duration kTestEventWait = absl::Seconds(3);

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

// Returns a number without ".0" if it is a whole number.
Json Number(double value) {
  if (value == std::floor(value) && std::fabs(value) < 1e15) return static_cast<int64_t>(value);
  return value;
}

// Adds the numbers of workers and a warning to `object` if not all workers answered.
void WarnIfIncomplete(int32_t answered, int32_t total, Json* object) {
  if (answered >= total) return;
  (*object)["workers_total"] = total;
  (*object)["workers_answered"] = answered;
  (*object)["warning"] =
      absl::StrCat("incomplete: only ", answered, " of ", total, " workers answered");
}

// The connections and rooms of one service on all workers.
struct Held {
  struct Room {
    int64_t subscribers = 0;
    std::vector<std::string> connection_ids;  // sorted; empty if the tool does not need them
  };
  std::map<std::string, Room> rooms;
  std::vector<std::string> connections;  // sorted

  int64_t connection_count() const { return static_cast<int64_t>(connections.size()); }
};

// One call of a tool.
struct ToolCall {
  Tool tool = Tool::kHealthCheck;
  AgentTools::Parts parts;
  absl::Duration uptime;
  std::shared_ptr<const ServiceTable> table;
  std::vector<const ServiceSpec*> services;
  bool all = false;
  bool running = false;
  absl::Status error;  // of the queries to the workers
  int32_t workers_total = 0;
  int32_t workers_answered = 0;  // less than workers_total: the sums are incomplete
  std::vector<v1::WorkerInfo> workers;
  std::map<std::string, Held> held;  // by service
  AgentTools::Done done;

  bool wants_rooms() const { return tool != Tool::kGetMetrics; }
  bool wants_connections() const { return tool != Tool::kListRooms; }
};

Json RoomsOf(const Held& held, bool with_ids) {
  Json rooms = Json::object();
  for (const auto& [name, room] : held.rooms) {
    Json& entry = rooms[name];
    entry["subscribers"] = room.subscribers;
    if (with_ids) entry["connection_ids"] = room.connection_ids;
  }
  return rooms;
}

// Returns the error that the tool must report for the service; empty if it is healthy or not
// running.
std::string ErrorOf(const ToolCall& call, const ServiceSpec& spec) {
  if (!call.error.ok()) return std::string(call.error.message());
  return call.running ? ServiceReach::Of(spec.name, call.workers).error : "";
}

Json HealthCheck(const ToolCall& call, const ServiceSpec& spec, const Held& held) {
  const ListenerSpec& listener = spec.main_listener();
  if (const std::string error = ErrorOf(call, spec); !error.empty()) {
    return {
        {"status", "error"}, {"error", error}, {"host", listener.host}, {"port", listener.port}};
  }
  if (!call.running) {
    return {{"status", "stopped"},
            {"host", listener.host},
            {"port", listener.port},
            {"connections", 0},
            {"rooms", 0},
            {"message", "WebSocket server is not running"}};
  }
  return {{"status", "healthy"},
          {"host", listener.host},
          {"port", listener.port},
          {"connections", held.connection_count()},
          {"rooms", held.rooms.size()},
          {"max_connections", spec.max_connections},
          {"message_rate_limit", Number(spec.message_rate_limit)}};
}

Json GetStatus(const ToolCall& call, const ServiceSpec& spec, const Held& held) {
  if (const std::string error = ErrorOf(call, spec); !error.empty()) {
    return {{"error", error},
            {"server", {{"status", "error"}}},
            {"connections", Json::array()},
            {"rooms", Json::object()}};
  }
  if (!call.running) {
    return {{"server", {{"status", "not_running"}}},
            {"connections", Json::array()},
            {"rooms", Json::object()}};
  }
  const ListenerSpec& listener = spec.main_listener();
  return {{"server", {{"status", "running"}, {"host", listener.host}, {"port", listener.port}}},
          {"connections", held.connections},
          {"rooms", RoomsOf(held, /*with_ids=*/true)},
          {"total_connections", held.connection_count()},
          {"total_rooms", held.rooms.size()}};
}

Json ListRooms(const ToolCall& call, const Held& held) {
  Json json = Json::object();
  if (!call.error.ok()) json["error"] = std::string(call.error.message());
  json["rooms"] = RoomsOf(held, /*with_ids=*/false);
  json["total_rooms"] = held.rooms.size();
  if (call.error.ok() && !call.running) json["message"] = "WebSocket server not running";
  return json;
}

Json GetMetrics(const ToolCall& call, const ServiceSpec& spec, const Held& held) {
  const int64_t broadcasts = call.parts.queries->Counts(spec.name).accepted;
  const double uptime = absl::ToDoubleSeconds(call.uptime);
  Json json = Json::object();
  if (!call.error.ok()) json["error"] = std::string(call.error.message());
  json["uptime_seconds"] = absl::ToInt64Seconds(call.uptime);
  json["total_broadcasts"] = broadcasts;
  if (!call.error.ok()) return json;
  json["average_message_rate"] = uptime > 0 ? static_cast<double>(broadcasts) / uptime : 0.0;
  // Clients that connected since the last heartbeat are not in the ledger's peak yet.
  json["peak_connections"] =
      std::max(call.parts.ledger->Get(spec.name).peak_sessions, held.connection_count());
  if (call.running) {
    json["current_connections"] = held.connection_count();
  } else {
    json["message"] = "WebSocket server not running";
  }
  return json;
}

Json ObjectOf(const ToolCall& call, const ServiceSpec& spec, const Held& held) {
  switch (call.tool) {
    case Tool::kHealthCheck:
      return HealthCheck(call, spec, held);
    case Tool::kGetStatus:
      return GetStatus(call, spec, held);
    case Tool::kListRooms:
      return ListRooms(call, held);
    case Tool::kGetMetrics:
      break;
  }
  return GetMetrics(call, spec, held);
}

Json ToolObject(const ToolCall& call, const ServiceSpec& spec) {
  static const Held kNothing;
  const auto found = call.held.find(spec.name);
  const Held& held = found == call.held.end() || !call.error.ok() ? kNothing : found->second;
  Json object = ObjectOf(call, spec, held);
  if (call.error.ok()) WarnIfIncomplete(call.workers_answered, call.workers_total, &object);
  return object;
}

void Answer(const ToolCall& call) {
  if (!call.all) return call.done(Dump(ToolObject(call, *call.services.front())));
  Json services = Json::object();
  for (const ServiceSpec* spec : call.services) services[spec->name] = ToolObject(call, *spec);
  call.done(Dump({{"services", std::move(services)}}));
}

void TakeRooms(const QueryResult& result, ToolCall* call) {
  for (const v1::QueryReply& reply : result.replies) {
    for (const v1::RoomInfo& info : reply.rooms()) {
      Held::Room& room = call->held[info.service()].rooms[info.channel()];
      room.subscribers += info.subscribers();
      room.connection_ids.insert(room.connection_ids.end(), info.connection_ids().begin(),
                                 info.connection_ids().end());
    }
  }
  for (auto& [service, held] : call->held) {
    for (auto& [name, room] : held.rooms) {
      std::sort(room.connection_ids.begin(), room.connection_ids.end());
    }
  }
}

void TakeConnections(const QueryResult& result, ToolCall* call) {
  for (const v1::QueryReply& reply : result.replies) {
    for (const v1::ConnectionInfo& info : reply.connections()) {
      call->held[info.service()].connections.push_back(info.id());
    }
  }
  for (auto& [service, held] : call->held) {
    std::sort(held.connections.begin(), held.connections.end());
  }
}

// Takes the workers' answers.  Returns false if the call has failed and was answered.
bool Take(const absl::StatusOr<QueryResult>& result, ToolCall* call) {
  call->error = result.status();
  call->running = result.ok() && result->workers_asked > 0;
  // A tool may send two queries.  The one that fewer workers answered counts.
  if (result.ok() && result->workers_total - result->workers_answered >=
                         call->workers_total - call->workers_answered) {
    call->workers_total = result->workers_total;
    call->workers_answered = result->workers_answered;
  }
  if (call->running) return true;
  Answer(*call);
  return false;
}

std::string AskedService(const ToolCall& call) {
  return call.all ? std::string() : call.services.front()->name;
}

void AskConnections(const std::shared_ptr<ToolCall>& call) {
  if (!call->wants_connections()) return Answer(*call);
  v1::Query query;
  query.mutable_connections()->mutable_filter()->set_service(AskedService(*call));
  QueryAllWorkers(call->parts.registry, query, [call](absl::StatusOr<QueryResult> result) {
    if (!Take(result, call.get())) return;
    TakeConnections(*result, call.get());
    Answer(*call);
  });
}

void AskRooms(const std::shared_ptr<ToolCall>& call) {
  if (!call->wants_rooms()) return AskConnections(call);
  v1::Query query;
  query.mutable_rooms()->set_service(AskedService(*call));
  query.mutable_rooms()->set_connection_ids(call->tool == Tool::kGetStatus);
  QueryAllWorkers(call->parts.registry, query, [call](absl::StatusOr<QueryResult> result) {
    if (!Take(result, call.get())) return;
    TakeRooms(*result, call.get());
    AskConnections(call);
  });
}

// One test event.  It deletes itself when its receipt has come.
class TestEventCall final : public ReceiptSink {
 public:
  TestEventCall(std::string event_type, std::string room, AgentTools::Done done)
      : event_type_(std::move(event_type)), room_(std::move(room)), done_(std::move(done)) {}

  // Answers with an object that reports the failure.
  void Fail(absl::string_view error) {
    done_(Dump({{"status", "error"},
                {"error", std::string(error)},
                {"event_type", event_type_},
                {"room", room_}}));
    delete this;
  }

  void OnReceipt(uint64_t /*tag*/, const PublishOutcome& outcome) override {
    if (!outcome.status.ok()) return Fail(outcome.status.message());
    Json object = {{"status", "broadcasted"},
                   {"event_type", event_type_},
                   {"room", room_},
                   {"subscribers", outcome.delivery.matched},
                   {"message", "Test event broadcast successfully"}};
    WarnIfIncomplete(outcome.delivery.workers_reported, outcome.delivery.workers_total, &object);
    done_(Dump(object));
    delete this;
  }

 private:
  const std::string event_type_;
  const std::string room_;
  const AgentTools::Done done_;
};

}  // namespace

AgentTools::AgentTools(Parts parts) : parts_(std::move(parts)), started_at_(parts_.clock->Now()) {}

void AgentTools::Call(Tool tool, const Target& target, Done done) {
  auto call = std::make_shared<ToolCall>();
  call->tool = tool;
  call->parts = parts_;
  call->uptime = parts_.clock->Now() - started_at_;
  call->table = parts_.services();
  call->workers = parts_.registry->Workers();
  const std::string service = target.service.empty() && target.default_service
                                  ? call->table->default_service()
                                  : target.service;
  if (service.empty()) {
    call->all = true;
    for (const auto& spec : call->table->services()) call->services.push_back(spec.get());
  } else {
    const ServiceSpec* const spec = call->table->Find(service);
    if (spec == nullptr) return done(call->table->NoSuchService(service));
    call->services.push_back(spec);
  }
  call->done = std::move(done);
  AskRooms(call);
}

void AgentTools::BroadcastTestEvent(const TestEvent& event, Done done) {
  const std::shared_ptr<const ServiceTable> table = parts_.services();
  const std::string service = event.service.empty() ? table->default_service() : event.service;
  if (table->Find(service) == nullptr) return done(table->NoSuchService(service));
  const std::string room = event.room.empty() ? event.channel : event.room;
  auto* const call = new TestEventCall(event.event_type, room, std::move(done));
  if (parts_.registry->attached_count() == 0) return call->Fail("WebSocket server not running");
  if (!event.channel.empty() && event.channel != room) {
    return call->Fail(absl::StrCat("room \"", room, "\" and channel \"", event.channel,
                                   "\" mean the same: give one of them"));
  }
  if (JsonDepth(event.data) > kMaxJsonDepth) {
    return call->Fail(absl::StrCat("data: nested deeper than ", kMaxJsonDepth));
  }
  JsonDocument data;
  if (!data.Parse(event.data.empty() ? "{}" : event.data).ok()) {
    return call->Fail("data: expected a JSON object");
  }
  OrderedJson marked = data.All();
  marked["timestamp"] = FormatIso8601(parts_.clock->WallNow());
  marked["test"] = true;
  const std::string json = ToText(marked);
  Event view;
  view.service = service;
  view.channel = room;
  view.event = event.event_type;
  view.json = json;
  parts_.router->MakeRun()->Publish(view, {.level = ReceiptLevel::kWritten, .wait = kTestEventWait},
                                    call, 0);
}

}  // namespace fanwire::control
