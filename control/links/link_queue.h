// LinkQueue holds what waits to be sent to one worker, and counts what the worker has not
// acknowledged yet (the window).
//
// Items wait in the lanes of a FairQueue, one lane for each service, so that a flood on one service
// delays the others by its share of the link alone.  Each lane may fill its equal part of the queue
// and of the window, whatever the other lanes do.
//
// Threading: none; its user's lock.
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
  // Bytes are those of envelopes.
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

  // ---- waiting

  // Whether an item of `bytes` finds no space: the queue is over its bounds, and so is the lane's
  // equal part of it.  Push() does not ask.
  bool IsFull(uint32_t lane, size_t bytes) const {
    if (queue_.size() < options_.max_queued_items &&
        queue_.bytes() + bytes <= options_.max_queued_bytes) [[likely]] {
      return false;
    }
    return LaneIsFull(lane, bytes);
  }
  // Whether at most a quarter of the queue is in use, so that repairs may go on.
  bool HasRoom() const {
    return queue_.bytes() <= options_.max_queued_bytes / 4 &&
           queue_.size() <= options_.max_queued_items / 4;
  }
  void Push(uint32_t lane, LinkQueueItem item) { queue_.Push(lane, std::move(item)); }
  // Forgets what waits.  What was sent stays in the window until it is acknowledged.
  void Clear() { queue_.Clear(); }

  // ---- sending, one batch at a time

  // Whether something waits that the window lets out.
  bool CanTakeBatch() const;
  // Appends the items of the next batch to `items`, which is empty.  FinishBatch() follows before
  // the next TakeBatch().
  void TakeBatch(std::vector<LinkQueueItem>* items);
  // The batch is encoded.  `items` and `bytes` are what the worker will count for it; they may
  // differ from what was taken, because publications expire and event names are items too.
  void FinishBatch(uint64_t items, uint64_t bytes);
  // The worker has applied so many items and bytes since the link began.  Numbers lower than the
  // last ones, or higher than what was sent, count as these.
  void Acknowledge(uint64_t items, uint64_t bytes);

  // When the earliest publication that waits or is not acknowledged was received;
  // InfiniteDuration if there is none.
  absl::Duration OldestReceived() const;

  size_t queued_items() const { return queue_.size(); }
  size_t queued_bytes() const { return queue_.bytes(); }
  uint64_t sent_items() const { return sent_items_; }
  uint64_t in_flight_items() const { return sent_items_ - acked_items_; }
  uint64_t in_flight_bytes() const { return sent_bytes_ - acked_bytes_; }

 private:
  // What was taken out of one lane.
  struct LaneShare {
    uint32_t lane = 0;
    uint64_t items = 0;
    uint64_t bytes = 0;
  };
  struct Batch {
    uint64_t end = kOpen;  // sent_items_ behind this batch
    // When the earliest publication of the batch was received; infinite: it has none.
    absl::Duration received = absl::InfiniteDuration();
    std::vector<LaneShare> shares;
  };
  static constexpr uint64_t kOpen = UINT64_MAX;  // taken, not finished

  bool LaneIsFull(uint32_t lane, size_t bytes) const;
  // Whether the window lets something of the lane out.
  bool MayLeave(uint32_t lane) const;
  // Counts an item of the lane as taken into `batch`.
  void CountTaken(uint32_t lane, size_t bytes, Batch* batch);
  // Drops the batches that are acknowledged as a whole.
  void ForgetAcknowledged();

  const Options options_;
  FairQueue<LinkQueueItem> queue_;
  // Since the link began, as the worker counts.
  uint64_t sent_items_ = 0;
  uint64_t sent_bytes_ = 0;
  uint64_t acked_items_ = 0;
  uint64_t acked_bytes_ = 0;
  std::deque<Batch> unacked_;              // in the order of sending; the last may be open
  std::vector<LaneShare> lane_in_flight_;  // sums of unacked_ by lane; the index is the lane
};

}  // namespace fanwire::control
