// SubscribeQueue handles the subscribe and unsubscribe requests of one session, in their order, and
// the recoveries that follow them.
//
//   request    waits its turn -> its channels are checked, and control is asked for each -> all of
//              control's answers are there, or control_wait has passed -> confirmed by one reply
//   recovery   a page of missed publications is asked for when there is room in the session's
//              backlog -> the last page has come -> the session subscribes, and goes on live
//
// One request is under way at a time, so confirmations come in the order of the requests; and one
// page of one recovery.  A request for a single channel is confirmed before any publication of the
// channel; one for many pauses the session's sending until its one reply is written.
//
// Everything that a queue does to its session it does through Host.  A reply that is one too many
// makes the session close itself: then Host::active() turns false, and the session has called
// Cancel() before the Host's function returns.  A session must not destroy the queue in such a
// call.
//
// Threading: loop-confined.
// Ownership: its Session owns it, while it is not empty(); borrows all else, which outlives it.
// Cost:      about 300 bytes, and what its requests take.
// Source:    docs/protocol.md "Subscribing", "Recovery"
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "fanout/backlog.h"
#include "fanout/channel.h"
#include "fanout/client_message.h"
#include "fanout/net/event_loop.h"
#include "fanout/reply.h"
#include "fanout/service.h"
#include "fanout/subscription_set.h"
#include "fanout/upstream.h"

namespace fanwire::fanout {

class SubscribeQueue {
 public:
  // The session that a queue works for.  Functions that send may close the session.
  class Host {
   public:
    // False once the session is closed.
    virtual bool active() const = 0;
    // Whether the client's token, if it has one, allows the channel or pattern.
    virtual bool MaySubscribe(absl::string_view name) const = 0;
    // Whether the session is to get a recovered event: it is not excluded from it, and `filter`
    // (null: none) lets it through.
    virtual bool Passes(const EventFilter* filter, const RecoveredEvent& event) const = 0;
    // Upstream::Ask() for this session.
    virtual uint64_t Ask(const SubscribeAsk& ask) = 0;
    // Adds a subscription to the channel or, if that is null, to the pattern.  Publications that
    // came before are delivered first, to the subscriptions as they were.
    virtual void Subscribe(Channel* channel, PatternTable* pattern,
                           std::shared_ptr<const EventFilter> filter) = 0;

    // Sends a reply, ahead of all that waits.
    virtual void Reply(const std::string& text) = 0;
    // Sends what the session has gathered in this turn.
    virtual void FlushTurn() = 0;
    // The same, with what fan-outs under way still have for the session (Hub::Settle).
    virtual void Settle() = 0;
    // While paused, publications wait.  The end of the pause flushes.
    virtual void SetPaused(bool paused) = 0;
    // Puts a recovered event or a notice behind all that waits.
    virtual void Append(Backlog::Item item) = 0;
    // Sends what waits as far as the client takes it, then calls RequestNextPage().
    virtual void Flush() = 0;
    // Bytes that wait, here and with the connection.
    virtual size_t waiting_bytes() const = 0;
    // Bytes that the kernel has taken, since the session began.
    virtual uint64_t bytes_sent() const = 0;
    // The first position of the channel that waits; 0: none.
    virtual int64_t FirstWaiting(const Channel* channel) const = 0;
    // Drops what waits of the channel.
    virtual void DropWaiting(const Channel* channel) = 0;

   protected:
    ~Host() = default;
  };

  SubscribeQueue(Host* host, SubscriptionSet* subscriptions, Service* service, Upstream* upstream,
                 const EventLoop* loop, const Clock* clock);
  SubscribeQueue(const SubscribeQueue&) = delete;
  SubscribeQueue& operator=(const SubscribeQueue&) = delete;

  // Takes a message of kind kSubscribe or kUnsubscribe.  Answers LIMIT_EXCEEDED if too many
  // requests wait.
  void Add(ClientMessage message, ReplyContext context);

  // Control has answered `ask`, which may be one that nobody waits for any more.
  void OnReply(uint64_t ask, SubscribeReply reply);

  // Asks for the next page of the first recovery if there is room for it and none is under way.
  void RequestNextPage();
  // A recovery that is under way makes progress.  Call it when the client has read all that was
  // sent; that bytes leave meanwhile is seen in OnDeadline().
  void OnProgress();

  // When OnDeadline() must be called; InfiniteDuration(): never.
  absl::Duration deadline() const;
  enum class [[nodiscard]] Expiry{
      kHandled,     // requests that control did not answer in time were answered UNAVAILABLE
      kNoProgress,  // nothing of a recovery has left for recovery_timeout: the client is too slow
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
  // What patterns would have brought of a channel while a recovery of it was under way.
  struct Withheld {
    bool any = false;
    int64_t from = 0;     // the first position; 0: not known
    std::string epoch;    // the channel's, when the recovery was asked for
    int64_t applied = 0;  // its position then

    void Add(int64_t offset) {
      any = true;
      if (offset == 0) offset = applied + 1;  // a notice, of what came since
      from = from == 0 ? offset : std::min(from, offset);
    }
  };
  // One channel of a request.
  struct Target {
    ChannelRequest request;
    uint64_t ask = 0;    // 0: no answer is awaited
    ChannelRef channel;  // that was asked for; or `pattern`
    PatternTable* pattern = nullptr;
    std::shared_ptr<const EventFilter> filter;
    Withheld withheld;
    Confirmation confirmation;
  };
  struct Request {
    ReplyContext context;
    bool subscribe = true;  // false: unsubscribe
    bool many = false;      // it has a list of channels, and gets a list of results
    bool started = false;
    std::vector<Target> targets;
    size_t awaited = 0;      // targets without an answer
    size_t next_answer = 0;  // index of the target that is likely to be answered next
    size_t bytes = 0;        // memory that the request takes
    absl::Duration asked;
    absl::Duration deadline;
  };
  // A recovery of which more pages follow.
  struct Recovery {
    ChannelRef channel;
    std::shared_ptr<const EventFilter> filter;
    uint64_t ask = 0;  // 0: the next page was not asked for yet
    std::string epoch;
    int64_t offset = 0;  // the next page begins after it
    Withheld withheld;
  };

  static constexpr Dialect kDialect = Dialect::kCommon;

  const ServiceSettings& settings() const { return service_->settings(); }
  absl::Duration Now() const { return loop_->Now(); }
  uint64_t page_bytes() const;
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
  // Whether the target is well-formed and allowed; refuses it if not.
  bool Check(const Request& request, Target* target);
  void Unsubscribe(absl::string_view name);
  // Asks control for the target and counts it as awaited.  `known` is the subscription that the
  // session has to the same channel, or null; it ends.  `begins_anew`: a recovery will bring what
  // waits of the channel, so that is dropped.
  void AskControl(Request* request, Target* target, Subscription* known, bool begins_anew);
  static void Refuse(Target* target, absl::string_view code, std::string message);
  // Replies to the first request, whose targets all have their outcome.
  void FinishFirst();
  // Refuses what control has not answered, and finishes the first request.
  void ExpireFirst();
  void OnTargetReply(Request* request, Target* target, SubscribeReply reply);

  // ---- recoveries

  // The answer with the next page of the first recovery.
  void OnPage(SubscribeReply reply);
  void AppendPage(const ChannelRef& channel, const EventFilter* filter, SubscribeReply* reply);
  // Tells the client that positions `from` to `to` do not come.
  void AppendSkipped(const ChannelRef& channel, int64_t from, int64_t to, absl::string_view reason,
                     absl::string_view epoch = "");
  // Returns what was withheld for it.
  Withheld CancelRecovery(const Channel* channel);
  // A recovery has ended without bringing what was withheld for it: tells the client what of it
  // comes behind `sent`, the last position that it was sent.
  void TellWithheld(const ChannelRef& channel, const Withheld& withheld, int64_t sent);
  // Null if no recovery of the channel has begun.
  Recovery* FindRecovery(const Channel* channel);

  Host* const host_;
  SubscriptionSet* const subscriptions_;
  Service* const service_;
  Upstream* const upstream_;
  const EventLoop* const loop_;
  const Clock* const clock_;
  std::deque<Request> requests_;  // the first is under way
  size_t request_bytes_ = 0;
  bool told_withheld_ = false;        // behind the reply to the first request
  std::deque<Recovery> recoveries_;   // the first is under way
  absl::Duration recovery_deadline_;  // of the first; progress moves it
  uint64_t recovery_sent_ = 0;        // bytes_sent() when it was moved last
};

}  // namespace fanwire::fanout
