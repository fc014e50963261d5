// Session is one client connection from open to close: who it is, what it subscribes to, what waits
// for it.  It speaks the common protocol, or session-buddy's dialect if its listener does.
//
//   waiting for a slot -> authenticating, where that is demanded -> active -> closed
//
// Confirmations come in the order of the requests: one subscribe is under way at a time, others
// wait.  After a confirmation come the recovered publications, then live ones.
//
// Threading: loop-confined.
// Ownership: owns itself, from the upgrade until OnClosed(); borrows everything else.
// Cost:      some 300 bytes while idle and anonymous; 40 bytes a subscription.
// Source:    docs/protocol.md
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/clock.h"
#include "fanout/client_message.h"
#include "fanout/hub.h"
#include "fanout/net/connection.h"
#include "fanout/net/event_loop.h"
#include "fanout/out_queue.h"
#include "fanout/reply.h"
#include "fanout/service.h"
#include "fanout/upstream.h"
#include "proto/policies.h"

namespace fanwire::fanout {

// What all sessions of a worker share.
struct SessionContext {
  EventLoop* loop = nullptr;
  Hub* hub = nullptr;
  Upstream* upstream = nullptr;
  const Clock* clock = nullptr;
};

// What a session is told of its connection at the upgrade.
struct SessionStart {
  Dialect dialect = Dialect::kCommon;
  bool auth_required = false;
  std::unique_ptr<Identity> identity;       // from header or query
  bool bad_token = false;                   // one came so, and it was refused
  const std::string* user_agent = nullptr;  // outlives the session; null: none
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

  // ---- ConnectionHandler

  void OnOpen() override;
  void OnText(absl::string_view payload) override;
  void OnBinary(absl::string_view payload) override { OnText(payload); }
  void OnDrained() override;
  void OnClosed(const CloseInfo& info) override;

  // ---- for Hub

  // Publications of a channel that came by the subscription with this index, of `pattern` or, if
  // that is null, of the channel's name.
  void Deliver(const ChannelRef& channel, PatternTable* pattern, uint32_t subscription,
               absl::Span<const Delivery> deliveries);
  // The kernel took `taken` bytes of `joined` (or that is a negative errno), not all.
  void OnPartlySent(const ChannelRef& channel, absl::Span<const Delivery> deliveries,
                    const FramePtr& joined, ssize_t taken);
  // Sends what Deliver() has gathered.
  void FlushTurn();
  // Whether Hub has it among those that have something to send.
  bool listed() const { return listed_; }
  void set_listed(bool listed) { listed_ = listed; }
  void OnSubscriberMoved(uint32_t subscription, uint32_t index) {
    subscriptions_[subscription].index = index;
  }
  // Calls `fn(const SubscriberTable*, index)` for each of its places.
  template <typename Fn>
  void ForEachPlace(Fn fn) const {
    for (const Subscription& subscription : subscriptions_) {
      fn(&TableOf(subscription), subscription.index);
    }
  }

  // ---- for Upstream

  void OnSlot();
  void OnSubscribeReply(uint64_t ask, SubscribeReply reply);
  void OnRequestReply(uint64_t ask, const RequestReply& reply);

  // ---- for the worker

  // The channel lost publications that cannot be had any more; the session is a subscriber.
  void CloseForGap();
  // Tells the client to come back elsewhere and closes, after all that waits has been sent.
  void SayGoodbye(absl::string_view draining_text, CloseCode code, absl::string_view reason);
  void Disconnect(uint16_t code, absl::string_view reason);
  void Abort();

  Service* service() const { return service_; }
  absl::string_view id() const { return {id_.data(), id_.size()}; }
  SessionInfo Describe() const;
  bool active() const { return state_ == State::kActive; }
  // Whether nobody has closed it from this side.
  bool open() const { return state_ != State::kClosed; }
  bool slow() const { return out_ != nullptr && out_->slow(); }
  bool SubscribesTo(absl::string_view name) const;
  absl::string_view user() const;
  const PeerAddress& peer() const { return connection_->peer(); }
  int fd() const { return connection_->fd(); }

 private:
  enum class State : uint8_t { kWaiting, kAuthenticating, kActive, kClosed };

  using Filter = EventFilter;

  struct Subscription {
    Channel* channel = nullptr;  // one of the two
    PatternTable* pattern = nullptr;
    uint32_t index = 0;  // in its SubscriberTable
    std::shared_ptr<const Filter> filter;
  };

  // One channel of a subscribe under way.
  struct Target {
    ChannelRequest request;
    uint64_t ask = 0;  // 0: nothing is awaited
    ChannelRef channel;
    PatternTable* pattern = nullptr;
    std::shared_ptr<const Filter> filter;
    Confirmation confirmation;
  };
  struct SubscribeOp {
    ReplyContext context;
    bool subscribe = true;
    bool many = false;
    std::vector<Target> targets;
    bool started = false;
    size_t awaited = 0;
    size_t next_answer = 0;  // index of the target that is likely to be answered next
    size_t bytes = 0;        // what it takes
    absl::Duration asked;
    absl::Duration deadline;
  };
  // A recovery of which more pages follow.
  struct Recovery {
    ChannelRef channel;
    std::shared_ptr<const Filter> filter;
    uint64_t ask = 0;  // 0: the next page was not asked for yet
    std::string epoch;
    int64_t offset = 0;  // go on after it
  };
  struct PendingRequest {
    ReplyContext context;
    std::string event;
    size_t bytes = 0;
    absl::Duration asked;
    absl::Duration deadline;
  };
  // What only a session in the middle of something has.
  struct Pending {
    std::deque<SubscribeOp> ops;  // the first is under way
    size_t op_bytes = 0;
    std::deque<Recovery> recoveries;   // the first is under way
    absl::Duration recovery_deadline;  // unless one makes progress
    absl::flat_hash_map<uint64_t, PendingRequest> requests;
    size_t request_bytes = 0;
    std::vector<std::string> early;  // messages that came before the slot
    size_t early_bytes = 0;
    bool empty() const {
      return ops.empty() && recoveries.empty() && requests.empty() && early.empty();
    }
  };

  // ---- life

  const ServiceSettings& settings() const { return service_->settings(); }
  ServiceCounts& counts() { return service_->counts(); }
  // A request that came then is answered.
  void CountAnswered(absl::Duration asked) {
    service_->latencies().requests.Observe(absl::ToDoubleSeconds(Now() - asked));
  }
  absl::Time WallNow() const { return context_->clock->WallNow(); }
  absl::Duration Now() const { return context_->loop->Now(); }
  Pending& pending();

  void Admit();
  void Welcome(const ReplyContext* auth_context);
  void Authenticate(absl::string_view payload);
  void RefuseToken(const ReplyContext& context, absl::string_view message);
  void Reply(const std::string& text);
  void ReplyError(const ReplyContext& context, absl::string_view code, absl::string_view message);
  // Closes from this side; everything is left at once.
  void Close(CloseCode code, absl::string_view reason,
             Connection::Backlog backlog = Connection::Backlog::kSend);
  // Leaves all channels and forgets what is under way.
  void LeaveEverything();
  void OnDeadline() override;
  void Rearm();
  // Takes a token of the message rate; false after answering that there is none.
  bool Afford(const ReplyContext& context);
  void OnMessage(absl::string_view payload);
  void OnBuddyMessage(absl::string_view payload);
  void MoveBuddyTo(absl::string_view channel);
  void OnAuth(const ClientMessage& message, const ReplyContext& context);
  void OnRequest(const ClientMessage& message, const ReplyContext& context);

  // ---- subscribing (session_subscribe.cc)

  void OnSubscribe(ClientMessage message, ReplyContext context);
  void StartOp();
  void FinishOp();
  void StartTarget(SubscribeOp* op, Target* target);
  void Refuse(Target* target, absl::string_view code, std::string message);
  void Unsubscribe(absl::string_view name);
  Subscription* Find(absl::string_view name);
  void Subscribe(Channel* channel, PatternTable* pattern, std::shared_ptr<const Filter> filter);
  // Leaves the table; interest is not touched.
  void RemoveSubscription(Subscription* subscription);
  // Brings the subscriber's flag in its table up to date.
  static SubscriberTable& TableOf(const Subscription& subscription);
  void UpdateFlag(uint32_t subscription);
  void UpdateFlags();
  void OnTargetReply(SubscribeOp* op, Target* target, SubscribeReply reply);
  void OnRecoveryReply(Recovery* recovery, SubscribeReply reply);
  void AppendRecovered(const ChannelRef& channel, const Filter* filter, SubscribeReply* reply);
  // Asks for the next page if there is room for it.
  void PumpRecoveries();
  void CancelRecovery(const Channel* channel);
  // Null if none is under way that has begun.
  Recovery* FindRecovery(const Channel* channel);
  // Whether a recovery of the channel, or a subscribe that asks for one, is under way; and what it
  // lets through.
  bool Recovers(const Channel* channel, const Filter** filter = nullptr) const;
  // So many more recoveries, or subscribes that ask for one, are under way.
  void CountRecovering(int by);
  // The last position before what waits of the channel; `offset` if nothing does.
  int64_t SentUpTo(const Channel& channel, int64_t offset) const;
  // Drops what waits of the channel.
  void DropWaiting(const Channel* channel);
  // Bytes that wait, here and with the connection.
  size_t Waiting() const;
  uint64_t page_bytes() const;
  size_t subscription_count() const;
  void ExpireOp();

  // ---- sending

  OutQueue& out();
  // Frees an idle out_, unless the session is on several channels and so will gather again.
  void ReleaseOut();
  bool Passes(const Filter* filter, const Delivery& delivery) const;
  // Sends what waits, then asks for the next page of a recovery.
  void Flush();
  void Unpause();
  void CloseSlow();

  const SessionContext* const context_;
  Service* const service_;
  Connection* connection_;
  std::array<char, 36> id_;
  Dialect dialect_;
  State state_ = State::kWaiting;
  bool auth_required_;
  bool bad_token_;
  bool has_slot_ = false;
  bool listed_ = false;
  uint32_t pattern_subscriptions_ = 0;
  uint32_t recovering_ = 0;  // recoveries, and subscribes that ask for one
  float tokens_;             // of the message rate
  absl::Duration tokens_at_;
  absl::Duration auth_deadline_ = absl::InfiniteDuration();  // or that of the slot
  std::unique_ptr<Identity> identity_;
  std::vector<Subscription> subscriptions_;
  std::unique_ptr<Pending> pending_;
  std::unique_ptr<OutQueue> out_;  // null: nothing waits
  const std::string* user_agent_;
  int64_t connected_us_;
  int64_t replies_ = 0;
  int64_t dropped_ = 0;  // by earlier queues; out_ has its own count
  int64_t received_ = 0;
};

}  // namespace fanwire::fanout
