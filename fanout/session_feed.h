// SessionFeed is the subscriber's half of a session: what it subscribes to, and what it is sent.
// SubscriptionSet has the subscriptions, SubscribeQueue orders subscribes and recoveries, and
// SessionOutput sends.  The other half, Session, is who the client is and what it may do.
//
// A function that finds the client too slow has the session close itself with 4000.
//
// Threading: loop-confined.
// Ownership: a part of its Session, whose context, service and connection it uses.
// Cost:      88 bytes, and 40 for each subscription.  SubscribeQueue exists only while something
//            is in it.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "fanout/channel.h"
#include "fanout/client_message.h"
#include "fanout/net/connection.h"
#include "fanout/net/frame.h"
#include "fanout/reply.h"
#include "fanout/service.h"
#include "fanout/session_output.h"
#include "fanout/subscribe_queue.h"
#include "fanout/subscription_set.h"
#include "fanout/upstream.h"

namespace fanwire::fanout {

class Session;
struct SessionContext;
struct SessionInfo;

class SessionFeed final : public SubscribeHost {
 public:
  explicit SessionFeed(Session* session) : session_(session), output_(session) {}
  SessionFeed(const SessionFeed&) = delete;
  SessionFeed& operator=(const SessionFeed&) = delete;

  // ---- publications; see Session

  void Deliver(const ChannelRef& channel, PatternTable* pattern, uint32_t subscription,
               absl::Span<const Delivery> deliveries);
  void OnPartlySent(absl::Span<const Delivery> deliveries, const FramePtr& joined, ssize_t taken);
  void OnDrained();

  // ---- subscribes

  // Takes a message of kind kSubscribe or kUnsubscribe.
  void Add(ClientMessage message, ReplyContext context) {
    queue().Add(std::move(message), std::move(context));
  }
  void OnReply(uint64_t ask, SubscribeReply reply);
  // The state that a subscribe asked for has come, or does not come.
  void OnState(uint64_t ask, const RequestReply& reply);
  // Ends the subscriptions that Session::MaySubscribe() does not allow, and tells the client.
  void LeaveForbidden(absl::string_view reason);
  // When OnDeadline() must be called; InfiniteDuration(): never.  Frees a queue that is empty.
  absl::Duration Deadline();
  void OnDeadline(absl::Duration now);
  // Forgets what is under way, and leaves all channels.
  void LeaveEverything();

  bool SubscribesTo(absl::string_view name) const;
  // Fills in the subscriptions, what was delivered and dropped, and what waits.
  void Describe(SessionInfo* info) const;
  SubscriptionSet& subscriptions() { return subscriptions_; }
  const SubscriptionSet& subscriptions() const { return subscriptions_; }
  // What subscribes for this session.
  SubscribeContext subscribe_context();
  SessionOutput& output() { return output_; }
  const SessionOutput& output() const { return output_; }

  // ---- SubscribeHost

  bool active() const override;
  bool MaySubscribe(absl::string_view name) const override;
  absl::StatusOr<RequestAccess::StateRequest> FindState(absl::string_view channel) const override;
  bool Passes(const EventFilter* filter, const RecoveredEvent& event) const override;
  uint64_t Ask(const SubscribeAsk& ask) override;
  void Subscribe(Channel* channel, PatternTable* pattern,
                 std::shared_ptr<const EventFilter> filter) override;
  void Join(Channel* channel, std::shared_ptr<const std::string> info) override;
  void Leave(Channel* channel) override;
  void Reply(const std::string& text) override;
  void FlushTurn() override;
  void Settle() override;
  void SetPaused(bool paused) override;
  void Append(Backlog::Item item) override { output_.Append(std::move(item)); }
  void Flush() override;
  size_t waiting_bytes() const override { return output_.waiting_bytes(); }
  uint64_t bytes_sent() const override;
  int64_t FirstWaiting(const Channel* channel) const override {
    return output_.FirstOffset(channel);
  }
  void DropWaiting(const Channel* channel) override;
  void DropForbidden() override;

  // Frees what output() does not need for now.  Of a session on several channels it gathers.
  void ReleaseOutput() { output_.Release(/*gathers=*/subscriptions_.size() > 1); }

 private:
  const SessionContext& context() const;
  SubscribeQueue& queue();
  // Whether a filter (null: none), or one of several, lets the delivery through.
  bool Passes(const EventFilter* filter, const Delivery& delivery) const;
  bool PassesAny(const SubscriptionSet::Filters& filters, const Delivery& delivery) const;

  Session* const session_;
  SubscriptionSet subscriptions_;
  std::unique_ptr<SubscribeQueue> queue_;  // null: none is under way
  SessionOutput output_;
};

}  // namespace fanwire::fanout
