#include "control/routing/history_order.h"

#include <algorithm>

#include "absl/time/time.h"
#include "control/routing/channel_state.h"

namespace fanwire::control {

namespace {

// Returns when the channel's oldest publication was received.
int64_t OldestOf(const ChannelState& channel) {
  if (channel.log == nullptr) return HistoryOrder::kNone;
  const absl::Duration received = channel.log->oldest_received_at();
  return received == absl::InfiniteDuration() ? HistoryOrder::kNone
                                              : absl::ToInt64Nanoseconds(received);
}

}  // namespace

void HistoryOrder::Add(ChannelState* channel) {
  const int64_t since = OldestOf(*channel);
  if (since == kNone) return;
  channel->in_history_order = true;
  heap_.push_back({.since = since, .channel = channel});
  std::push_heap(heap_.begin(), heap_.end());
}

size_t HistoryOrder::Drop(int64_t until, size_t most) {
  size_t dropped = 0;
  while (!heap_.empty() && heap_.front().since <= until && dropped < most) {
    std::pop_heap(heap_.begin(), heap_.end());
    Entry& entry = heap_.back();
    // Drop from this channel only while no other channel can have an older publication.
    const int64_t next = heap_.size() == 1 ? until : std::min(until, heap_.front().since);
    int64_t oldest = OldestOf(*entry.channel);
    while (oldest != kNone && oldest <= next && dropped < most) {
      entry.channel->log->DropOldest();
      ++dropped;
      oldest = OldestOf(*entry.channel);
    }
    if (oldest == kNone) {
      entry.channel->in_history_order = false;
      heap_.pop_back();
    } else {
      entry.since = oldest;
      std::push_heap(heap_.begin(), heap_.end());
    }
  }
  return dropped;
}

void HistoryOrder::AddAgain(ChannelState* channel) {
  const int64_t since = OldestOf(*channel);
  channel->in_history_order = since != kNone;
  if (since != kNone) heap_.push_back({.since = since, .channel = channel});
}

void HistoryOrder::EndAddAgain() { std::make_heap(heap_.begin(), heap_.end()); }

}  // namespace fanwire::control
