// Subscriptions keeps each worker's interest in channels and patterns, answers its sessions'
// subscribes, and sends from history the publications that could not be sent live (repair).
//
// A channel of a link is either live or dirty.  Live: every publication is queued when it is
// routed.  Dirty: the publications from `next_offset` on are read from history, a page at a time,
// when the link's queue has room; the page that reaches the head makes the channel live again.
// Routing and repair both hold the channel's lock, so that nothing is lost or sent twice.
//
// It implements LinkOwner: the links call it when their queues have room again, and when a
// publication has expired in their queues.
//
// Threading: safe from every thread.  Locks as Router does.
// Ownership: borrows directory, receipts, states and clock; shares the links.
// Cost:      ClearInterest(), BeginSnapshot() and EndSnapshot() visit every channel, with one shard
//            locked at a time.  Everything else is a lookup and, for recoveries, a page of history.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/strings/string_view.h"
#include "common/clock.h"
#include "control/links/subscribe.h"
#include "control/links/worker_link.h"
#include "control/routing/interest_view.h"

namespace fanwire::control {

class ChannelDirectory;
class ReceiptTracker;
class StateSource;

class Subscriptions : public LinkOwner {
 public:
  // `states` may be null: then no state follows an answer.
  static std::unique_ptr<Subscriptions> Make(ChannelDirectory* directory, ReceiptTracker* receipts,
                                             StateSource* states, const Clock* clock);

  // Adds or removes one channel or pattern that the worker wants.  A refused name still counts in
  // the link's interest digest, because the worker counts it too.
  virtual void AddInterest(const std::shared_ptr<WorkerLink>& link,
                           const InterestView& interest) = 0;
  virtual void RemoveInterest(const std::shared_ptr<WorkerLink>& link,
                              const InterestView& interest) = 0;
  // Forgets all interest of a link that has ended.
  virtual void ClearInterest(const std::shared_ptr<WorkerLink>& link) = 0;

  // A worker reports all of its interest between these two calls.  Until EndSnapshot() no
  // publication is sent on the link, so that those that the worker missed come before live ones.
  virtual void BeginSnapshot(const std::shared_ptr<WorkerLink>& link) = 0;
  virtual void EndSnapshot(const std::shared_ptr<WorkerLink>& link) = 0;

  // Call when a worker reports that it has subscribers of the channel and has applied it up to this
  // position.  Queues the publications that the worker missed, or a ChannelGap where history does
  // not hold them; its reason is "epoch_changed" if the epoch is not the channel's.
  virtual void Resume(const std::shared_ptr<WorkerLink>& link, absl::string_view service,
                      absl::string_view channel, absl::string_view epoch, int64_t offset) = 0;

  // Answers a subscribe.  Queues the answer on the link at once, or later if the channel must be
  // repaired first or the queue has no room.
  virtual void Subscribe(const std::shared_ptr<WorkerLink>& link, SubscribeRequest request) = 0;
};

}  // namespace fanwire::control
