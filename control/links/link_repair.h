// LinkRepair remembers what must still be sent to one worker from history: the dirty channels,
// whose live publications found the link's queue full, and the subscribes whose answers were
// deferred.  It also remembers since when the worker may have missed publications.
//
// A dirty channel waits in a queue until a thread takes it (NextDirty()).  That thread, or the
// callback of the engine's fetch or of the channel's opening, must later call MarkDirtyAgain() or
// Finish().  Until then the channel counts as dirty, although it is not in the queue.
//
// While a worker reports its interest, its link is held: NextDirty() and NextDeferred() return
// nothing.
//
// Threading: guarded by WorkerLink's mutex.  One thread repairs at a time, between Begin() and
//            End().  A fetch may end at any time, on another thread.
// Ownership: shares the channels with Router, and never reads them.
// Cost:      O(log dirty channels) for a dirty channel, O(1) for everything else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <set>
#include <vector>

#include "absl/time/time.h"
#include "control/links/subscribe.h"

namespace fanwire::control {

struct ChannelState;

// A channel of which a worker has not got all publications.
struct DirtyChannel {
  std::shared_ptr<ChannelState> channel;
  uint32_t lane = 0;  // of the channel's service
  // The missing publications were received at this time or later.
  absl::Duration since;
};

class LinkRepair {
 public:
  // ---- dirty channels

  // Adds a channel that must be repaired from history.
  void MarkDirty(DirtyChannel dirty);
  // Takes the channel that has waited longest; its `channel` is null if there is none, or while
  // held.
  DirtyChannel NextDirty();
  // Puts a channel that was taken back into the queue.  The publications that are still missing
  // were received at `since` or later.
  void MarkDirtyAgain(DirtyChannel dirty, absl::Duration since);
  // Ends a channel that was taken: all that the worker missed is queued, or the worker does not
  // want the channel any more.
  void Finish(const DirtyChannel& dirty);
  // The number of channels in the queue.
  size_t waiting_count() const { return dirty_.size(); }
  // The number of dirty channels, including those that were taken.
  size_t dirty_count() const;
  // Returns whether all publications of this lane's service that were received up to `time` have
  // been queued on the link.
  bool IsRepairedUpTo(uint32_t lane, absl::Duration time) const;

  // ---- deferred subscribes

  void Defer(SubscribeRequest request);
  // Defers a subscribe that was taken and cannot be answered before something else has changed.
  void DeferAgain(SubscribeRequest request) { deferred_.push_back(std::move(request)); }
  // Begins a round over the deferred subscribes, and returns their number.
  size_t BeginDeferred();
  // Takes the subscribe that has waited longest.  Returns false if there is none, or while held.
  bool NextDeferred(SubscribeRequest* request);
  size_t deferred_count() const { return deferred_.size(); }

  // Forgets the channels and subscribes in the queues.
  void Clear();

  // ---- whose turn it is

  // Returns whether there is work: a dirty channel waits, or a deferred subscribe that can perhaps
  // be answered now.  False while held.
  bool HasWork() const { return !held_ && (!dirty_.empty() || (untried_ && !deferred_.empty())); }
  // Returns whether a thread should call Begin().
  bool IsWanted() const { return !repairing_ && HasWork(); }
  // Returns false if another thread is repairing.  That thread will then do this work too.
  bool Begin();
  // Returns true if Begin() was refused meanwhile.  The caller must then go on repairing.
  bool End();

  // ---- the worker's interest, and since when it may have missed publications
  //
  // All times are to be compared with Publication::received_at().

  void SetHeld(bool held);
  bool held() const { return held_; }
  // Call when the worker begins to report all of its interest.  Holds the link.  If this is not the
  // attachment's first report, missed_since() becomes `unapplied_since`.
  void BeginSnapshot(absl::Duration unapplied_since);
  // The worker may have missed publications that were received since this time.  It matters for the
  // channels of which the worker reports no position.  InfiniteDuration: the worker is new and has
  // missed nothing.
  void SetMissedSince(absl::Duration since) { missed_since_ = since; }
  absl::Duration missed_since() const { return missed_since_; }
  // Returns since when there may be publications that the worker has not applied.  This is the
  // missed_since() of the worker's next attachment.  `oldest_unapplied` is
  // LinkQueue::OldestReceived().
  absl::Duration UnappliedSince(absl::Duration now, absl::Duration oldest_unapplied) const;

 private:
  std::multiset<absl::Duration>& SinceOf(uint32_t lane);

  std::deque<DirtyChannel> dirty_;  // without those that a thread has taken
  // By lane, DirtyChannel::since of all dirty channels, also of those that were taken.
  std::vector<std::multiset<absl::Duration>> since_;
  std::deque<SubscribeRequest> deferred_;
  bool untried_ = false;  // perhaps one of deferred_ can be answered now
  bool repairing_ = false;
  bool repair_again_ = false;  // Begin() was refused

  bool held_ = false;
  bool had_snapshot_ = false;
  absl::Duration missed_since_ = absl::InfiniteDuration();
};

}  // namespace fanwire::control
