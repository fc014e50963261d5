// FanOut queues publications that have their place in a channel on the links of the workers that
// want the channel, and shows them to observers.
//
// Threading: the shards of the channels must be locked.  Lock order: shards, then PatternTable,
//            then WorkerLink.
// Ownership: borrows directory and tracker.
// Cost:      a queue entry for each worker with interest.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "control/events/delivery_counts.h"
#include "control/events/publication.h"
#include "control/routing/channel_state.h"
#include "control/routing/wake_list.h"

namespace fanwire::control {

class ChannelDirectory;
class ReceiptTracker;

// One copy of an event: the origin or a mirror.
struct RoutedCopy {
  size_t shard = 0;  // index of its channel's shard
  std::shared_ptr<ChannelState> channel;
  PublicationPtr publication;
};

class FanOut {
 public:
  FanOut(ChannelDirectory* directory, ReceiptTracker* tracker)
      : directory_(directory), tracker_(tracker) {}

  // Queues the copy on every link that wants its channel.  Counts the workers in `delivery`, which
  // may be null.
  void Route(const RoutedCopy& copy, WakeList* wakes, DeliveryCounts* delivery);

  // Routes a publication that is new to this control, and shows it to observers.
  void RouteNew(const RoutedCopy& copy, bool mirror, WakeList* wakes, DeliveryCounts* delivery);

  // Routes an event that was accepted here: its origin, then its mirrors.
  void RouteAccepted(const std::vector<RoutedCopy>& copies, WakeList* wakes,
                     DeliveryCounts* delivery);

 private:
  ChannelDirectory* const directory_;
  ReceiptTracker* const tracker_;
};

}  // namespace fanwire::control
