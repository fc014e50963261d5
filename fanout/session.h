// Session is one client connection from the upgrade to its end: who the client is, what it
// subscribes to, its commands and their answers, and how it is closed.  It speaks the common
// protocol or, if its listener does, the dialect of session-buddy.
//
//   waiting for a connection slot -> authenticating, if the listener demands it -> active -> closed
//
// Parts with a job of their own: SessionFeed is what the session subscribes to and is sent,
// ClientRequests are what control was asked, ClientPublishing is what the client publishes, and
// ClientLimits decides what of the client is taken
// and when reading pauses.
//
// Threading: loop-confined.
// Ownership: deletes itself in OnClosed(); owns its parts; borrows everything else.
// Cost:      248 bytes while idle and anonymous, and 40 for each subscription.
// Source:    docs/protocol.md
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/clock.h"
#include "fanout/client_limits.h"
#include "fanout/client_message.h"
#include "fanout/client_requests.h"
#include "fanout/hub.h"
#include "fanout/net/connection.h"
#include "fanout/net/event_loop.h"
#include "fanout/publish_rules.h"
#include "fanout/reply.h"
#include "fanout/service.h"
#include "fanout/session_feed.h"
#include "fanout/upstream.h"
#include "fanout/user_agents.h"
#include "proto/policies.h"

namespace fanwire::fanout {

class BuddyDialect;
class ClientPublishing;
class PresenceTracker;

// What all sessions of a worker share.
struct SessionContext {
  EventLoop* loop = nullptr;
  Hub* hub = nullptr;
  Upstream* upstream = nullptr;
  const Clock* clock = nullptr;
  PresenceTracker* presence = nullptr;  // null: members of channels are not tracked
};

// What a session is told of its connection at the upgrade.
struct SessionStart {
  Dialect dialect = Dialect::kCommon;
  bool auth_required = false;
  bool loopback = false;               // the listener has a loopback address
  std::unique_ptr<Identity> identity;  // from header or query
  bool bad_token = false;              // one came so, and it was refused
  std::string token_fault;             // why it was refused
  UserAgents::Ref user_agent;          // null: none
};

// A session as operators see it.
struct SessionInfo {
  std::string id;
  std::string user;
  std::string address;
  std::vector<std::string> channels;  // at most 1000
  int64_t channel_count = 0;
  uint64_t backlog_bytes = 0;
  uint64_t backlog_frames = 0;
  int64_t delivered = 0;
  int64_t dropped = 0;
  int64_t received = 0;
  absl::Time connected_at;
  std::string user_agent;
  Dialect dialect = Dialect::kCommon;
};

class Session final : public ConnectionHandler, public Deadline {
 public:
  Session(const SessionContext* context, Service* service, Connection* connection,
          SessionStart start);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session();

  // ---- ConnectionHandler

  void OnOpen() override;
  void OnText(absl::string_view payload) override;
  void OnBinary(absl::string_view payload) override { OnText(payload); }
  void OnDrained() override { feed_.OnDrained(); }
  void OnClosed(const CloseInfo& info) override;

  // ---- for Hub

  // Delivers publications of `channel` for subscription number `subscription`, which is to
  // `pattern` or, if that is null, to the channel's name.
  void Deliver(const ChannelRef& channel, PatternTable* pattern, uint32_t subscription,
               absl::Span<const Delivery> deliveries) {
    if (active()) feed_.Deliver(channel, pattern, subscription, deliveries);
  }
  // Hub has offered `joined`, the frames of `deliveries`, to the kernel, which took `taken` bytes,
  // not all (or that is a negative errno).
  void OnPartlySent(const ChannelRef& /*channel*/, absl::Span<const Delivery> deliveries,
                    const FramePtr& joined, ssize_t taken) {
    if (active()) feed_.OnPartlySent(deliveries, joined, taken);
  }
  // Sends what Deliver() has gathered.
  void FlushTurn() { feed_.FlushTurn(); }
  // Whether it is in Hub's list of sessions with something to send.
  bool listed() const { return listed_; }
  void set_listed(bool listed) { listed_ = listed; }
  void OnSubscriberMoved(uint32_t subscription, uint32_t index) {
    feed_.subscriptions().OnMoved(subscription, index);
  }
  // Calls `fn(const SubscriberTable*, index)` for each of its places in tables.
  template <typename Fn>
  void ForEachPlace(Fn fn) const {
    feed_.subscriptions().ForEachPlace(fn);
  }

  // ---- for Upstream

  void OnSlot();
  void OnSubscribeReply(uint64_t ask, SubscribeReply reply);
  void OnStateReply(uint64_t ask, const RequestReply& reply);
  void OnRequestReply(uint64_t ask, const RequestReply& reply);

  // ---- for the worker

  // The client reads too slowly: closes with 4000.
  void CloseSlow();
  // What the client's token allows has changed, by another token or another configuration: ends
  // the subscriptions that are not allowed any more, and tells the client.
  void LeaveForbidden();
  // Closes with 4003: a channel that the session subscribes to has lost publications for good.
  void CloseForGap();
  // Sends all that waits and the notice `draining_text` (common protocol), then closes.
  void SayGoodbye(absl::string_view draining_text, CloseCode code, absl::string_view reason);
  void Disconnect(uint16_t code, absl::string_view reason);
  void Abort();

  // ---- for its parts

  void Reply(const std::string& text) { feed_.Reply(text); }
  void ReplyError(const ReplyContext& context, absl::string_view code, absl::string_view message);
  // Sends a response; `data` is a JSON object.
  void Respond(const ReplyContext& context, absl::string_view event, absl::string_view data);
  // Frees parts that are empty, and arms the deadline that comes first.
  void Rearm();

  const SessionContext& context() const { return *context_; }
  const ServiceSettings& settings() const { return service_->settings(); }
  Service* service() const { return service_; }
  Connection* connection() const { return connection_; }
  absl::string_view id() const { return {id_.data(), id_.size()}; }
  SessionInfo Describe() const;
  bool active() const { return state_ == State::kActive; }
  // Whether nobody has closed it from this side.
  bool open() const { return state_ != State::kClosed; }
  bool slow() const { return feed_.output().slow(); }
  bool SubscribesTo(absl::string_view name) const { return feed_.SubscribesTo(name); }
  // Whether the client's token, if it has one, allows the channel or pattern.
  bool MaySubscribe(absl::string_view name) const;
  // Whether the client may publish what the rule allows.
  bool MayPublish(const PublishRules::Rule& rule) const;
  // See SubscribeHost.
  absl::StatusOr<RequestAccess::StateRequest> FindState(absl::string_view channel) const;
  absl::string_view user() const {
    return identity_ == nullptr ? absl::string_view() : absl::string_view(identity_->user);
  }
  // The info of its token as a member of channels, a JSON object; empty: none.
  absl::string_view presence_info() const {
    return identity_ == nullptr ? absl::string_view() : absl::string_view(identity_->info);
  }
  // Calls `fn(Channel*)` for each channel of the common protocol to which it subscribes by name.
  template <typename Fn>
  void ForEachNamedChannel(Fn fn) const {
    if (dialect_ != Dialect::kCommon) return;
    for (const Subscription& subscription : feed_.subscriptions().all()) {
      if (subscription.channel != nullptr) fn(subscription.channel);
    }
  }
  // Those of its token.
  absl::Span<const std::string> permissions() const;
  // The loop's time.
  absl::Duration Now() const { return context_->loop->Now(); }
  const PeerAddress& peer() const { return connection_->peer(); }
  int fd() const { return connection_->fd(); }

 private:
  enum class State : uint8_t { kWaiting, kAuthenticating, kActive, kClosed };

  // ---- life

  ServiceCounts& counts() { return service_->counts(); }
  absl::Time WallNow() const { return context_->clock->WallNow(); }
  // What the session waits for; made where there is none.
  struct Awaited;
  Awaited& awaited();

  void Admit();
  void Welcome(const ReplyContext* auth_context);
  void Authenticate(absl::string_view payload);
  // `reason` says what is wrong with a token that came.
  void RefuseToken(const ReplyContext& context, absl::string_view message,
                   absl::string_view reason = "");
  // Closes from this side; everything is left at once.
  void Close(CloseCode code, absl::string_view reason,
             Connection::Backlog backlog = Connection::Backlog::kSend);
  // Leaves all channels, forgets what is under way, and turns kClosed.
  void LeaveEverything();
  void OnDeadline() override;
  // Whether the client may send the message now.  If not, it is refused, and reading pauses.
  bool CheckRate(absl::string_view payload);
  // Answers a message over the rate.  A short one is read for what the answer is correlated with.
  void RefuseTooFast(absl::string_view payload);
  void OnMessage(absl::string_view payload);
  BuddyDialect buddy();
  // `auth` or `refresh_token` of a session that goes on, whatever the token is.
  void OnToken(const ClientMessage& message, const ReplyContext& context);
  // When the token's expiry asks for something to be done; InfiniteDuration(): never.
  absl::Duration ExpiryDeadline() const;
  // Tells the client that its token expires soon, or closes with 4004.
  void CheckExpiry();
  void OnSubscribe(ClientMessage message, ReplyContext context);
  void OnRequest(const ClientMessage& message, const ReplyContext& context);
  void OnPublication(ClientPublication publication, ReplyContext context);
  // Drops the requests and answers UNAVAILABLE, with a text for those that a service answers and
  // one for those that control answers.
  void FailRequests(const std::vector<uint64_t>& asks, absl::string_view of_service,
                    absl::string_view of_control);

  struct Awaited {
    // For a connection slot or a token; InfiniteDuration(): for neither.
    absl::Duration deadline = absl::InfiniteDuration();
    // Why the handshake's token was refused; nothing: it was not, or the client was told.
    std::optional<std::string> bad_token;
    ClientRequests requests;
    std::unique_ptr<ClientPublishing> publishing;  // null: the client has published nothing
    ~Awaited();
  };

  const SessionContext* const context_;
  Service* const service_;
  Connection* const connection_;
  std::array<char, 36> id_;
  Dialect dialect_;
  State state_ = State::kWaiting;
  const bool auth_required_ : 1;
  const bool loopback_ : 1;
  bool has_slot_ : 1 = false;
  bool listed_ : 1 = false;
  bool expiry_told_ : 1 = false;  // of the present token
  bool sent_away_ : 1 = false;    // its client is to connect to another worker
  ClientLimits limits_;
  std::unique_ptr<Identity> identity_;
  std::unique_ptr<Awaited> awaited_;  // null: nothing
  SessionFeed feed_;
  const UserAgents::Ref user_agent_;
  const int64_t connected_us_;
};

}  // namespace fanwire::fanout
