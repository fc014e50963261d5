// RecoveryQueue holds the recoveries of one session of which more pages follow.
//
//   a page of missed publications is asked for when there is room in the session's backlog -> the
//   last page has come -> the session subscribes, and goes on live
//
// One recovery is under way at a time, and one page of it.  If it waits for its client to read, and
// nothing leaves for recovery_timeout, the client counts as too slow.  A recovery that waits for
// control's answer does not count, however long control is away.
//
// Threading: loop-confined.
// Ownership: its SubscribeQueue owns it; borrows all else, which outlives it.
// Cost:      nothing but itself while it is empty; the functions are linear in the recoveries.
// Source:    docs/protocol.md "Recovery"
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "fanout/channel.h"
#include "fanout/client_message.h"
#include "fanout/net/event_loop.h"
#include "fanout/service.h"
#include "fanout/subscribe_host.h"
#include "fanout/subscription_set.h"
#include "fanout/upstream.h"

namespace fanwire::fanout {

class RecoveryQueue {
 public:
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
  struct Recovery {
    ChannelRef channel;
    std::shared_ptr<const EventFilter> filter;
    std::string epoch;
    int64_t offset = 0;  // the next page begins after it
    uint64_t ask = 0;    // 0: the next page was not asked for yet
    Withheld withheld = {};
  };

  // `context` outlives it.
  explicit RecoveryQueue(const SubscribeContext* context) : context_(context) {}
  RecoveryQueue(const RecoveryQueue&) = delete;
  RecoveryQueue& operator=(const RecoveryQueue&) = delete;

  // Adds a recovery.  The caller then flushes its host, which asks for the next page, and calls
  // OnProgress().
  void Add(Recovery recovery);
  // Takes control's answer if it is the page that the first recovery waits for, and flushes the
  // host.  Returns whether it is.
  bool OnReply(uint64_t ask, SubscribeReply* reply);
  // Hands the events of a page to the host; expired ones become a notice.
  void AppendPage(const ChannelRef& channel, const EventFilter* filter, SubscribeReply* reply);
  // Tells the client that positions `from` to `to` do not come; `epoch` if it changed, else empty.
  void AppendSkipped(const ChannelRef& channel, int64_t from, int64_t to, absl::string_view reason,
                     absl::string_view epoch = "");

  // Asks for the next page of the first recovery if there is room for it and none is under way.
  void RequestNextPage();
  // The client has read all that was sent.
  void OnProgress();

  // When Stands() must be called; InfiniteDuration(): never, because nothing waits for the client.
  absl::Duration deadline() const;
  // Whether the deadline has passed, and nothing has left since it was set.
  bool Stands(absl::Duration now);

  // The recovery of the channel; null if there is none.
  Recovery* Find(const Channel* channel);
  const Recovery* Find(const Channel* channel) const;
  // Ends the recovery of the channel, if there is one, and gives back its interest.  Returns what
  // was withheld for it.
  Withheld Cancel(const Channel* channel);
  // Ends all.
  void CancelAll();
  // A recovery has ended without bringing what was withheld for it: tells the client what of it
  // comes behind `sent`, the last position that it was sent.
  void TellWithheld(const ChannelRef& channel, const Withheld& withheld, int64_t sent);
  // Whether TellWithheld() has told anything since the last call, which waits to be flushed.
  bool TakeTold() { return std::exchange(told_, false); }

  const std::deque<Recovery>& all() const { return recoveries_; }
  size_t size() const { return recoveries_.size(); }
  bool empty() const { return recoveries_.empty(); }
  // How large a page is to be.
  uint64_t page_bytes() const;

 private:
  const ServiceSettings& settings() const { return context_->service->settings(); }
  void OnPage(SubscribeReply* reply);

  const SubscribeContext* const context_;
  std::deque<Recovery> recoveries_;  // the first is under way
  absl::Duration deadline_;          // of the first, if it waits for its client
  uint64_t sent_ = 0;                // bytes_sent() of the host when deadline_ was set
  bool told_ = false;                // see TakeTold()
};

}  // namespace fanwire::fanout
