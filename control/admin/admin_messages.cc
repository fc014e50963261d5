#include "control/admin/admin_messages.h"

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/proto_time.h"
#include "common/utf8.h"
#include "control/config/service_table.h"
#include "control/engine/engine.h"
#include "control/events/publication.h"
#include "control/processes/worker_processes.h"
#include "control/requests/presence_store.h"
#include "control/routing/channel_info.h"
#include "control/routing/publish_counts.h"
#include "control/workers/ledger.h"
#include "control/workers/worker_registry.h"
#include "fanwire/v1/admin.pb.h"
#include "proto/close_code.h"
#include "proto/policies.h"

namespace fanwire::control {

namespace {

// Of one page of members: a caller takes messages of 4 MiB.
constexpr size_t kMaxPageBytes = 1 << 20;

constexpr uint32_t kDefaultConnections = 1000;
constexpr size_t kMaxReasonBytes = 123;  // RFC 6455 section 5.5: 125 with the code

// Returns the number by which the list is sorted, the largest first.
int64_t SortKey(const v1::ConnectionInfo& info, v1::ListConnectionsRequest::Sort sort) {
  switch (sort) {
    case v1::ListConnectionsRequest::SORT_BACKLOG:
      return static_cast<int64_t>(info.backlog_bytes());
    case v1::ListConnectionsRequest::SORT_DROPS:
      return info.dropped();
    default:
      return -info.connected_at_us();
  }
}

bool IsEmpty(const v1::ConnectionFilter& filter) {
  return filter.service().empty() && filter.id().empty() && filter.user().empty() &&
         filter.address().empty() && filter.channel().empty() && !filter.slow();
}

bool IsOperatorsCode(uint32_t code) {
  return code == 1000 || code == 1001 || code == 1008 || code == 1012 || code == 1013 ||
         (code >= 3000 && code <= 4999);
}

v1::WorkerState StateOf(ProcessState state) {
  switch (state) {
    case ProcessState::kStarting:
    case ProcessState::kRunning:
      return v1::WORKER_STATE_STARTING;
    case ProcessState::kDraining:
      return v1::WORKER_STATE_DRAINING;
    case ProcessState::kDead:
      return v1::WORKER_STATE_DEAD;
    case ProcessState::kBackoff:
      return v1::WORKER_STATE_BACKOFF;
    case ProcessState::kStopped:
      return v1::WORKER_STATE_STOPPED;
  }
  return v1::WORKER_STATE_UNSPECIFIED;
}

bool IsAttached(const v1::WorkerInfo& info) {
  return info.state() == v1::WORKER_STATE_READY || info.state() == v1::WORKER_STATE_CATCHING_UP ||
         info.state() == v1::WORKER_STATE_DRAINING;
}

// Adds the supervisor's knowledge of a local worker.  If the worker's present process is attached,
// the registry's state is kept; otherwise the supervisor's state replaces it.
void AddLocalWorker(const ProcessInfo& local, v1::WorkerInfo* info) {
  const bool same_process = local.pid == 0 || info->pid() == local.pid;
  info->set_id(local.id);
  info->set_slot(local.number);
  info->set_supervised(true);
  info->set_restarts(local.restarts);
  if (info->address().empty()) info->set_address("local");
  if (same_process && IsAttached(*info)) {
    if (local.state == ProcessState::kDraining) info->set_state(v1::WORKER_STATE_DRAINING);
    return;
  }
  // The worker has fallen silent, and the supervisor has not heard of it yet.
  if (same_process && local.state == ProcessState::kRunning &&
      info->state() == v1::WORKER_STATE_DEAD) {
    return;
  }
  info->set_state(StateOf(local.state));
  info->set_pid(local.pid);
}

}  // namespace

void ToProto(const Position& position, v1::Position* out) {
  out->set_epoch(position.epoch.ToText());
  out->set_offset(position.offset);
}

void ToProto(absl::string_view service, absl::string_view channel, const Publication& publication,
             v1::Publication* out) {
  out->set_service(std::string(service));
  out->set_channel(std::string(channel));
  out->set_event(std::string(publication.event()));
  if (publication.offset() > 0) {
    ToProto(Position{.epoch = publication.epoch(), .offset = publication.offset()},
            out->mutable_position());
  }
  out->set_envelope(publication.envelope().data(), publication.envelope().size());
  out->set_received_us(publication.received_us());
}

void ToProto(const ChannelSummary& channel, const ServiceTable& services, v1::ChannelInfo* out) {
  out->set_service(channel.service);
  out->set_channel(channel.channel);
  ToProto(channel.history.head, out->mutable_head());
  out->set_history_publications(channel.history.publications);
  out->set_history_bytes(channel.history.bytes);
  out->set_oldest_offset(channel.history.oldest_offset);
  out->set_publications(channel.publications);
  if (channel.last_published != absl::InfinitePast()) {
    SetTimestamp(channel.last_published, out->mutable_last_published());
  }
  out->set_workers(channel.workers);
  if (const ServiceSpec* const spec = services.Find(channel.service); spec != nullptr) {
    const ChannelPolicy policy = spec->PolicyFor(channel.channel);
    out->set_history_size(policy.history.size);
    SetDuration(policy.history.ttl, out->mutable_history_ttl());
    out->set_backlog_policy(static_cast<v1::BacklogPolicy>(policy.backlog));
  }
}

void ToProto(const v1::ServiceConfig& config, const PublishCounts& published,
             const ServiceCounts& counts, v1::ServiceInfo* out) {
  out->set_name(config.name());
  for (const v1::ListenerConfig& listener : config.listeners()) {
    v1::ListenerInfo* const info = out->add_listeners();
    info->set_host(listener.host());
    info->set_port(listener.port());
    info->set_dialect(listener.dialect());
    info->set_auth_required(listener.auth_required());
  }
  out->set_max_connections(config.max_connections());
  out->set_message_rate_limit(config.message_rate_limit());
  out->set_sessions(counts.sessions);
  out->set_subscriptions(counts.subscriptions);
  out->set_channels(published.channels);
  out->set_publications(published.accepted);
}

void ToProto(absl::string_view service, const PublishCounts& published, const ServiceCounts& counts,
             v1::LedgerEntry* out) {
  out->set_service(std::string(service));
  out->set_published(published.accepted);
  out->set_matched(counts.matched);
  out->set_written(counts.written);
  for (size_t reason = 0; reason < kDropReasons; ++reason) {
    if (counts.dropped[reason] == 0) continue;
    v1::DropCount* const drop = out->add_dropped();
    drop->set_reason(static_cast<v1::DropReason>(reason));
    drop->set_count(counts.dropped[reason]);
  }
  out->set_lost_connection(counts.lost_connection);
  out->set_expired(counts.expired);
  out->set_queued(counts.queued);
  out->set_recovered(counts.recovered);
  out->set_difference(counts.difference());
}

void ToProto(absl::string_view kind, const absl::Status& health, const EngineStatus& status,
             v1::GetEngineStatusResponse* out) {
  out->set_kind(std::string(kind));
  out->set_healthy(health.ok());
  if (!health.ok()) {
    out->set_reason(health.message().empty() ? absl::StatusCodeToString(health.code())
                                             : ToUtf8(health.message()));
  }
  out->set_path(ToUtf8(status.path));
  out->set_history_bytes(status.history_bytes);
  out->set_max_history_bytes(status.max_history_bytes);
  out->set_disk_bytes(status.disk_bytes);
  out->set_waiting_publications(status.waiting_publications);
  SetDuration(status.lag, out->mutable_lag());
}

SubscriberCounts CountSubscribers(const QueryResult& rooms) {
  SubscriberCounts counts;
  for (const v1::QueryReply& reply : rooms.replies) {
    for (const v1::RoomInfo& room : reply.rooms()) {
      if (!room.pattern()) counts[{room.service(), room.channel()}] += room.subscribers();
    }
  }
  return counts;
}

void MakeConnectionList(const v1::ListConnectionsRequest& request, QueryResult* result,
                        v1::ListConnectionsResponse* response) {
  std::vector<v1::ConnectionInfo*> all;
  for (v1::QueryReply& reply : result->replies) {
    for (v1::ConnectionInfo& info : *reply.mutable_connections()) all.push_back(&info);
  }
  response->set_total(static_cast<int64_t>(all.size()));
  response->set_workers_total(result->workers_total);
  response->set_workers_answered(result->workers_answered);
  const size_t limit = request.limit() == 0 ? kDefaultConnections : request.limit();
  const auto end = all.begin() + static_cast<std::ptrdiff_t>(std::min(limit, all.size()));
  std::partial_sort(all.begin(), end, all.end(),
                    [&](const v1::ConnectionInfo* a, const v1::ConnectionInfo* b) {
                      const int64_t left = SortKey(*a, request.sort());
                      const int64_t right = SortKey(*b, request.sort());
                      return left != right ? left > right : a->id() < b->id();
                    });
  for (auto it = all.begin(); it != end; ++it) response->add_connections()->Swap(*it);
}

absl::Status ReadDisconnect(const v1::DisconnectRequest& request, v1::DisconnectCommand* command) {
  if (IsEmpty(request.filter())) {
    return absl::InvalidArgumentError(
        "filter: empty; name at least one of service, id, user, address, channel, slow");
  }
  const uint32_t code = request.code() == 0
                            ? static_cast<uint32_t>(CloseCode::kDisconnectedByOperator)
                            : request.code();
  if (!IsOperatorsCode(code)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "code: ", code, " may not be sent; 1000, 1001, 1008, 1012, 1013 or 3000-4999 may"));
  }
  if (request.reason().size() > kMaxReasonBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "reason: ", request.reason().size(), " bytes, at most ", kMaxReasonBytes, " allowed"));
  }
  *command->mutable_filter() = request.filter();
  command->set_code(code);
  command->set_reason(request.reason().empty()
                          ? std::string(DefaultReason(CloseCode::kDisconnectedByOperator))
                          : request.reason());
  return absl::OkStatus();
}

std::vector<v1::WorkerInfo> MergeWorkers(std::vector<v1::WorkerInfo> attached,
                                         const std::vector<ProcessInfo>& local_workers) {
  std::vector<v1::WorkerInfo> workers = std::move(attached);
  for (const ProcessInfo& local : local_workers) {
    auto it = std::find_if(workers.begin(), workers.end(),
                           [&](const v1::WorkerInfo& info) { return info.id() == local.id; });
    if (it == workers.end()) it = workers.insert(it, v1::WorkerInfo());
    AddLocalWorker(local, &*it);
  }
  std::sort(workers.begin(), workers.end(), [](const v1::WorkerInfo& a, const v1::WorkerInfo& b) {
    return std::tuple(a.slot(), a.id()) < std::tuple(b.slot(), b.id());
  });
  return workers;
}

absl::StatusOr<PresencePlace> ToPlace(absl::string_view token) {
  if (token.empty()) return PresencePlace();
  const size_t colon = token.find(':');
  if (colon == absl::string_view::npos || colon == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("page_token: \"", token, "\" is none that control has given"));
  }
  return PresencePlace{.user_id = std::string(token.substr(colon + 1)),
                       .connection_id = std::string(token.substr(0, colon))};
}

void ToProto(const PresencePage& page, v1::ListPresenceResponse* out) {
  out->set_total(page.total);
  out->set_users(page.members);
  bool more = page.more;
  size_t bytes = 0;
  for (const PresencePage::Entry& entry : page.entries) {
    bytes += entry.info.size() + entry.user_id.size() + entry.connection_id.size() + 64;
    if (bytes > kMaxPageBytes && out->members_size() > 0) {
      more = true;
      break;
    }
    v1::PresenceMember* const member = out->add_members();
    member->set_connection_id(entry.connection_id);
    member->set_user_id(entry.user_id);
    member->set_info(entry.info.empty() ? "{}" : entry.info);
    member->set_worker_id(entry.worker_id);
    member->set_away(entry.away);
  }
  if (!more || out->members().empty()) return;
  const v1::PresenceMember& last = *out->members().rbegin();
  out->set_next_page_token(absl::StrCat(last.connection_id(), ":", last.user_id()));
}

}  // namespace fanwire::control
