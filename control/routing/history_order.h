// HistoryOrder knows which channel of a shard has the oldest publication in history, so that the
// oldest go first when history takes more memory than it may.
//
// It is a heap of the channels that have history, each with a time before which nothing of it was
// received.  An append to a channel that is in the heap changes nothing: a channel's oldest
// publication only becomes younger, which is found out when the channel comes to the top.
//
// Threading: guarded by the shard.
// Ownership: borrows the channels.  Whoever forgets channels makes the order anew before the shard
//            is unlocked.
// Cost:      16 bytes a channel.  Add() is O(1), because a channel's first publication is younger
//            than nearly all others; Drop() is O(log channels) a publication; to make it anew is
//            O(1) a channel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace fanwire::control {

struct ChannelState;

class HistoryOrder {
 public:
  static constexpr int64_t kNone = INT64_MAX;

  // A channel that is not in the order has got history.
  void Add(ChannelState* channel);
  // Nothing in history was received before, in nanoseconds of Clock::Now().  kNone: there is
  // nothing.
  int64_t oldest() const { return heap_.empty() ? kNone : heap_.front().since; }
  // Drops up to `most` publications, the oldest first, but none that was received after `until`.
  // Returns how many.
  size_t Drop(int64_t until, size_t most);

  // Makes it anew: AddAgain() every channel of the shard between these two.
  void Clear() { heap_.clear(); }
  void AddAgain(ChannelState* channel);
  void EndAddAgain();

 private:
  struct Entry {
    int64_t since;
    ChannelState* channel;
    // The heap's top is the smallest.
    friend bool operator<(const Entry& a, const Entry& b) { return a.since > b.since; }
  };

  std::vector<Entry> heap_;
};

}  // namespace fanwire::control
