// LinkRepair remembers what one worker must still be sent from history: the dirty channels, whose
// live publications found the link's queue full, and the subscribes that wait for their answers.
// It also remembers since when the worker may have missed publications.
//
// While a worker tells its interest, its link is held: nothing is taken to be repaired.
//
// Threading: none; its user's lock.  One thread repairs at a time, between Begin() and End().
// Ownership: shares the channels with Router, and never looks into them.
// Cost:      O(1).
#pragma once

#include <cstddef>
#include <deque>
#include <memory>

#include "absl/time/time.h"
#include "control/links/subscribe.h"

namespace fanwire::control {

struct ChannelState;

class LinkRepair {
 public:
  // ---- what waits

  // The channel must be repaired from history.  `now` is Clock::Now().
  void MarkDirty(std::shared_ptr<ChannelState> channel, absl::Duration now);
  void Defer(SubscribeRequest request);
  // Takes the channel that has waited longest; null if there is none, or while held.
  std::shared_ptr<ChannelState> NextDirty();
  // Takes the subscribe that has waited longest; false if there is none, or while held.
  bool NextDeferred(SubscribeRequest* request);
  // Forgets the channels and subscribes that wait.
  void Clear();
  size_t dirty_count() const { return dirty_.size(); }
  size_t deferred_count() const { return deferred_.size(); }

  // ---- whose turn it is

  // Whether a thread should begin to repair: something waits, nobody repairs, and it is not held.
  bool IsWanted() const { return !held_ && !repairing_ && (!dirty_.empty() || !deferred_.empty()); }
  // Returns false if another thread repairs.  That thread then does this one's work too.
  bool Begin();
  // Returns whether Begin() was refused meanwhile: the caller goes on repairing.
  bool End();

  // ---- the worker's interest, and since when it may have missed publications
  //
  // Times compare with Publication::received_at().

  void SetHeld(bool held) { held_ = held; }
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
  std::deque<std::shared_ptr<ChannelState>> dirty_;
  std::deque<SubscribeRequest> deferred_;
  bool repairing_ = false;
  bool repair_again_ = false;  // Begin() was refused

  bool held_ = false;
  bool had_snapshot_ = false;
  absl::Duration missed_since_ = absl::InfiniteDuration();
  // Since when some channel has been dirty or being repaired; InfiniteDuration: none is.
  absl::Duration dirty_since_ = absl::InfiniteDuration();
};

}  // namespace fanwire::control
