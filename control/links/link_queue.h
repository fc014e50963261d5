// LinkQueue holds the items that wait to be sent to one worker, and the window: it counts the items
// that were sent and that the worker has not acknowledged yet.
//
// Items wait in the lanes of a FairQueue, one lane for each service, so that a flood on one service
// delays the others only by its equal share of the link.  Each lane may always use its equal part
// of the queue and of the window, even if the others fill the rest.
//
// Threading: guarded by WorkerLink's mutex.
// Cost:      Push() is O(1); TakeBatch() is O(1) an item, and O(lanes) an item while the window is
//            full.  OldestReceived() looks at every item.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "control/links/fair_queue.h"
#include "control/links/link_queue_item.h"

namespace fanwire::control {

class LinkQueue {
 public:
  // Only the bytes of envelopes are counted.
  struct Options {
    size_t max_queued_bytes = 64 << 20;
    size_t max_queued_items = 65536;
    size_t window_bytes = 8 << 20;
    size_t window_items = 16384;
  };

  // Limits of one batch.  The item that crosses kBatchBytes still belongs to the batch.
  static constexpr size_t kBatchItems = 256;
  static constexpr size_t kBatchBytes = 256 << 10;

  explicit LinkQueue(const Options& options) : options_(options) {}

  // ---- queueing

  // Returns whether there is no space for an item of `bytes`: the whole queue is over its bounds,
  // and the lane over its equal part.  Push() does not check this.
  bool IsFull(uint32_t lane, size_t bytes) const {
    if (queue_.size() < options_.max_queued_items &&
        queue_.bytes() + bytes <= options_.max_queued_bytes) [[likely]] {
      return false;
    }
    return LaneIsFull(lane, bytes);
  }
  // Returns whether at most a quarter of the queue is in use, so that repairs may go on.
  bool HasRoom() const {
    return queue_.bytes() <= options_.max_queued_bytes / 4 &&
           queue_.size() <= options_.max_queued_items / 4;
  }
  void Push(uint32_t lane, LinkQueueItem item) { queue_.Push(lane, std::move(item)); }
  // Drops the items that wait.  Sent items stay in the window until they are acknowledged.
  void Clear() { queue_.Clear(); }

  // ---- sending, one batch at a time

  // Returns whether an item waits that the window allows to be sent.
  bool CanTakeBatch() const;
  // Moves the items of the next batch to `items`, which must be empty.  Call FinishBatch() before
  // the next TakeBatch().
  void TakeBatch(std::vector<LinkQueueItem>* items);
  // Call when the batch is encoded.  `items` and `bytes` are the numbers that the worker will count
  // for the batch.  They may differ from the numbers taken, because expired publications are left
  // out and introductions of event names are added.
  void FinishBatch(uint64_t items, uint64_t bytes);
  // Call when the worker reports how many items and bytes it has applied since the link began.
  // Numbers below the previous ones, or above the numbers sent, are clamped to them.
  void Acknowledge(uint64_t items, uint64_t bytes);

  // Returns when the earliest of the publications that wait or are not acknowledged was received;
  // InfiniteDuration if there is none.
  absl::Duration OldestReceived() const;

  size_t queued_items() const { return queue_.size(); }
  size_t queued_bytes() const { return queue_.bytes(); }
  uint64_t sent_items() const { return sent_items_; }
  uint64_t in_flight_items() const { return sent_items_ - acked_items_; }
  uint64_t in_flight_bytes() const { return sent_bytes_ - acked_bytes_; }

 private:
  // The items that a batch took from one lane.
  struct LaneShare {
    uint32_t lane = 0;
    uint64_t items = 0;
    uint64_t bytes = 0;
  };
  struct Batch {
    uint64_t end = kOpen;  // sent_items_ after this batch
    // When the earliest publication of the batch was received; InfiniteDuration if it has none.
    absl::Duration received = absl::InfiniteDuration();
    std::vector<LaneShare> shares;
  };
  static constexpr uint64_t kOpen = UINT64_MAX;  // taken, not finished

  bool LaneIsFull(uint32_t lane, size_t bytes) const;
  // Returns whether the window allows items of the lane to be sent.
  bool MayLeave(uint32_t lane) const;
  // Counts an item of the lane as taken into `batch`.
  void CountTaken(uint32_t lane, size_t bytes, Batch* batch);
  // Removes the completely acknowledged batches from unacked_.
  void ForgetAcknowledged();

  const Options options_;
  FairQueue<LinkQueueItem> queue_;
  // Counts since the link began, in the worker's way of counting.
  uint64_t sent_items_ = 0;
  uint64_t sent_bytes_ = 0;
  uint64_t acked_items_ = 0;
  uint64_t acked_bytes_ = 0;
  std::deque<Batch> unacked_;              // in the order of sending; the last may be kOpen
  std::vector<LaneShare> lane_in_flight_;  // for each lane, the sum of its shares in unacked_
};

}  // namespace fanwire::control
