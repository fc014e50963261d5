#include "control/routing/fan_out.h"

#include "control/links/worker_link.h"
#include "control/routing/channel_directory.h"
#include "control/routing/channel_table.h"
#include "control/routing/receipt_tracker.h"

namespace fanwire::control {

void FanOut::RouteAccepted(const std::vector<RoutedCopy>& copies, WakeList* wakes,
                           DeliveryCounts* delivery) {
  for (size_t i = 0; i < copies.size(); ++i) RouteNew(copies[i], i > 0, wakes, delivery);
  constexpr auto kRelaxed = std::memory_order_relaxed;
  copies[0].channel->service->accepted.fetch_add(1, kRelaxed);
  if (copies.size() > 1) {
    copies[0].channel->service->mirrored.fetch_add(static_cast<int64_t>(copies.size() - 1),
                                                   kRelaxed);
  }
}

void FanOut::RouteNew(const RoutedCopy& copy, bool mirror, WakeList* wakes,
                      DeliveryCounts* delivery) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  ChannelState& channel = *copy.channel;
  directory_->RefreshPatterns(&channel);
  ++channel.publications;
  channel.last_published_us = copy.publication->received_us();
  if (copy.publication->offset() > 0) directory_->NoteHistory(copy.shard, &channel);
  Route(copy, wakes, delivery);
  for (PublicationObserver* observer : directory_->table().shard(copy.shard).observers) {
    observer->OnPublication({.service = channel.service->name,
                             .channel = channel.name,
                             .mirror = mirror,
                             .publication = copy.publication});
  }
}

void FanOut::Route(const RoutedCopy& copy, WakeList* wakes, DeliveryCounts* delivery) {
  ChannelState& channel = *copy.channel;
  const PublicationPtr& publication = copy.publication;
  const int64_t offset = publication->offset();
  if (offset > 0) {
    // It was in the history with which the channel was opened again, from where its links read it.
    if (offset <= channel.routed) [[unlikely]]
      return;
    channel.routed = offset;
  }
  for (ChannelLink& wanting : channel.links) {
    const uint64_t tracking_id = publication->tracking_id();
    if (wanting.dirty) {
      // A publication with a position will be read from history; one without is lost.
      if (offset == 0) {
        wanting.link->CountDropped();
        continue;
      }
      if (tracking_id != 0) tracker_->AddPart(tracking_id, wanting.link->id());
      if (delivery != nullptr) ++delivery->workers_total;
      continue;
    }
    ChannelDirectory::Introduce(channel, &wanting, offset > 0 ? offset - 1 : channel.routed);
    if (tracking_id != 0) tracker_->AddPart(tracking_id, wanting.link->id());
    switch (wanting.link->Deliver(wanting.handle, publication, /*repair=*/false)) {
      case LinkOffer::kQueued:
        wakes->Add(wanting.link);
        if (delivery != nullptr) ++delivery->workers_total;
        break;
      case LinkOffer::kFull:
        if (offset == 0) {
          wanting.link->CountDropped();
          if (tracking_id != 0) tracker_->RemovePart(tracking_id, wanting.link->id());
          break;
        }
        wanting.dirty = true;
        wanting.next_offset = offset;
        wanting.link->MarkDirty(copy.channel, channel.service->lane, publication->received_at());
        wakes->Add(wanting.link);
        if (delivery != nullptr) ++delivery->workers_total;
        break;
      case LinkOffer::kClosed:
        if (tracking_id != 0) tracker_->RemovePart(tracking_id, wanting.link->id());
        break;
    }
  }
}

}  // namespace fanwire::control
