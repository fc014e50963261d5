#include "control/links/link_queue.h"

#include <algorithm>

#include "common/check.h"

namespace fanwire::control {

bool LinkQueue::LaneIsFull(uint32_t lane, size_t bytes) const {
  const size_t lanes = queue_.lanes() + (queue_.lane_size(lane) == 0 ? 1 : 0);
  return queue_.lane_size(lane) >= options_.max_queued_items / lanes ||
         queue_.lane_bytes(lane) + bytes > options_.max_queued_bytes / lanes;
}

bool LinkQueue::MayLeave(uint32_t lane) const {
  if (in_flight_items() < options_.window_items && in_flight_bytes() < options_.window_bytes) {
    return true;
  }
  // The window is full, but each lane that is in use may still use its equal part of it.
  if (lane >= lane_in_flight_.size()) return true;
  size_t lanes = 1;
  for (uint32_t other = 0; other < lane_in_flight_.size(); ++other) {
    if (other != lane && (lane_in_flight_[other].items > 0 || queue_.lane_size(other) > 0)) ++lanes;
  }
  return lane_in_flight_[lane].items < options_.window_items / lanes &&
         lane_in_flight_[lane].bytes < options_.window_bytes / lanes;
}

bool LinkQueue::CanTakeBatch() const {
  return queue_.AnyFor([this](uint32_t lane) { return MayLeave(lane); });
}

void LinkQueue::CountTaken(uint32_t lane, size_t bytes, Batch* batch) {
  if (lane_in_flight_.size() <= lane) lane_in_flight_.resize(lane + 1);
  ++lane_in_flight_[lane].items;
  lane_in_flight_[lane].bytes += bytes;
  std::vector<LaneShare>& shares = batch->shares;
  // The share of the lane whose turn it is stands last, where it is found at once.
  if (shares.empty() || shares.back().lane != lane) {
    const auto known = std::find_if(shares.begin(), shares.end(),
                                    [&](const LaneShare& share) { return share.lane == lane; });
    if (known == shares.end()) {
      shares.push_back({.lane = lane});
    } else {
      std::swap(*known, shares.back());
    }
  }
  ++shares.back().items;
  shares.back().bytes += bytes;
}

void LinkQueue::TakeBatch(std::vector<LinkQueueItem>* items) {
  Batch& batch = unacked_.emplace_back();
  size_t bytes = 0;
  const auto may_leave = [this](uint32_t lane) { return MayLeave(lane); };
  while (items->size() < kBatchItems && bytes < kBatchBytes) {
    uint32_t lane = 0;
    LinkQueueItem& item = items->emplace_back();
    if (!queue_.Pop(may_leave, &lane, &item)) {
      items->pop_back();
      break;
    }
    bytes += item.bytes;
    // Read the item's copy of received_at(), because the publication is in another core's cache.
    batch.received = std::min(batch.received, item.received);
    CountTaken(lane, item.bytes, &batch);
  }
}

void LinkQueue::FinishBatch(uint64_t items, uint64_t bytes) {
  FANWIRE_CHECK(!unacked_.empty() && unacked_.back().end == kOpen);
  sent_items_ += items;
  sent_bytes_ += bytes;
  unacked_.back().end = sent_items_;
  ForgetAcknowledged();  // a batch without items counts as acknowledged with the batch before it
}

void LinkQueue::Acknowledge(uint64_t items, uint64_t bytes) {
  // A faulty worker may acknowledge items that were never sent.  That must not open the window.
  acked_items_ = std::clamp(items, acked_items_, sent_items_);
  acked_bytes_ = std::clamp(bytes, acked_bytes_, sent_bytes_);
  ForgetAcknowledged();
}

void LinkQueue::ForgetAcknowledged() {
  while (!unacked_.empty() && unacked_.front().end <= acked_items_) {
    for (const LaneShare& share : unacked_.front().shares) {
      lane_in_flight_[share.lane].items -= share.items;
      lane_in_flight_[share.lane].bytes -= share.bytes;
    }
    unacked_.pop_front();
  }
}

absl::Duration LinkQueue::OldestReceived() const {
  absl::Duration oldest = absl::InfiniteDuration();
  for (const Batch& batch : unacked_) oldest = std::min(oldest, batch.received);
  // All items must be looked at: a repaired publication may wait behind younger ones of other
  // channels.
  queue_.ForEach([&](const LinkQueueItem& item) { oldest = std::min(oldest, item.received); });
  return oldest;
}

}  // namespace fanwire::control
