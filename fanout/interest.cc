#include "fanout/interest.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/utf8.h"
#include "fanout/service.h"
#include "fanout/session.h"
#include "fanwire/v1/worker.pb.h"
#include "proto/interest_hash.h"
#include "proto/policies.h"

namespace fanwire::fanout {

namespace {

// Bytes of names in one message of a snapshot.
constexpr size_t kSnapshotBytes = 256 << 10;

void Fill(const Service& service, Dialect dialect, absl::string_view name, bool pattern,
          v1::Interest* out) {
  out->set_service(service.name());
  out->set_channel(std::string(name));
  out->set_pattern(pattern);
  out->set_dialect(static_cast<v1::Dialect>(dialect));
}

constexpr const char* kInternalError = "INTERNAL_ERROR";

// A refusal in the words of the client protocol.
std::string ErrorCodeOf(int code) {
  switch (static_cast<absl::StatusCode>(code)) {
    case absl::StatusCode::kInvalidArgument:
      return "INVALID_CHANNEL";
    case absl::StatusCode::kResourceExhausted:
      return "LIMIT_EXCEEDED";
    case absl::StatusCode::kUnavailable:
      return "UNAVAILABLE";
    case absl::StatusCode::kNotFound:
      return "NOT_FOUND";
    default:
      return kInternalError;
  }
}

}  // namespace

Interest::Interest(ControlLink* link, std::function<std::vector<Service*>()> services)
    : link_(link), services_(std::move(services)) {}

void Interest::Tell(bool add, const Service* service, Dialect dialect, absl::string_view name,
                    bool pattern) {
  count_ += add ? 1 : -1;
  hash_ ^= InterestHash(service->name(), dialect, name);
  if (!link_->attached()) return;
  auto item = std::make_unique<v1::WorkerItem>();
  v1::InterestDelta* const delta = item->mutable_interest_delta();
  Fill(*service, dialect, name, pattern, add ? delta->add_add() : delta->add_remove());
  link_->Send(std::move(item));
}

void Interest::Want(Channel* channel) {
  if (channel->interest++ == 0) {
    Tell(true, channel->service, channel->dialect, channel->name, false);
  }
}

void Interest::Unwant(Channel* channel) {
  if (--channel->interest > 0) return;
  Tell(false, channel->service, channel->dialect, channel->name, false);
  channel->service->ForgetIfIdle(channel);
}

void Interest::Want(PatternTable* table) {
  if (table->interest++ == 0) {
    Tell(true, table->service, table->dialect, table->pattern.text(), true);
  }
}

void Interest::Unwant(PatternTable* table) {
  if (--table->interest > 0) return;
  Tell(false, table->service, table->dialect, table->pattern.text(), true);
  table->service->ForgetIfIdle(table);
}

uint64_t Interest::Ask(Session* session, const SubscribeAsk& ask) {
  const uint64_t id = next_ask_++;
  Open& open = asks_[id];
  open.session = session;
  open.subscribe = ask;
  open.channel = ChannelRef(ask.channel);
  Send(id, &open);
  return id;
}

uint64_t Interest::Request(Session* session, const RequestAsk& ask) {
  const uint64_t id = next_ask_++;
  Open& open = asks_[id];
  open.session = session;
  open.request = std::string(ask.request);
  open.data = std::string(ask.data);
  if (ask.publish != nullptr) open.publish = std::make_unique<PublishAsk>(*ask.publish);
  open.served = ask.served;
  open.deadline = ask.deadline;
  Send(id, &open);
  return id;
}

void Interest::Forget(uint64_t ask) {
  const auto it = asks_.find(ask);
  if (it == asks_.end()) return;
  const Open& open = it->second;
  if (open.served && open.sent && link_->attached()) {
    auto item = std::make_unique<v1::WorkerItem>();
    item->mutable_client_cancel()->set_request_id(ask);
    item->mutable_client_cancel()->set_late(open.session->Now() >= open.deadline);
    link_->Send(std::move(item));
  }
  asks_.erase(it);
}

void Interest::OnDetached() {
  std::vector<uint64_t> lost;
  for (auto& [ask, open] : asks_) {
    open.state.reset();  // it is asked for again with the subscribe
    const bool once = open.served || open.publish != nullptr;
    if ((once && open.sent) || open.subscribed) lost.push_back(ask);
  }
  std::sort(lost.begin(), lost.end());  // as they were asked
  for (const uint64_t ask : lost) {
    const auto it = asks_.find(ask);
    if (it == asks_.end()) continue;  // its session was closed meanwhile
    Session* const session = it->second.session;
    const bool state = it->second.subscribed;
    asks_.erase(it);
    const RequestReply reply{.data = {},
                             .error_code = "UNAVAILABLE",
                             .error_message =
                                 "control was lost before the answer came; the "
                                 "request may have been carried out"};
    state ? session->OnStateReply(ask, reply) : session->OnRequestReply(ask, reply);
  }
}

void Interest::SendRequest(uint64_t ask, Open* question) {
  const Open& open = *question;
  auto item = std::make_unique<v1::WorkerItem>();
  v1::ClientRequest* const request = item->mutable_client_request();
  const Session& session = *open.session;
  request->set_request_id(ask);
  request->set_service(session.service()->name());
  request->set_connection_id(std::string(session.id()));
  request->set_user_id(std::string(session.user()));
  request->set_request(open.request);
  if (open.publish != nullptr) {
    v1::ClientPublish* const publish = request->mutable_publish();
    publish->set_channel(open.publish->channel);
    publish->set_event(open.publish->event);
    for (const std::string& copy : open.publish->copies) publish->add_copies(copy);
    publish->set_skip_history(open.publish->skip_history);
    publish->set_exclude_publisher(open.publish->exclude_publisher);
    publish->set_data(std::exchange(question->data, {}));  // it is sent once
  } else {
    request->set_data(open.data);
  }
  if (open.served) {
    for (const std::string& permission : session.permissions()) {
      request->add_permissions(ToUtf8(permission));
    }
    const absl::Duration left = std::max(open.deadline - session.Now(), absl::Milliseconds(1));
    request->set_timeout_ms(absl::ToInt64Milliseconds(left));
  }
  link_->Send(std::move(item));
}

void Interest::Send(uint64_t ask, Open* question) {
  if (!link_->attached()) return;
  question->sent = true;
  const Open& open = *question;
  if (!open.request.empty()) return SendRequest(ask, question);
  auto item = std::make_unique<v1::WorkerItem>();
  v1::SubscribeQuery* const query = item->mutable_subscribe_query();
  query->set_query_id(ask);
  if (open.subscribe.pattern != nullptr) {
    query->set_service(open.subscribe.pattern->service->name());
    query->set_channel(open.subscribe.pattern->pattern.text());
    query->set_pattern(true);
    query->set_dialect(static_cast<v1::Dialect>(open.subscribe.pattern->dialect));
  } else {
    query->set_service(open.channel->service->name());
    query->set_channel(open.channel->name);
    query->set_dialect(static_cast<v1::Dialect>(open.channel->dialect));
  }
  if (open.subscribe.recover) {
    query->mutable_recover()->set_epoch(open.subscribe.epoch);
    query->mutable_recover()->set_offset(open.subscribe.offset);
  }
  query->set_page_bytes(open.subscribe.page_bytes);
  query->set_state_request(open.subscribe.state_request);
  query->set_state_data(open.subscribe.state_data);
  query->set_address(open.session->peer().Host());
  link_->Send(std::move(item));
}

void Interest::AskAgain() {
  std::vector<uint64_t> asks;
  asks.reserve(asks_.size());
  for (const auto& [ask, open] : asks_) asks.push_back(ask);
  std::sort(asks.begin(), asks.end());  // as they were asked
  for (const uint64_t ask : asks) Send(ask, &asks_[ask]);
}

void Interest::TellInterest() {
  std::unique_ptr<v1::WorkerItem> item;
  v1::InterestSnapshot* snapshot = nullptr;
  size_t bytes = 0;
  const auto begin = [&](bool first) {
    item = std::make_unique<v1::WorkerItem>();
    snapshot = item->mutable_interest_snapshot();
    snapshot->set_first(first);
    bytes = 0;
  };
  const auto grow = [&](size_t by) {
    bytes += by + 64;
    if (bytes < kSnapshotBytes) return;
    link_->Send(std::move(item));
    begin(false);
  };
  begin(true);
  for (Service* const service : services_()) {
    for (size_t d = 0; d < kDialects; ++d) {
      const auto dialect = static_cast<Dialect>(d);
      for (const auto& [text, table] : service->patterns(dialect)) {
        if (table->interest == 0) continue;
        Fill(*service, dialect, text, true, snapshot->add_interests());
        grow(text.size());
      }
      for (const auto& [name, channel] : service->channels(dialect)) {
        if (channel->interest > 0) {
          Fill(*service, dialect, name, false, snapshot->add_interests());
          grow(name.size());
        }
      }
    }
  }
  // Positions after all interest: control resumes channels that are wanted by then.
  for (Service* const service : services_()) {
    service->ForgetLeftPositions();
    for (const auto& [name, channel] : service->channels(Dialect::kCommon)) {
      if (channel->epoch.empty() || !service->HasSubscribers(channel.get())) continue;
      v1::ChannelPosition* const at = snapshot->add_positions();
      at->set_service(service->name());
      at->set_channel(std::string(name));
      at->mutable_position()->set_epoch(channel->epoch);
      at->mutable_position()->set_offset(channel->offset);
      grow(name.size());
    }
  }
  snapshot->set_last(true);
  link_->Send(std::move(item));
}

void Interest::OnSubscribeResult(const v1::SubscribeResult& result) {
  const auto it = asks_.find(result.query_id());
  if (it == asks_.end()) return;
  Session* const session = it->second.session;
  // The channel must outlive the answer's use.
  const ChannelRef channel = it->second.channel;
  SubscribeReply reply;
  reply.state = std::move(it->second.state);
  reply.state_follows = result.state_follows() && !reply.state.has_value();
  it->second.subscribed = reply.state_follows;
  if (!reply.state_follows) asks_.erase(it);
  if (result.has_status() && result.status().code() != 0) {
    reply.error_code = ErrorCodeOf(result.status().code());
    reply.error_message = result.status().message();
    if (reply.error_code == kInternalError) {
      // What is wrong in here is not for clients.
      static LogLimiter limiter(absl::Seconds(10));
      if (int64_t left_out; limiter.Admit(&left_out)) {
        LogError("subscribe.failed", {{"service", session->service()->name()},
                                      {"code", result.status().code()},
                                      {"reason", result.status().message()},
                                      {"left_out", left_out}});
      }
      reply.error_message = "Internal server error";
    }
    return session->OnSubscribeReply(result.query_id(), std::move(reply));
  }
  reply.epoch = result.head().epoch();
  reply.offset = result.head().offset();
  reply.recovered = result.recovered();
  reply.reason = result.reason();
  reply.recover_count = result.recover_count();
  reply.last_page = result.last_page();
  reply.next_offset = result.next().offset();
  for (const v1::RecoveredPublication& publication : result.publications()) {
    RecoveredEvent& event = reply.events.emplace_back();
    event.offset = publication.offset();
    if (!publication.envelope().empty()) event.frame = Frame::Text(publication.envelope());
    event.event = publication.event();
    event.exclude_connection = publication.exclude_connection();
  }
  session->OnSubscribeReply(result.query_id(), std::move(reply));
}

void Interest::OnClientReplies(const v1::ClientReplies& replies) {
  for (const v1::ClientReply& reply : replies.replies()) {
    const auto it = asks_.find(reply.request_id());
    if (it == asks_.end()) continue;
    Open& open = it->second;
    Session* const session = open.session;
    RequestReply answer{.data = reply.data().empty() ? "{}" : reply.data(),
                        .error_code = reply.error_code(),
                        .error_message = reply.error_message()};
    if (open.request.empty() && !open.subscribed) {
      open.state = std::move(answer);
      continue;
    }
    const bool state = open.subscribed;
    asks_.erase(it);
    state ? session->OnStateReply(reply.request_id(), answer)
          : session->OnRequestReply(reply.request_id(), answer);
  }
}

}  // namespace fanwire::fanout
