// LinkRepair remembers what one worker must still be sent from history: the dirty channels, whose
// live publications found the link's queue full, and the subscribes that wait for their answers.
// It also remembers since when the worker may have missed publications.
//
// A dirty channel waits in a queue until a thread takes it (NextDirty()).  From then on that
// thread, or the engine while it fetches history, owes either MarkDirtyAgain() or Finish(); until
// then the channel counts as dirty, although it waits in no queue.
//
// While a worker tells its interest, its link is held: nothing is taken to be repaired.
//
// Threading: none; its user's lock.  One thread repairs at a time, between Begin() and End(); a
//            fetch may end at any time.
// Ownership: shares the channels with Router, and never looks into them.
// Cost:      O(log dirty channels) for a dirty channel, O(1) for all else.
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

// A channel of which a worker misses publications.
struct DirtyChannel {
  std::shared_ptr<ChannelState> channel;
  uint32_t lane = 0;  // its service's
  // Nothing that the worker misses of it was received before.
  absl::Duration since;
};

class LinkRepair {
 public:
  // ---- dirty channels

  // The channel must be repaired from history.
  void MarkDirty(DirtyChannel dirty);
  // Takes the channel that has waited longest; its `channel` is null if there is none, or while
  // held.
  DirtyChannel NextDirty();
  // A channel that was taken waits once more, and misses only what was received since `since`.
  void MarkDirtyAgain(DirtyChannel dirty, absl::Duration since);
  // All that the worker missed of a channel that was taken is queued, or not wanted any more.
  void Finish(const DirtyChannel& dirty);
  // Channels that wait to be taken.
  size_t waiting_count() const { return dirty_.size(); }
  // Dirty channels, those that were taken among them.
  size_t dirty_count() const;
  // Whether all that was received up to `time` for the service of this lane has been queued.
  bool IsRepairedUpTo(uint32_t lane, absl::Duration time) const;

  // ---- subscribes that wait

  void Defer(SubscribeRequest request);
  // A subscribe that was taken cannot be answered before something else has changed.
  void DeferAgain(SubscribeRequest request) { deferred_.push_back(std::move(request)); }
  // Begins a round over all that wait, and returns their number.
  size_t BeginDeferred();
  // Takes the subscribe that has waited longest; false if there is none, or while held.
  bool NextDeferred(SubscribeRequest* request);
  size_t deferred_count() const { return deferred_.size(); }

  // Forgets the channels and subscribes that wait.
  void Clear();

  // ---- whose turn it is

  // Whether there is something to try: a channel waits, or a subscribe that was not tried since the
  // last change.
  bool HasWork() const { return !held_ && (!dirty_.empty() || (untried_ && !deferred_.empty())); }
  // Whether a thread should begin to repair.
  bool IsWanted() const { return !repairing_ && HasWork(); }
  // Returns false if another thread repairs.  That thread then does this one's work too.
  bool Begin();
  // Returns whether Begin() was refused meanwhile: the caller goes on repairing.
  bool End();

  // ---- the worker's interest, and since when it may have missed publications
  //
  // Times compare with Publication::received_at().

  void SetHeld(bool held);
  bool held() const { return held_; }
  // The worker is about to tell all its interest: holds.  If it has done so before, what it has not
  // applied since `unapplied_since` counts as missed.
  void BeginSnapshot(absl::Duration unapplied_since);
  // What was received since then may be missed, of channels that the worker wants and knows no
  // position of.  InfiniteDuration: nothing, because the worker is new.
  void SetMissedSince(absl::Duration since) { missed_since_ = since; }
  absl::Duration missed_since() const { return missed_since_; }
  // Since when publications may not have been applied: the missed_since() of the worker's next
  // attachment.  `oldest_unapplied` is LinkQueue::OldestReceived().
  absl::Duration UnappliedSince(absl::Duration now, absl::Duration oldest_unapplied) const;

 private:
  std::multiset<absl::Duration>& SinceOf(uint32_t lane);

  std::deque<DirtyChannel> dirty_;  // that wait
  // DirtyChannel::since of all that are dirty, by lane.
  std::vector<std::multiset<absl::Duration>> since_;
  std::deque<SubscribeRequest> deferred_;
  bool untried_ = false;  // some of deferred_ may be answered now
  bool repairing_ = false;
  bool repair_again_ = false;  // Begin() was refused

  bool held_ = false;
  bool had_snapshot_ = false;
  absl::Duration missed_since_ = absl::InfiniteDuration();
};

}  // namespace fanwire::control
