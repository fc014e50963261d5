// Subscriptions brings each worker what it wants: its interest in channels and patterns, the
// answers to its sessions' subscribes, and, from history, whatever could not be sent live.
//
// A channel of a link is either live (every publication is queued as it is routed) or dirty (from
// `next_offset` on it is read from history, a page at a time, as the link's queue has room; once
// the page reaches the head the channel is live again).  Both happen under the channel's lock, so
// that nothing is lost or sent twice between them.
//
// It is the owner of the links: they call it when their queues have room again, and when a
// publication has expired in them.
//
// Threading: safe from every thread.  Locks as Router does.
// Ownership: borrows directory, receipts and clock; shares the links.
// Cost:      ClearInterest() and both ends of a snapshot visit every channel, a shard locked at a
//            time; all else is a lookup and, for recoveries, a page of history.
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

class Subscriptions : public LinkOwner {
 public:
  static std::unique_ptr<Subscriptions> Make(ChannelDirectory* directory, ReceiptTracker* receipts,
                                             const Clock* clock);

  virtual void AddInterest(const std::shared_ptr<WorkerLink>& link,
                           const InterestView& interest) = 0;
  virtual void RemoveInterest(const std::shared_ptr<WorkerLink>& link,
                              const InterestView& interest) = 0;
  // Forgets all interest of a link that has ended.
  virtual void ClearInterest(const std::shared_ptr<WorkerLink>& link) = 0;

  // A worker tells all of its interest between these two.  Until the end nothing is sent on
  // channels, so that what the worker missed comes before what is live.
  virtual void BeginSnapshot(const std::shared_ptr<WorkerLink>& link) = 0;
  virtual void EndSnapshot(const std::shared_ptr<WorkerLink>& link) = 0;

  // The worker has applied the channel up to this position and has subscribers: queues what it
  // missed, or a ChannelGap, whose reason is "epoch_changed" if the epoch is not the channel's.
  virtual void Resume(const std::shared_ptr<WorkerLink>& link, absl::string_view service,
                      absl::string_view channel, absl::string_view epoch, int64_t offset) = 0;

  // Queues the answer on the link, now or when the channel is repaired and the queue has room.
  virtual void Subscribe(const std::shared_ptr<WorkerLink>& link, SubscribeRequest request) = 0;
};

}  // namespace fanwire::control
