#include "fanout/worker_queries.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "fanout/worker_peer_filter.h"
#include "fanwire/v1/worker.pb.h"
#include "proto/policies.h"

namespace fanwire::fanout {

namespace {

// Bytes of one reply; longer answers take several.
constexpr size_t kReplyBytes = 512 << 10;

// Collects items of replies and sends them when they are long.
class Replies {
 public:
  Replies(uint64_t query_id, absl::FunctionRef<void(std::unique_ptr<v1::WorkerItem>)> send)
      : query_id_(query_id), send_(send) {
    Begin();
  }

  v1::QueryReply* reply() { return reply_; }

  // `bytes` were added.
  void Grow(size_t bytes) {
    bytes_ += bytes;
    if (bytes_ < kReplyBytes) return;
    send_(std::move(item_));
    Begin();
  }

  void End() {
    reply_->set_last(true);
    send_(std::move(item_));
  }

 private:
  void Begin() {
    item_ = std::make_unique<v1::WorkerItem>();
    reply_ = item_->mutable_query_reply();
    reply_->set_query_id(query_id_);
    bytes_ = 0;
  }

  const uint64_t query_id_;
  const absl::FunctionRef<void(std::unique_ptr<v1::WorkerItem>)> send_;
  std::unique_ptr<v1::WorkerItem> item_;
  v1::QueryReply* reply_ = nullptr;
  size_t bytes_ = 0;
};

bool Fits(const v1::ConnectionFilter& filter, const WorkerPeerFilter& peers,
          const Session& session) {
  if (!filter.id().empty() && filter.id() != session.id()) return false;
  if (!filter.user().empty() && filter.user() != session.user()) return false;
  if (filter.slow() && !session.slow()) return false;
  if (!filter.channel().empty() && !session.SubscribesTo(filter.channel())) return false;
  return peers.Matches(session.peer());
}

std::vector<Session*> Select(const v1::ConnectionFilter& filter, const ServicePorts& ports) {
  const WorkerPeerFilter peers(filter.address());
  std::vector<Session*> selected;
  for (const Service* const service : ports.services()) {
    if (!filter.service().empty() && filter.service() != service->name()) continue;
    for (const auto& [id, session] : service->sessions()) {
      if (session->open() && Fits(filter, peers, *session)) selected.push_back(session);
    }
  }
  return selected;
}

void ListConnections(const v1::ConnectionQuery& query, absl::string_view worker_id,
                     const ServicePorts& ports, Replies* replies) {
  std::vector<Session*> selected = Select(query.filter(), ports);
  // How many there are is told even where not all are wanted.
  replies->reply()->set_affected(static_cast<int64_t>(selected.size()));
  if (query.limit() > 0 && selected.size() > static_cast<size_t>(query.limit())) {
    selected.resize(static_cast<size_t>(query.limit()));
  }
  for (const Session* const session : selected) {
    const SessionInfo info = session->Describe();
    v1::ConnectionInfo* const out = replies->reply()->add_connections();
    size_t bytes = 200;
    out->set_id(info.id);
    out->set_service(session->service()->name());
    out->set_worker_id(std::string(worker_id));
    out->set_user(info.user);
    out->set_address(info.address);
    for (const std::string& channel : info.channels) {
      out->add_channels(channel);
      bytes += channel.size() + 2;
    }
    out->set_backlog_bytes(info.backlog_bytes);
    out->set_backlog_frames(info.backlog_frames);
    out->set_delivered(info.delivered);
    out->set_dropped(info.dropped);
    out->set_connected_at_us(absl::ToUnixMicros(info.connected_at));
    out->set_received(info.received);
    out->set_user_agent(info.user_agent);
    out->set_dialect(static_cast<v1::Dialect>(info.dialect));
    out->set_channel_count(info.channel_count);
    replies->Grow(bytes);
  }
}

void ListRooms(const v1::RoomQuery& query, const ServicePorts& ports, Replies* replies) {
  const auto add = [&](const Service& service, absl::string_view name, bool pattern,
                       const SubscriberTable& table) {
    if (table.empty()) return;
    v1::RoomInfo* const room = replies->reply()->add_rooms();
    room->set_service(service.name());
    room->set_channel(std::string(name));
    room->set_pattern(pattern);
    room->set_subscribers(static_cast<int64_t>(table.size()));
    size_t bytes = 64 + name.size();
    if (query.connection_ids()) {
      for (const Subscriber& subscriber : table.entries()) {
        if (subscriber.session == nullptr) continue;
        room->add_connection_ids(std::string(subscriber.session->id()));
        bytes += 40;
      }
    }
    replies->Grow(bytes);
  };
  for (const Service* const service : ports.services()) {
    if (!query.service().empty() && query.service() != service->name()) continue;
    for (const auto& [name, channel] : service->channels(Dialect::kCommon)) {
      add(*service, name, false, channel->subscribers);
    }
    for (const auto& [text, pattern] : service->patterns(Dialect::kCommon)) {
      add(*service, text, true, pattern->subscribers);
    }
    // session-buddy's own listener has rooms of the same names: they are told apart.
    for (const auto& [name, channel] : service->channels(Dialect::kSessionBuddy)) {
      add(*service, absl::StrCat("session_buddy/", name), false, channel->subscribers);
    }
  }
}

void Disconnect(const v1::DisconnectCommand& command, const ServicePorts& ports, Replies* replies) {
  int64_t closed = 0;
  const auto code = static_cast<uint16_t>(
      command.code() == 0 ? static_cast<uint32_t>(CloseCode::kDisconnectedByOperator)
                          : command.code());
  const std::string reason = command.reason().empty()
                                 ? std::string(DefaultReason(CloseCode::kDisconnectedByOperator))
                                 : command.reason();
  for (Session* const session : Select(command.filter(), ports)) {
    session->Disconnect(code, reason);
    ++closed;
  }
  replies->reply()->set_affected(closed);
}

}  // namespace

void AnswerQuery(const v1::Query& query, absl::string_view worker_id, const ServicePorts& ports,
                 absl::FunctionRef<void(std::unique_ptr<v1::WorkerItem>)> send) {
  Replies replies(query.query_id(), send);
  switch (query.query_case()) {
    case v1::Query::kConnections:
      ListConnections(query.connections(), worker_id, ports, &replies);
      break;
    case v1::Query::kRooms:
      ListRooms(query.rooms(), ports, &replies);
      break;
    case v1::Query::kDisconnect:
      Disconnect(query.disconnect(), ports, &replies);
      break;
    case v1::Query::QUERY_NOT_SET:
      break;
  }
  replies.End();
}

}  // namespace fanwire::fanout
