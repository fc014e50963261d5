// SubscribeHost is the session as SubscribeQueue and RecoveryQueue see it: everything that they do
// to their session they do through it.
//
// A function that sends may close the session.  Then active() turns false, and the session has
// called SubscribeQueue::Cancel() before the function returns.  A session must not destroy its
// queues in such a call.
//
// Threading: loop-confined.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "fanout/backlog.h"
#include "fanout/channel.h"
#include "fanout/client_message.h"
#include "fanout/request_access.h"
#include "fanout/upstream.h"

namespace fanwire {
class Clock;
}  // namespace fanwire

namespace fanwire::fanout {

class EventLoop;
class SubscriptionSet;

class SubscribeHost {
 public:
  // False once the session is closed.
  virtual bool active() const = 0;
  // Whether the client's token, if it has one, allows the channel or pattern.
  virtual bool MaySubscribe(absl::string_view name) const = 0;
  // The request that tells the state of what the channel tells of.
  //   INVALID_ARGUMENT   the service has none for such channels
  //   PERMISSION_DENIED  the client may not ask it; messages are for the client
  virtual absl::StatusOr<RequestAccess::StateRequest> FindState(
      absl::string_view channel) const = 0;
  // Whether the session is to get a recovered event: it is not excluded from it, and `filter`
  // (null: none) lets it through.
  virtual bool Passes(const EventFilter* filter, const RecoveredEvent& event) const = 0;
  // Upstream::Ask() for this session.
  virtual uint64_t Ask(const SubscribeAsk& ask) = 0;
  // Adds a subscription to the channel or, if that is null, to the pattern.  Publications that
  // came before are delivered first, to the subscriptions as they were.
  virtual void Subscribe(Channel* channel, PatternTable* pattern,
                         std::shared_ptr<const EventFilter> filter) = 0;

  // The session is, or is not any more, a member of the channel.  Joining again does no harm:
  // `info` (null: none) replaces an earlier one.
  virtual void Join(Channel* channel, std::shared_ptr<const std::string> info) = 0;
  virtual void Leave(Channel* channel) = 0;

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
  // Sends what waits as far as the client takes it, then calls SubscribeQueue::RequestNextPage().
  virtual void Flush() = 0;
  // Bytes that wait, here and with the connection.
  virtual size_t waiting_bytes() const = 0;
  // Bytes that the kernel has taken, since the session began.
  virtual uint64_t bytes_sent() const = 0;
  // The first position of the channel that waits; 0: none.
  virtual int64_t FirstWaiting(const Channel* channel) const = 0;
  // Drops what waits of the channel.
  virtual void DropWaiting(const Channel* channel) = 0;
  // Drops what waits of all channels that MaySubscribe() does not allow.
  virtual void DropForbidden() = 0;

 protected:
  ~SubscribeHost() = default;
};

// What the parts of a session that subscribe work with; all of it outlives them.
struct SubscribeContext {
  SubscribeHost* host = nullptr;
  SubscriptionSet* subscriptions = nullptr;
  Service* service = nullptr;
  Upstream* upstream = nullptr;
  const EventLoop* loop = nullptr;
  const Clock* clock = nullptr;
};

}  // namespace fanwire::fanout
