// SubscribeQueue handles the subscribe and unsubscribe requests of one session, in their order.
//
//   request    waits its turn -> its channels are checked, and control is asked for each -> all of
//              control's answers are there, or control_wait has passed -> confirmed by one reply
//              -> what was missed is recovered (RecoveryQueue), or the session goes on live at once
//
// One request is under way at a time, so confirmations come in the order of the requests.  A
// request for a single channel is confirmed before any publication of the channel; one for many
// pauses the session's sending until its one reply is written.  A channel that one request names
// several times is subscribed to once, and every mention of it gets the same result.  A request
// that asks for the state pauses as well: it subscribes when control has answered, and is confirmed
// when the state has come.
//
// Threading: loop-confined.
// Ownership: its Session owns it, while it is not empty(); borrows all else, which outlives it.
// Cost:      about 400 bytes, and what its requests take.
// Source:    docs/protocol.md "Subscribing"
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "fanout/channel.h"
#include "fanout/client_message.h"
#include "fanout/net/event_loop.h"
#include "fanout/recovery_queue.h"
#include "fanout/reply.h"
#include "fanout/service.h"
#include "fanout/subscribe_host.h"
#include "fanout/subscribe_request.h"
#include "fanout/subscription_set.h"
#include "fanout/upstream.h"

namespace fanwire::fanout {

class SubscribeQueue {
 public:
  explicit SubscribeQueue(const SubscribeContext& context)
      : context_(context), recoveries_(&context_) {}
  SubscribeQueue(const SubscribeQueue&) = delete;
  SubscribeQueue& operator=(const SubscribeQueue&) = delete;

  // Takes a message of kind kSubscribe or kUnsubscribe.  Answers LIMIT_EXCEEDED if too many
  // requests wait.
  void Add(ClientMessage message, ReplyContext context);

  // Control has answered `ask`, which may be one that nobody waits for any more.
  void OnReply(uint64_t ask, SubscribeReply reply);
  // The state has come that `ask` awaits, or does not come; the same goes for `ask`.
  void OnState(uint64_t ask, const RequestReply& reply);

  // Asks for the next page of the first recovery if there is room for it and none is under way.
  void RequestNextPage() { recoveries_.RequestNextPage(); }
  // A recovery that is under way makes progress.  Call it when the client has read all that was
  // sent; that bytes leave meanwhile is seen in OnDeadline().
  void OnProgress() { recoveries_.OnProgress(); }

  // What the client is allowed has changed.  Ends every subscription and recovery that is not
  // allowed any more, drops what waits of it and tells the client; refuses such a channel of the
  // request that is under way.  `reason` is for the notices.
  void LeaveForbidden(absl::string_view reason);

  // When OnDeadline() must be called; InfiniteDuration(): never.
  absl::Duration deadline() const;
  enum class [[nodiscard]] Expiry{
      kHandled,     // requests that control did not answer in time were answered UNAVAILABLE
      kNoProgress,  // a recovery waits for its client, and nothing has left for recovery_timeout
  };
  Expiry OnDeadline(absl::Duration now);

  // Whether a recovery of the channel, or a subscribe that asks for one, is under way.  Stores what
  // the recovery's filter lets through (null: everything) in `filter`, if that is given.
  bool Recovers(const Channel* channel, const EventFilter** filter = nullptr) const;

  // A pattern would have brought a publication of the channel (`offset`) or a notice (0), which was
  // withheld because of Recovers().  If the recovery ends early, the client is told of it.
  void Withhold(const Channel* channel, int64_t offset);

  // Forgets everything, and gives back the interest in its channels: the session is closed.
  void Cancel();

  // Whether nothing is under way and nothing waits.
  bool empty() const { return requests_.empty() && recoveries_.empty(); }

 private:
  using Target = SubscribeTarget;
  using Request = SubscribeRequest;

  static constexpr Dialect kDialect = Dialect::kCommon;

  const ServiceSettings& settings() const { return context_.service->settings(); }
  absl::Duration Now() const { return context_.loop->Now(); }
  // Subscriptions that the session has, or will have if control grants what was asked.
  size_t subscription_count() const;
  Subscription* Find(absl::string_view name);
  void Unwant(Channel* channel, PatternTable* pattern);
  // The last position of the channel that the client has when it gets a confirmation now: `offset`,
  // unless some of it waits.
  int64_t SentUpTo(const Channel& channel, int64_t offset) const;

  // ---- requests

  // Starts requests until one must wait for control.
  void StartRequests();
  // Confirms the target, refuses it, or asks control for it.
  void Start(Request* request, Target* target);
  void Unsubscribe(absl::string_view name);
  // Asks control for the target and counts it as awaited.  `known` is the subscription that the
  // session has to the same channel, or null; it ends.  `begins_anew`: a recovery will bring what
  // waits of the channel, so that is dropped.
  void AskControl(Request* request, Target* target, Subscription* known, bool begins_anew);
  // Takes back what control was asked for the target, if it was.
  void Withdraw(Request* request, Target* target);
  // Replies to the first request, whose targets all have their outcome.
  void FinishFirst();
  // Refuses what control has not answered, and finishes the first request.
  void ExpireFirst();
  void OnTargetReply(Request* request, Target* target, SubscribeReply reply);
  // The first request may have its outcome now.  Finishes it and goes on with the next one.
  void GoOn();

  const SubscribeContext context_;
  std::deque<Request> requests_;  // the first is under way
  size_t request_bytes_ = 0;
  RecoveryQueue recoveries_;
};

}  // namespace fanwire::fanout
