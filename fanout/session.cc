#include "fanout/session.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/log.h"
#include "common/uuid.h"
#include "fanout/buddy_dialect.h"
#include "fanout/client_publishing.h"
#include "fanout/presence_tracker.h"
#include "proto/policies.h"

namespace fanwire::fanout {

namespace {

// How long a client waits for a connection slot that control has to grant.
constexpr absl::Duration kSlotWait = absl::Seconds(1);

// What session-buddy's clients have to authenticate.
constexpr absl::Duration kBuddyAuthTimeout = absl::Seconds(5);

// A longer message over the rate is not read at all.
constexpr size_t kMaxRefusedBytes = 4096;

// How long before its token expires a session is told.
constexpr absl::Duration kExpiryNotice = absl::Seconds(30);

constexpr absl::string_view kBadToken = "Invalid or expired token";
constexpr absl::string_view kNoToken = "Missing or malformed auth token";
// Of `channel.unsubscribed`.
constexpr absl::string_view kPermissionsChanged = "permissions_changed";

// Whether answers to the request may be so long that limits.history_rate_bytes holds for them.
bool IsLong(absl::string_view request) { return request == "history" || request == "presence"; }

}  // namespace

Session::Session(const SessionContext* context, Service* service, Connection* connection,
                 SessionStart start)
    : context_(context),
      service_(service),
      connection_(connection),
      dialect_(start.dialect),
      auth_required_(start.auth_required),
      loopback_(start.loopback),
      limits_(service->settings().message_rate_burst, context->loop->Now()),
      identity_(std::move(start.identity)),
      feed_(this),
      user_agent_(std::move(start.user_agent)),
      connected_us_(absl::ToUnixMicros(context->clock->WallNow())) {
  const std::string id = NewUuid();
  std::copy_n(id.begin(), id_.size(), id_.begin());
  if (start.bad_token) awaited().bad_token = std::move(start.token_fault);
}

Session::~Session() = default;

Session::Awaited::~Awaited() = default;

Session::Awaited& Session::awaited() {
  if (awaited_ == nullptr) awaited_ = std::make_unique<Awaited>();
  return *awaited_;
}

absl::Span<const std::string> Session::permissions() const {
  if (identity_ == nullptr) return {};
  return identity_->permissions;
}

// ------------------------------------------------------------------------------- beginning

void Session::OnOpen() {
  if (service_->slots().Take()) {
    has_slot_ = true;
    context_->upstream->SlotsChanged(service_);
    return Admit();
  }
  awaited().deadline = Now() + kSlotWait;
  Rearm();
  connection_->PauseReading(absl::InfiniteDuration());
  context_->upstream->WaitForSlot(this);
}

void Session::OnSlot() {
  has_slot_ = true;
  awaited().deadline = absl::InfiniteDuration();
  connection_->ResumeReading();
  Admit();
}

void Session::Admit() {
  service_->AddSession(id(), this);
  state_ = State::kAuthenticating;
  if (awaited_ != nullptr && awaited_->bad_token.has_value()) {
    counts().Count(CountedError::kAuthFailed);
    if (dialect_ == Dialect::kCommon) {
      Reply(ErrorText({}, "AUTH_FAILED", kBadToken, WallNow(), *awaited_->bad_token));
    }
    return Close(dialect_ == Dialect::kCommon ? CloseCode::kPolicyViolation
                                              : CloseCode::kSessionBuddyAuthFailed,
                 "Authentication failed");
  }
  if (auth_required_ && identity_ == nullptr) {
    awaited().deadline =
        Now() + (dialect_ == Dialect::kCommon ? settings().auth_timeout : kBuddyAuthTimeout);
    return Rearm();
  }
  Welcome(nullptr);
}

void Session::Welcome(const ReplyContext* auth_context) {
  state_ = State::kActive;
  if (awaited_ != nullptr) awaited_->deadline = absl::InfiniteDuration();
  if (auth_context != nullptr && dialect_ == Dialect::kCommon) {
    Reply(AuthenticatedText(*auth_context, identity_->user, WallNow()));
  }
  if (dialect_ == Dialect::kSessionBuddy) {
    buddy().Welcome(identity_ != nullptr);
    return Rearm();
  }
  WelcomeFacts facts = settings().Welcome();
  facts.connection_id = std::string(id());
  facts.authenticated = identity_ != nullptr;
  if (identity_ != nullptr) facts.expires_at = identity_->expires_at;
  Reply(WelcomeText(facts, WallNow()));
  Rearm();
}

void Session::RefuseToken(const ReplyContext& context, absl::string_view message,
                          absl::string_view reason) {
  counts().Count(message == kNoToken ? CountedError::kAuthMissing : CountedError::kAuthFailed);
  LogDebug("session.auth_failed", {{"session", id()}, {"reason", reason}});
  Reply(ErrorText(context, "AUTH_FAILED", message, WallNow(), reason));
}

void Session::Authenticate(absl::string_view payload) {
  absl::StatusOr<Identity> identity = absl::UnauthenticatedError("no token");
  if (dialect_ == Dialect::kSessionBuddy) {
    const BuddyMessage message = ParseBuddyMessage(payload);
    if (!message.token.empty()) identity = settings().verifier.Verify(message.token, WallNow());
    if (!identity.ok()) {
      counts().Count(CountedError::kAuthFailed);
      return Close(CloseCode::kSessionBuddyAuthFailed, "Authentication failed");
    }
    identity_ = std::make_unique<Identity>(*std::move(identity));
    return Welcome(nullptr);
  }
  const absl::StatusOr<ClientMessage> message =
      ParseClientMessage(payload, settings().subscribe_by_component_id);
  if (!message.ok() || message->kind != ClientMessage::Kind::kAuth) {
    counts().Count(message.ok() ? CountedError::kAuthRequired : CountedError::kAuthError);
    ReplyError({}, "AUTH_REQUIRED", "Authentication required");
    return Close(CloseCode::kPolicyViolation, "Authentication required");
  }
  const ReplyContext context = ContextOf(*message, settings().correlation);
  if (message->token.has_value()) {
    identity = settings().verifier.Verify(*message->token, WallNow());
  }
  if (!identity.ok()) {
    if (message->token.has_value()) {
      RefuseToken(context, kBadToken, identity.status().message());
    } else {
      RefuseToken(context, kNoToken);
    }
    return Close(CloseCode::kPolicyViolation, "Authentication failed");
  }
  identity_ = std::make_unique<Identity>(*std::move(identity));
  Welcome(&context);
}

// ------------------------------------------------------------------------------- messages

void Session::OnText(absl::string_view payload) {
  ++counts().messages_received;
  OnMessage(payload);
}

BuddyDialect Session::buddy() { return BuddyDialect(feed_.subscribe_context(), &feed_.output()); }

void Session::OnMessage(absl::string_view payload) {
  if (!CheckRate(payload)) return;
  if (state_ == State::kAuthenticating) return Authenticate(payload);
  FlushTurn();  // what it was sent before comes before the answer
  if (state_ != State::kActive) return;
  if (dialect_ == Dialect::kSessionBuddy) return buddy().OnMessage(payload);
  absl::StatusOr<ClientMessage> message = ParseClientMessage(
      payload, settings().subscribe_by_component_id, settings().publishing.any());
  if (!message.ok()) {
    counts().Count(CountedError::kDecodeError);
    return ReplyError({}, "DECODE_ERROR", message.status().message());
  }
  ReplyContext context = ContextOf(*message, settings().correlation);
  switch (message->kind) {
    case ClientMessage::Kind::kSubscribe:
    case ClientMessage::Kind::kUnsubscribe:
      return OnSubscribe(*std::move(message), std::move(context));
    case ClientMessage::Kind::kAuth:
    case ClientMessage::Kind::kRefreshToken:
      return OnToken(*message, context);
    case ClientMessage::Kind::kPing:
      return Reply(PongText(context, WallNow()));
    case ClientMessage::Kind::kPublish:
      return OnPublication(std::move(*message->publication), std::move(context));
    case ClientMessage::Kind::kRequest:
      return OnRequest(*message, context);
    case ClientMessage::Kind::kIgnored:
      return;
  }
}

bool Session::CheckRate(absl::string_view payload) {
  const ClientLimits::Rate rate{.limit = settings().message_rate_limit,
                                .burst = settings().message_rate_burst};
  if (rate.limit <= 0) return true;
  const ClientLimits::Decision decision = limits_.OnMessage(payload.size(), rate, Now(), [this] {
    const uint64_t arrived = connection_->bytes_arrived();
    return ClientLimits::Input{.bytes = arrived, .waits = arrived > connection_->bytes_received()};
  });
  connection_->PauseReading(decision.pause);
  if (decision.verdict == ClientLimits::Verdict::kTake) return true;
  counts().Count(CountedError::kRateLimited);
  if (decision.verdict == ClientLimits::Verdict::kClose) {
    Close(CloseCode::kPolicyViolation, "rate limit", Connection::Backlog::kDrop);
  } else if (decision.verdict == ClientLimits::Verdict::kRefuse) {
    RefuseTooFast(payload);
  }
  return false;
}

void Session::RefuseTooFast(absl::string_view payload) {
  if (dialect_ == Dialect::kSessionBuddy) return;  // the dialect has no errors
  FlushTurn();
  ReplyContext context;
  if (payload.size() <= kMaxRefusedBytes) {
    const absl::StatusOr<ClientMessage> message =
        ParseClientMessage(payload, settings().subscribe_by_component_id);
    if (message.ok()) context = ContextOf(*message, settings().correlation);
  }
  ReplyError(context, "RATE_LIMIT_EXCEEDED",
             absl::StrFormat("Message rate limit exceeded. Retry after %.3f seconds.",
                             limits_.SecondsToNext({.limit = settings().message_rate_limit})));
}

void Session::ReplyError(const ReplyContext& context, absl::string_view code,
                         absl::string_view message) {
  Reply(ErrorText(context, code, message, WallNow()));
}

void Session::Respond(const ReplyContext& context, absl::string_view event,
                      absl::string_view data) {
  Reply(ResponseText(context, event, data, WallNow()));
}

void Session::OnToken(const ClientMessage& message, const ReplyContext& context) {
  if (!message.token.has_value()) return RefuseToken(context, kNoToken);
  absl::StatusOr<Identity> identity = settings().verifier.Verify(*message.token, WallNow());
  if (!identity.ok()) return RefuseToken(context, kBadToken, identity.status().message());
  identity_ = std::make_unique<Identity>(*std::move(identity));
  expiry_told_ = false;
  Reply(message.kind == ClientMessage::Kind::kAuth
            ? AuthenticatedText(context, identity_->user, WallNow())
            : RefreshedText(context, identity_->user, identity_->expires_at, WallNow()));
  LeaveForbidden();
  if (context_->presence != nullptr) context_->presence->TokenChanged(this);
  Rearm();
}

void Session::LeaveForbidden() {
  if (state_ != State::kActive || dialect_ != Dialect::kCommon || identity_ == nullptr) return;
  feed_.LeaveForbidden(kPermissionsChanged);
  Rearm();
}

void Session::OnRequest(const ClientMessage& message, const ReplyContext& context) {
  const RequestAccess& access = settings().requests;
  RequestAccess::Handling handling;
  if (message.event.has_value()) {
    handling = access.HandlingOf(*message.event, service_->registered_requests());
  }
  if (!handling.answered) {
    return ReplyError(context, "UNKNOWN_REQUEST",
                      absl::StrCat("Unknown request event: ", message.event.value_or("None")));
  }
  if (identity_ != nullptr) {
    const absl::Status allowed =
        access.Check(settings().verifier, *identity_, *message.event, message.data);
    if (!allowed.ok()) return ReplyError(context, "FORBIDDEN", allowed.message());
  }
  ClientRequests& requests = awaited().requests;
  size_t bytes = message.data.size();
  if (handling.served) {
    for (const std::string& permission : permissions()) bytes += permission.size();
  }
  if (const absl::Status room = requests.CheckRoom(bytes); !room.ok()) {
    return ReplyError(context, "LIMIT_EXCEEDED", room.message());
  }
  const absl::Duration deadline =
      Now() + (handling.served ? handling.timeout : settings().control_wait);
  const uint64_t ask = context_->upstream->Request(this, {.request = *message.event,
                                                          .data = message.data,
                                                          .served = handling.served,
                                                          .deadline = deadline});
  requests.Add(ask, {.context = context,
                     .event = *message.event,
                     .bytes = bytes,
                     .asked = Now(),
                     .deadline = deadline,
                     .served = handling.served});
  if (const double rate = settings().history_rate_bytes; rate > 0 && IsLong(*message.event)) {
    connection_->PauseReading(limits_.OnHistoryAsked(rate, Now()));
  }
  Rearm();
}

void Session::OnPublication(ClientPublication publication, ReplyContext context) {
  // Other events are none of ours, as ever.
  if (publication.itself && !settings().publishing.IsPublication(publication.event)) return;
  Awaited& awaited = this->awaited();
  if (awaited.publishing == nullptr) {
    awaited.publishing = std::make_unique<ClientPublishing>(this, &awaited.requests);
  }
  awaited.publishing->OnPublication(std::move(publication), std::move(context));
  Rearm();
}

bool Session::MayPublish(const PublishRules::Rule& rule) const {
  return PublishRules::Allows(rule, settings().verifier, identity_.get(), loopback_);
}

void Session::OnRequestReply(uint64_t ask, const RequestReply& reply) {
  if (awaited_ == nullptr) return;
  const std::optional<ClientRequests::Request> request = awaited_->requests.Take(ask);
  if (!request.has_value()) return;
  if (const double rate = settings().history_rate_bytes; rate > 0 && IsLong(request->event)) {
    const absl::Duration pause = limits_.OnHistoryAnswered(reply.data.size(), rate, Now());
    connection_->PauseReading(pause);  // other pauses go on
  }
  service_->latencies().requests.Observe(absl::ToDoubleSeconds(Now() - request->asked));
  if (request->publish) counts().Count(ClientPublishing::ResultOf(reply));
  if (request->quiet) return Rearm();
  if (!reply.error_code.empty()) {
    ReplyError(request->context, reply.error_code, reply.error_message);
  } else {
    Respond(request->context, request->event, reply.data);
  }
  Rearm();
}

void Session::FailRequests(const std::vector<uint64_t>& asks, absl::string_view of_service,
                           absl::string_view of_control) {
  for (const uint64_t ask : asks) {
    if (awaited_ == nullptr) return;  // an answer has closed the session, or was the last one
    const ClientRequests::Request* const request = awaited_->requests.Find(ask);
    if (request == nullptr) continue;
    const absl::string_view text = request->served ? of_service : of_control;
    const absl::string_view done = request->publish ? "; the event may have been published" : "";
    context_->upstream->Forget(ask);
    OnRequestReply(
        ask, {.data = {}, .error_code = "UNAVAILABLE", .error_message = absl::StrCat(text, done)});
  }
}

// ------------------------------------------------------------------------------- subscribing

void Session::OnSubscribe(ClientMessage message, ReplyContext context) {
  feed_.Add(std::move(message), std::move(context));
  Rearm();
}

void Session::OnSubscribeReply(uint64_t ask, SubscribeReply reply) {
  if (state_ != State::kActive) return;
  feed_.OnReply(ask, std::move(reply));
  Rearm();
}

void Session::OnStateReply(uint64_t ask, const RequestReply& reply) {
  if (state_ != State::kActive) return;
  feed_.OnState(ask, reply);
  Rearm();
}

absl::StatusOr<RequestAccess::StateRequest> Session::FindState(absl::string_view channel) const {
  const RequestAccess& access = settings().requests;
  std::optional<RequestAccess::StateRequest> request = access.StateRequestOf(channel);
  if (!request.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat("state: no status request tells the state of ", channel));
  }
  if (identity_ != nullptr) {
    const absl::Status allowed =
        access.Check(settings().verifier, *identity_, request->name, request->data);
    if (!allowed.ok()) return allowed;
  }
  return *std::move(request);
}

bool Session::MaySubscribe(absl::string_view name) const {
  return identity_ == nullptr || settings().verifier.MaySubscribe(*identity_, name);
}

// ------------------------------------------------------------------------------- deadlines

void Session::Rearm() {
  if (state_ == State::kClosed) return Disarm();
  absl::Duration next = std::min(ExpiryDeadline(), feed_.Deadline());
  if (awaited_ != nullptr) {
    next = std::min({next, awaited_->deadline, awaited_->requests.deadline()});
    if (awaited_->deadline == absl::InfiniteDuration() && !awaited_->bad_token.has_value() &&
        awaited_->requests.empty() && awaited_->publishing == nullptr) {
      awaited_ = nullptr;
    }
  }
  if (next == absl::InfiniteDuration()) return Disarm();
  // Tokens may live for years: the wheel need not.
  context_->loop->Arm(this, std::min(std::max(next - Now(), absl::ZeroDuration()), absl::Hours(1)));
}

absl::Duration Session::ExpiryDeadline() const {
  if (state_ != State::kActive || identity_ == nullptr || !identity_->expires_at.has_value()) {
    return absl::InfiniteDuration();
  }
  absl::Duration left = *identity_->expires_at - WallNow();
  if (!expiry_told_) left -= kExpiryNotice;
  return Now() + std::max(left, absl::ZeroDuration());
}

void Session::CheckExpiry() {
  if (ExpiryDeadline() > Now()) return;
  const absl::Time expires_at = *identity_->expires_at;
  if (WallNow() >= expires_at) return Close(CloseCode::kTokenExpired, "token expired");
  expiry_told_ = true;
  if (dialect_ == Dialect::kCommon) Reply(ExpiringText(expires_at, WallNow()));
}

void Session::OnDeadline() {
  const absl::Duration now = Now();
  if (awaited_ != nullptr && now >= awaited_->deadline) {
    awaited_->deadline = absl::InfiniteDuration();
    if (state_ == State::kWaiting) {
      counts().Count(CountedError::kMaxConnections);
      return Close(CloseCode::kTryAgainLater, "Server at maximum capacity");
    }
    counts().Count(CountedError::kAuthRequired);
    if (dialect_ == Dialect::kSessionBuddy) {
      return Close(CloseCode::kSessionBuddyAuthFailed, "Authentication failed");
    }
    ReplyError({}, "AUTH_REQUIRED", "Authentication required");
    return Close(CloseCode::kPolicyViolation, "Authentication required");
  }
  CheckExpiry();
  if (state_ == State::kClosed) return;
  if (awaited_ != nullptr) {
    FailRequests(awaited_->requests.Late(now), "the service did not answer in time: try again",
                 "control is out of reach: try again");
  }
  feed_.OnDeadline(now);
  if (state_ != State::kClosed) Rearm();
}

// ------------------------------------------------------------------------------- the end

void Session::CloseSlow() {
  if (state_ == State::kClosed) return;
  feed_.output().CloseSlow();
  Close(CloseCode::kSlowSubscriber, DefaultReason(CloseCode::kSlowSubscriber),
        Connection::Backlog::kDrop);
}

void Session::Close(CloseCode code, absl::string_view reason, Connection::Backlog backlog) {
  if (backlog == Connection::Backlog::kSend) FlushTurn();
  if (state_ == State::kClosed) return;
  LeaveEverything();
  feed_.output().Close(code, reason, backlog);
  feed_.ReleaseOutput();
}

void Session::LeaveEverything() {
  if (state_ == State::kWaiting && !has_slot_) context_->upstream->StopWaiting(this);
  state_ = State::kClosed;
  Disarm();
  context_->hub->Forget(this);
  if (awaited_ != nullptr) {
    if (awaited_->publishing != nullptr) awaited_->publishing->SendAll();
    for (const uint64_t ask : awaited_->requests.All()) context_->upstream->Forget(ask);
    awaited_ = nullptr;
  }
  feed_.LeaveEverything();
  if (context_->presence != nullptr) context_->presence->SessionEnds(this, sent_away_);
}

void Session::OnClosed(const CloseInfo& info) {
  counts().CountDisconnect(info.code);
  LeaveEverything();
  feed_.output().OnClosed(info.unsent_messages);
  if (has_slot_) {
    service_->RemoveSession(id());
    service_->slots().Give();
    context_->upstream->SlotsChanged(service_);
  }
  LogDebug("session.closed", {{"service", service_->name()},
                              {"session", id()},
                              {"code", info.code},
                              {"by_peer", info.by_peer}});
  delete this;
}

void Session::CloseForGap() {
  Close(CloseCode::kGap, DefaultReason(CloseCode::kGap), Connection::Backlog::kDrop);
}

void Session::SayGoodbye(absl::string_view draining_text, CloseCode code,
                         absl::string_view reason) {
  sent_away_ = true;
  // With what runs under way still have for it.
  if (state_ == State::kActive) context_->hub->Settle(this);
  if (state_ == State::kClosed) return;
  // All that waits goes out before the goodbye, as far as the close timeout lets it.
  feed_.output().SendAll();
  if (awaited_ != nullptr && awaited_->publishing != nullptr) awaited_->publishing->SendAll();
  if (awaited_ != nullptr) {
    constexpr absl::string_view kEnds =
        "this connection ends before the answer: connect again and try again";
    FailRequests(awaited_->requests.All(), kEnds, kEnds);
  }
  if (state_ == State::kActive && dialect_ == Dialect::kCommon) {
    Reply(std::string(draining_text));
  }
  Close(code, reason);
}

void Session::Disconnect(uint16_t code, absl::string_view reason) {
  Close(static_cast<CloseCode>(code), reason);
}

void Session::Abort() {
  LeaveEverything();
  connection_->Abort();
}

// ------------------------------------------------------------------------------- for operators

SessionInfo Session::Describe() const {
  SessionInfo info;
  info.id = std::string(id());
  info.user = std::string(user());
  info.address = connection_->peer().ToString();
  feed_.Describe(&info);
  info.received = static_cast<int64_t>(connection_->messages_received());
  info.connected_at = absl::FromUnixMicros(connected_us_);
  if (user_agent_) info.user_agent = user_agent_->text();
  info.dialect = dialect_;
  return info;
}

}  // namespace fanwire::fanout
