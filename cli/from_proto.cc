#include "cli/from_proto.h"

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "common/proto_time.h"
#include "fanwire/v1/admin.pb.h"
#include "fanwire/v1/publish.pb.h"
#include "fanwire/v1/types.pb.h"
#include "fanwire/v1/worker.pb.h"

namespace fanwire::cli {
namespace {

// Returns `name` without `prefix`, in lower case: "DROP_REASON_DROP_OLDEST" -> "drop_oldest".
std::string LowerName(absl::string_view name, absl::string_view prefix) {
  return absl::AsciiStrToLower(absl::StripPrefix(name, prefix));
}

std::string DialectName(v1::Dialect dialect) {
  return LowerName(v1::Dialect_Name(dialect), "DIALECT_");
}

template <typename Repeated>
DropCounts DropsFromProto(const Repeated& drops) {
  DropCounts counts;
  for (const v1::DropCount& drop : drops) {
    if (drop.count() != 0) {
      counts[LowerName(v1::DropReason_Name(drop.reason()), "DROP_REASON_")] += drop.count();
    }
  }
  return counts;
}

ReceiptLevel LevelFromProto(v1::ReceiptLevel level) {
  switch (level) {
    case v1::RECEIPT_LEVEL_ROUTED:
      return ReceiptLevel::kRouted;
    case v1::RECEIPT_LEVEL_WRITTEN:
      return ReceiptLevel::kWritten;
    default:
      return ReceiptLevel::kAccepted;
  }
}

CatalogKey KeyFromProto(const v1::KeyDescription& key) {
  CatalogKey out{.name = key.name(),
                 .comment = key.description(),
                 .type = static_cast<CatalogType>(key.type()),
                 .optional = key.optional(),
                 .nullable = key.nullable(),
                 .values = {key.values().begin(), key.values().end()},
                 .message = key.message()};
  // A control of another version may have types that this wsctl does not know.
  if (CatalogTypeName(out.type).empty()) out.type = CatalogType::kAny;
  for (const v1::KeyDescription& inner : key.keys()) out.keys.push_back(KeyFromProto(inner));
  return out;
}

}  // namespace

absl::Time TimeOrNever(const google::protobuf::Timestamp& time) {
  if (time.seconds() == 0 && time.nanos() == 0) return absl::InfinitePast();
  return ToTime(time);
}

Position FromProto(const v1::Position& position) {
  return {.epoch = position.epoch(), .offset = position.offset()};
}

void ToProto(const Position& position, v1::Position* out) {
  out->set_epoch(position.epoch);
  out->set_offset(position.offset);
}

Receipt FromProto(const v1::Receipt& receipt) {
  Receipt out;
  if (receipt.has_status() && receipt.status().code() != 0) {
    out.status = absl::Status(static_cast<absl::StatusCode>(receipt.status().code()),
                              receipt.status().message());
    return out;
  }
  out.id = receipt.id();
  if (receipt.has_position()) out.position = FromProto(receipt.position());
  out.level = LevelFromProto(receipt.level());
  if (receipt.has_delivery()) {
    const v1::Delivery& delivery = receipt.delivery();
    out.delivery = Delivery{.matched = delivery.matched(),
                            .written = delivery.written(),
                            .dropped = DropsFromProto(delivery.dropped()),
                            .lost_connection = delivery.lost_connection(),
                            .expired = delivery.expired(),
                            .workers_total = delivery.workers_total(),
                            .workers_reported = delivery.workers_reported()};
  }
  out.duplicate = receipt.duplicate();
  out.timed_out = receipt.timed_out();
  if (receipt.has_stage_times()) {
    const v1::StageTimes& times = receipt.stage_times();
    out.stage_times = StageTimes{.accepted_us = times.accepted_us(),
                                 .routed_us = times.routed_us(),
                                 .first_written_us = times.first_written_us(),
                                 .last_written_us = times.last_written_us()};
  }
  return out;
}

Publication FromProto(const v1::Publication& publication) {
  Publication out{.service = publication.service(),
                  .channel = publication.channel(),
                  .event = publication.event(),
                  .position = FromProto(publication.position()),
                  .envelope = publication.envelope()};
  if (publication.received_us() != 0) {
    out.received = absl::FromUnixMicros(publication.received_us());
  }
  return out;
}

ServiceInfo FromProto(const v1::ServiceInfo& service) {
  ServiceInfo out{.name = service.name(),
                  .listeners = {},
                  .max_connections = service.max_connections(),
                  .message_rate_limit = service.message_rate_limit(),
                  .sessions = service.sessions(),
                  .subscriptions = service.subscriptions(),
                  .channels = service.channels(),
                  .publications = service.publications()};
  for (const v1::ListenerInfo& listener : service.listeners()) {
    out.listeners.push_back({.host = listener.host(),
                             .port = listener.port(),
                             .dialect = DialectName(listener.dialect()),
                             .tls = listener.tls(),
                             .auth_required = listener.auth_required()});
  }
  return out;
}

ChannelInfo FromProto(const v1::ChannelInfo& channel) {
  return {.service = channel.service(),
          .channel = channel.channel(),
          .head = FromProto(channel.head()),
          .history_publications = channel.history_publications(),
          .history_bytes = channel.history_bytes(),
          .oldest_offset = channel.oldest_offset(),
          .publications = channel.publications(),
          .last_published = TimeOrNever(channel.last_published()),
          .workers = channel.workers(),
          .subscribers = channel.subscribers(),
          .history_size = channel.history_size(),
          .history_ttl = ToDuration(channel.history_ttl()),
          .backlog_policy =
              LowerName(v1::BacklogPolicy_Name(channel.backlog_policy()), "BACKLOG_POLICY_")};
}

PresenceMember FromProto(const v1::PresenceMember& member) {
  return {.connection = member.connection_id(),
          .user = member.user_id(),
          .info = member.info(),
          .worker = member.worker_id(),
          .away = member.away()};
}

ConnectionInfo FromProto(const v1::ConnectionInfo& connection) {
  ConnectionInfo out{.id = connection.id(),
                     .service = connection.service(),
                     .worker = connection.worker_id(),
                     .user = connection.user(),
                     .address = connection.address(),
                     .channels = {connection.channels().begin(), connection.channels().end()},
                     .channel_count = connection.channel_count(),
                     .backlog_bytes = connection.backlog_bytes(),
                     .backlog_frames = connection.backlog_frames(),
                     .delivered = connection.delivered(),
                     .dropped = connection.dropped(),
                     .received = connection.received(),
                     .connected_at = absl::InfinitePast(),
                     .user_agent = connection.user_agent(),
                     .dialect = DialectName(connection.dialect())};
  if (connection.connected_at_us() != 0) {
    out.connected_at = absl::FromUnixMicros(connection.connected_at_us());
  }
  return out;
}

WorkerInfo FromProto(const v1::WorkerInfo& worker) {
  WorkerInfo out{.id = worker.id(),
                 .slot = worker.slot(),
                 .pid = worker.pid(),
                 .address = worker.address(),
                 .state = LowerName(v1::WorkerState_Name(worker.state()), "WORKER_STATE_"),
                 .sessions = worker.sessions(),
                 .subscriptions = worker.subscriptions(),
                 .incarnation = worker.incarnation(),
                 .version = worker.version(),
                 .attached_at = TimeOrNever(worker.attached_at()),
                 .last_heartbeat = TimeOrNever(worker.last_heartbeat()),
                 .rss_bytes = worker.rss_bytes(),
                 .cpu_percent = worker.cpu_percent(),
                 .queue_publications = worker.queue_publications(),
                 .queue_bytes = worker.queue_bytes(),
                 .in_flight_bytes = worker.in_flight_bytes(),
                 .config_version = worker.config_version(),
                 .config_error = worker.config_error(),
                 .restarts = worker.restarts(),
                 .repairs = worker.repairs(),
                 .dropped = worker.dropped(),
                 .ops_address = worker.ops_address(),
                 .supervised = worker.supervised(),
                 .listeners = {},
                 .loop_lag_us = worker.loop_lag_us(),
                 .file_limit = worker.file_limit(),
                 .max_connections = worker.max_connections()};
  for (const v1::BoundListener& listener : worker.listeners()) {
    out.listeners.push_back({.service = listener.service(),
                             .configured_port = listener.configured_port(),
                             .port = listener.port(),
                             .host = listener.host(),
                             .error = listener.error()});
  }
  return out;
}

LedgerEntry FromProto(const v1::LedgerEntry& entry) {
  return {.service = entry.service(),
          .published = entry.published(),
          .matched = entry.matched(),
          .written = entry.written(),
          .dropped = DropsFromProto(entry.dropped()),
          .lost_connection = entry.lost_connection(),
          .expired = entry.expired(),
          .queued = entry.queued(),
          .recovered = entry.recovered(),
          .difference = entry.difference()};
}

ServiceCatalog FromProto(const v1::ServiceCatalog& catalog) {
  ServiceCatalog out{.service = catalog.service(),
                     .check = LowerName(v1::CatalogCheck_Name(catalog.check()), "CATALOG_CHECK_")};
  for (const v1::EventDescription& event : catalog.events()) {
    CatalogEvent& made = out.events.emplace_back(
        CatalogEvent{.service = catalog.service(),
                     .name = event.name(),
                     .message = event.message(),
                     .comment = event.description(),
                     .channels = {event.channels().begin(), event.channels().end()},
                     .status = static_cast<CatalogEvent::Status>(event.status()),
                     .closed = event.closed(),
                     .spread = event.spread()});
    for (const v1::KeyDescription& key : event.keys()) made.keys.push_back(KeyFromProto(key));
    for (const v1::KeyDescription& key : event.routing_keys()) {
      made.routing_keys.push_back(KeyFromProto(key));
    }
  }
  return out;
}

void ToProto(const Event& event, v1::Event* out) {
  out->set_service(event.service);
  out->set_channel(event.channel);
  out->set_event(event.event);
  if (!event.json.empty()) out->set_json(event.json);
  out->set_id(event.id);
  out->set_idempotency_key(event.idempotency_key);
  if (event.ttl.has_value()) SetDuration(*event.ttl, out->mutable_ttl());
  out->set_skip_history(event.skip_history);
}

void ToProto(const ConnectionFilter& filter, v1::ConnectionFilter* out) {
  out->set_service(filter.service);
  out->set_id(filter.id);
  out->set_user(filter.user);
  out->set_address(filter.address);
  out->set_channel(filter.channel);
  out->set_slow(filter.slow);
}

int ToProto(ReceiptLevel level) {
  switch (level) {
    case ReceiptLevel::kAccepted:
      return v1::RECEIPT_LEVEL_ACCEPTED;
    case ReceiptLevel::kRouted:
      return v1::RECEIPT_LEVEL_ROUTED;
    case ReceiptLevel::kWritten:
      return v1::RECEIPT_LEVEL_WRITTEN;
  }
  return v1::RECEIPT_LEVEL_UNSPECIFIED;
}

}  // namespace fanwire::cli
