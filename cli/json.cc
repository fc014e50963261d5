#include "cli/json.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/json_parse.h"
#include "common/time_format.h"

namespace fanwire::cli {
namespace {

using Json = nlohmann::ordered_json;

Json TimeJson(absl::Time time) {
  if (!IsKnown(time)) return nullptr;
  return FormatRfc3339(time);
}

Json TextOrNull(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

Json DropsJson(const DropCounts& drops) {
  Json object = Json::object();
  for (const auto& [reason, count] : drops) object[reason] = count;
  return object;
}

// The keys of a publication's object that precede the envelope.
Json WithoutEnvelope(const Publication& publication) {
  Json object = {{"service", publication.service},
                 {"channel", publication.channel},
                 {"event", publication.event}};
  if (publication.position.exists()) object["position"] = ToJson(publication.position);
  object["received_at"] = TimeJson(publication.received);
  return object;
}

}  // namespace

std::string CompactJson(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json ToJson(const Position& position) {
  return {{"epoch", position.epoch}, {"offset", position.offset}};
}

std::string PublicationLine(const Publication& publication) {
  std::string line = CompactJson(WithoutEnvelope(publication));
  line.pop_back();
  absl::StrAppend(
      &line, ",\"envelope\":", publication.envelope.empty() ? "null" : publication.envelope, "}");
  std::replace_if(
      line.begin(), line.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
  return line;
}

Json ToJson(const ServiceInfo& service) {
  Json listeners = Json::array();
  for (const ListenerInfo& listener : service.listeners) {
    listeners.push_back({{"host", listener.host},
                         {"port", listener.port},
                         {"dialect", listener.dialect},
                         {"tls", listener.tls},
                         {"auth_required", listener.auth_required},
                         {"error", TextOrNull(listener.error)}});
  }
  Json responders = Json::array();
  for (const ResponderInfo& responder : service.responders) {
    responders.push_back({{"id", responder.id},
                          {"requests", responder.requests},
                          {"outstanding", responder.outstanding},
                          {"max_concurrent", responder.max_concurrent},
                          {"leaving", responder.leaving}});
  }
  return {{"name", service.name},
          {"listeners", std::move(listeners)},
          {"max_connections", service.max_connections},
          {"message_rate_limit", service.message_rate_limit},
          {"sessions", service.sessions},
          {"subscriptions", service.subscriptions},
          {"channels", service.channels},
          {"publications", service.publications},
          {"responders", std::move(responders)}};
}

Json ToJson(const ChannelInfo& channel) {
  return {{"service", channel.service},
          {"channel", channel.channel},
          {"head", ToJson(channel.head)},
          {"history_publications", channel.history_publications},
          {"history_bytes", channel.history_bytes},
          {"oldest_offset", channel.oldest_offset},
          {"publications", channel.publications},
          {"last_published", TimeJson(channel.last_published)},
          {"workers", channel.workers},
          {"subscribers", channel.subscribers},
          {"history_size", channel.history_size},
          {"history_ttl_seconds", absl::ToDoubleSeconds(channel.history_ttl)},
          {"backlog_policy", channel.backlog_policy}};
}

Json ToJson(const ConnectionInfo& connection) {
  return {{"id", connection.id},
          {"service", connection.service},
          {"worker_id", connection.worker},
          {"user", connection.user.empty() ? Json(nullptr) : Json(connection.user)},
          {"address", connection.address},
          {"channels", connection.channels},
          {"channel_count", connection.channel_count},
          {"backlog_bytes", connection.backlog_bytes},
          {"backlog_frames", connection.backlog_frames},
          {"delivered", connection.delivered},
          {"dropped", connection.dropped},
          {"received", connection.received},
          {"connected_at", TimeJson(connection.connected_at)},
          {"user_agent", connection.user_agent},
          {"dialect", connection.dialect}};
}

Json ToJson(const PresenceMember& member) {
  const Json info = ParseOrderedJson(member.info);
  return {{"connection_id", member.connection},
          {"user_id", TextOrNull(member.user)},
          {"info", info.is_object() ? info : Json::object()},
          {"worker_id", member.worker},
          {"away", member.away}};
}

Json ToJson(const WorkerInfo& worker) {
  Json listeners = Json::array();
  for (const BoundListener& listener : worker.listeners) {
    listeners.push_back({{"service", listener.service},
                         {"host", listener.host},
                         {"configured_port", listener.configured_port},
                         {"port", listener.port},
                         {"error", TextOrNull(listener.error)}});
  }
  return {{"id", worker.id},
          {"slot", worker.slot},
          {"pid", worker.pid},
          {"address", worker.address},
          {"state", worker.state},
          {"sessions", worker.sessions},
          {"subscriptions", worker.subscriptions},
          {"incarnation", worker.incarnation},
          {"version", worker.version},
          {"attached_at", TimeJson(worker.attached_at)},
          {"last_heartbeat", TimeJson(worker.last_heartbeat)},
          {"rss_bytes", worker.rss_bytes},
          {"cpu_percent", worker.cpu_percent},
          {"queue_publications", worker.queue_publications},
          {"queue_bytes", worker.queue_bytes},
          {"in_flight_bytes", worker.in_flight_bytes},
          {"config_version", worker.config_version},
          {"config_error", worker.config_error},
          {"restarts", worker.restarts},
          {"repairs", worker.repairs},
          {"dropped", worker.dropped},
          {"ops_address", worker.ops_address},
          {"supervised", worker.supervised},
          {"listeners", std::move(listeners)},
          {"loop_lag_us", worker.loop_lag_us},
          {"file_limit", worker.file_limit},
          {"max_connections", worker.max_connections}};
}

Json ToJson(const LedgerEntry& entry) {
  return {{"service", entry.service},
          {"published", entry.published},
          {"matched", entry.matched},
          {"written", entry.written},
          {"dropped", DropsJson(entry.dropped)},
          {"lost_connection", entry.lost_connection},
          {"expired", entry.expired},
          {"queued", entry.queued},
          {"recovered", entry.recovered},
          {"difference", entry.difference}};
}

Json ToJson(const EngineStatus& engine) {
  return {{"kind", engine.kind},
          {"healthy", engine.healthy},
          {"reason", TextOrNull(engine.reason)},
          {"path", TextOrNull(engine.path)},
          {"history_bytes", engine.history_bytes},
          {"max_history_bytes", engine.max_history_bytes},
          {"disk_bytes", engine.disk_bytes},
          {"waiting_publications", engine.waiting_publications},
          {"lag_seconds", absl::ToDoubleSeconds(engine.lag)}};
}

Json ToJson(const ReloadResult& result) {
  Json workers = Json::array();
  for (const WorkerConfigState& worker : result.workers) {
    workers.push_back({{"id", worker.id},
                       {"version", worker.version},
                       {"error", worker.error.empty() ? Json(nullptr) : Json(worker.error)},
                       {"pending", worker.pending}});
  }
  return {{"version", result.version},
          {"applied", result.applied},
          {"needs_restart", result.needs_restart},
          {"workers", std::move(workers)}};
}

Json ToJson(const Receipt& receipt) {
  if (!receipt.status.ok()) {
    return {{"status",
             {{"code", absl::StatusCodeToString(receipt.status.code())},
              {"message", std::string(receipt.status.message())}}}};
  }
  Json object = Json::object();
  if (receipt.position.exists()) object["position"] = ToJson(receipt.position);
  object["level"] = std::string(LevelName(receipt.level));
  object["id"] = receipt.id;
  object["duplicate"] = receipt.duplicate;
  object["timed_out"] = receipt.timed_out;
  if (receipt.delivery.has_value()) {
    const Delivery& delivery = *receipt.delivery;
    object["delivery"] = {{"matched", delivery.matched},
                          {"written", delivery.written},
                          {"dropped", DropsJson(delivery.dropped)},
                          {"lost_connection", delivery.lost_connection},
                          {"expired", delivery.expired},
                          {"workers_total", delivery.workers_total},
                          {"workers_reported", delivery.workers_reported}};
  }
  if (receipt.stage_times.has_value()) {
    const StageTimes& times = *receipt.stage_times;
    object["stage_times"] = {{"accepted_us", times.accepted_us},
                             {"routed_us", times.routed_us},
                             {"first_written_us", times.first_written_us},
                             {"last_written_us", times.last_written_us}};
  }
  return object;
}

template <typename Value>
Json ToJsonArray(const std::vector<Value>& values) {
  Json array = Json::array();
  for (const Value& value : values) array.push_back(ToJson(value));
  return array;
}

template Json ToJsonArray(const std::vector<ServiceInfo>&);
template Json ToJsonArray(const std::vector<ChannelInfo>&);
template Json ToJsonArray(const std::vector<ConnectionInfo>&);
template Json ToJsonArray(const std::vector<PresenceMember>&);
template Json ToJsonArray(const std::vector<WorkerInfo>&);
template Json ToJsonArray(const std::vector<LedgerEntry>&);

absl::string_view LevelName(ReceiptLevel level) {
  switch (level) {
    case ReceiptLevel::kAccepted:
      return "accepted";
    case ReceiptLevel::kRouted:
      return "routed";
    case ReceiptLevel::kWritten:
      break;
  }
  return "written";
}

std::string DropsText(const DropCounts& drops) {
  if (drops.empty()) return "0";
  return absl::StrJoin(drops, ", ", [](std::string* out, const auto& drop) {
    absl::StrAppend(out, drop.second, " ", drop.first);
  });
}

int64_t Sum(const DropCounts& drops) {
  int64_t sum = 0;
  for (const auto& [reason, count] : drops) sum += count;
  return sum;
}

}  // namespace fanwire::cli
