// OutQueue is the sending side of one session: every publication, notice and recovered publication
// on its way to the client, in the order in which the client gets them.  An item is in one of three
// places:
//
//   turn       gathered in this turn of the loop, to be sent together by one system call
//   backlog    it waits: the client reads too slowly, or the queue is paused.  The backlog policy
//              of its channel applies, and skip notices are inserted when they are due (Backlog).
//   in flight  the connection has it, the kernel does not have all of it
//
// The queue holds publications, not bytes: the bytes are chosen in Send(), when items are handed to
// the connection.  It keeps the ledger of the service (fanout/counts.h) and of tracked
// publications: each item that is added is counted as matched, and later once as written, dropped,
// expired or lost.
//
// The queue never calls its session.  A function that finds the client too slow returns kTooSlow;
// the session must then close the connection with 4000, calling CloseSlow() first.
//
// Threading: loop-confined.
// Ownership: its Session owns it, and keeps one only while it is not idle() or may gather; borrows
//            connection, service, tracks, loop and clock, which outlive it.
// Cost:      136 bytes, and a Backlog while something waits; no allocation or virtual call for an
//            item, but for the growth of its vectors.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "common/clock.h"
#include "fanout/backlog.h"
#include "fanout/channel.h"
#include "fanout/net/connection.h"
#include "fanout/net/event_loop.h"
#include "fanout/net/frame.h"
#include "fanout/service.h"
#include "fanout/track.h"
#include "proto/policies.h"

namespace fanwire::fanout {

class OutQueue {
 public:
  using Kind = Backlog::Kind;

  enum class [[nodiscard]] Outcome{
      kOk,
      kTooSlow,  // more waits than is allowed: close the session
  };
  enum class [[nodiscard]] Added{
      kGathered,  // call FlushTurn() at the end of the turn
      kDone,      // it was sent, or it waits
      kTooSlow,   // as above; the item is counted as dropped
  };

  OutQueue(Connection* connection, Service* service, TrackTable* tracks, const EventLoop* loop,
           const Clock* clock);
  OutQueue(const OutQueue&) = delete;
  OutQueue& operator=(const OutQueue&) = delete;

  // ---- adding

  // Adds a publication (kEvent) or a notice that Hub delivers.  It is gathered, or put into the
  // backlog if anything waits.
  Added Add(Backlog::Item item);
  // Sends what was gathered; what the connection does not take at once goes into the backlog.
  Outcome FlushTurn();

  // Appends an item of a recovery, or a notice, to the backlog, whatever its size.  Call Flush()
  // after the last one.
  void Append(Backlog::Item item);

  // Hub has offered `joined`, the frames of `deliveries`, to the kernel, which took `taken` bytes
  // (or that is a negative errno).  The connection takes over the rest.
  void TakeOver(absl::Span<const Delivery> deliveries, const FramePtr& joined, ssize_t taken);

  // The connection has queued a reply, which the session sent past this queue.  kTooSlow if the
  // connection holds more than a session's budget and two messages.
  Outcome AddQueuedReply();

  // ---- sending

  // Sends what waits, 64 KiB at a time, until the connection takes no more; nothing while paused.
  void Flush();
  // Hands all that waits to the connection, however much that is; for a goodbye.
  void SendAll();
  // While paused, everything that is added waits; Hub must not send past the queue either.  Call
  // Flush() after the pause.
  void SetPaused(bool paused);
  bool paused() const { return paused_; }
  // All that the connection had is with the kernel.
  void OnDrained();

  // ---- dropping

  // Drops what waits of the channel, due notices included; publications are counted as dropped for
  // `reason`.
  void DropChannel(const Channel* channel, DropReason reason);
  // The channels of which something waits.
  std::vector<ChannelRef> WaitingChannels() const {
    return backlog_ == nullptr ? std::vector<ChannelRef>() : backlog_->Channels();
  }
  // What is lost from now on is counted as kSlowClosed, not as lost with the connection.
  void CloseSlow() { closed_slow_ = true; }
  // The session is closing.  The connection has forgotten the last `unsent` messages in flight;
  // what was gathered or waits is lost as well.
  void DropWaiting(uint64_t unsent);
  // The connection is gone.  `unsent` messages of its whole life were never sent, those that
  // DropWaiting() was told of included; what else was in flight has been sent.
  void OnClosed(uint64_t unsent);

  // ---- what there is to see

  // The first position that waits of a channel, or that a due notice covers; 0: none.
  int64_t FirstOffset(const Channel* channel) const {
    return backlog_ == nullptr ? 0 : backlog_->FirstOffset(channel);
  }
  // Whether anything waits or is in flight; what was only gathered does not count.
  bool slow() const { return slow_; }
  // Whether the queue may be destroyed: it is empty and not paused.
  bool idle() const { return !slow_ && !paused_ && turn_.empty() && !waits(); }
  size_t backlog_bytes() const { return backlog_ == nullptr ? 0 : backlog_->bytes(); }
  // Items in the backlog and in flight.
  size_t waiting_items() const {
    return (backlog_ == nullptr ? 0 : backlog_->size()) + in_flight_.size();
  }
  int64_t replies_in_flight() const;
  // Publications that were dropped since the queue exists.
  int64_t dropped() const { return dropped_; }

 private:
  struct InFlight {
    Track* track = nullptr;
    Kind kind = Kind::kNotice;
    bool reply = false;
  };

  // Whether an item, or a notice that is due, is in the backlog.
  bool waits() const {
    return backlog_ != nullptr && (!backlog_->empty() || backlog_->notices_due());
  }
  Backlog& backlog();
  ServiceCounts& counts() const { return service_->counts(); }

  // Hands items to the connection, in batches of kOfferBytes.  Stops before a batch when the
  // connection has a backlog, unless `regardless`.  Returns how many items it has handed over.
  size_t Send(absl::Span<const Backlog::Item> items, bool regardless);
  // Takes up to `max_bytes` from the backlog, notices included.
  void TakeWaiting(size_t max_bytes, std::vector<Backlog::Item>* items);
  // Puts an item into the backlog as its channel's policy wants it.
  Outcome Push(Backlog::Item item);
  void ClearTurn();

  // Each of these is for one item; those with a kind do nothing for what is no publication.
  void CountMatched(Kind kind, Track* track);
  void CountWritten(Kind kind, Track* track);
  void CountDropped(Kind kind, Track* track, DropReason reason);
  void CountExpired(Track* track);
  void CountLost(Kind kind, Track* track);
  void Settle(Track* track);
  // Brings slow_ and the service's counts of slow sessions and waiting bytes up to date, and frees
  // a backlog that is empty.
  void UpdateSlow();

  Connection* const connection_;
  Service* const service_;
  TrackTable* const tracks_;
  const EventLoop* const loop_;
  const Clock* const clock_;
  std::unique_ptr<Backlog> backlog_;  // null: nothing waits
  std::vector<Backlog::Item> turn_;
  size_t turn_bytes_ = 0;
  std::vector<InFlight> in_flight_;
  size_t counted_bytes_ = 0;     // of the backlog, in the service's counts
  uint64_t unsent_dropped_ = 0;  // messages that DropWaiting() was told of
  int64_t dropped_ = 0;
  bool paused_ = false;
  bool slow_ = false;
  bool closed_slow_ = false;
};

}  // namespace fanwire::fanout
