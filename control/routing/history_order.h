// HistoryOrder knows which channel of a shard has the oldest publication in history, so that the
// oldest go first when history takes more memory than it may.
//
// It is a heap of the channels that have history.  Each entry has a time that is not later than the
// channel's oldest publication.  Publishing to a channel in the heap does not change its entry.  An
// entry whose oldest publication is gone keeps a time that is too early, until the entry comes to
// the top of the heap and is corrected.
//
// Threading: guarded by the shard.
// Ownership: borrows the channels.  Code that removes channels from the shard must rebuild the
//            order (Clear(), AddAgain(), EndAddAgain()) before it unlocks the shard.
// Cost:      16 bytes a channel.  Add() is O(1), because a channel's first publication is younger
//            than nearly all others; Drop() is O(log channels) for each publication; rebuilding is
//            O(1) for each channel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace fanwire::control {

struct ChannelState;

class HistoryOrder {
 public:
  static constexpr int64_t kNone = INT64_MAX;

  // Adds a channel that is not in the order and whose first publication has entered history.
  void Add(ChannelState* channel);
  // Returns a time, in nanoseconds of Clock::Now(), before which no publication in history was
  // received; kNone if history is empty.
  int64_t oldest() const { return heap_.empty() ? kNone : heap_.front().since; }
  // Drops up to `most` publications, the oldest first, but none that was received after `until`.
  // Returns how many.
  size_t Drop(int64_t until, size_t most);

  // Rebuilds the order: call Clear(), then AddAgain() for every channel of the shard, then
  // EndAddAgain().
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
