// Backlog holds the publications that wait for one session, because its client reads too slowly or
// because a confirmation must be sent first.  It applies the backlog policies and remembers which
// skip notices are due.
//
// Threading: loop-confined.
// Ownership: shares frames and channels; borrows tracks.
// Cost:      72 bytes an item; nothing exists for a session without a backlog.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "fanout/channel.h"
#include "fanout/counts.h"
#include "fanout/net/frame.h"
#include "proto/policies.h"

namespace fanwire::fanout {

class Backlog {
 public:
  enum class Kind : uint8_t {
    kEvent,      // a live publication: counted in the ledger
    kRecovered,  // by recovery
    kNotice,     // the worker's own
  };

  struct Item {
    FramePtr frame = {};
    ChannelRef channel = {};
    int64_t offset = 0;
    uint64_t conflate_key = 0;
    absl::Duration expires_at = absl::InfiniteDuration();
    Track* track = nullptr;
    Kind kind = Kind::kEvent;
  };

  // Called for an item that leaves without being sent.
  using Dropped = absl::FunctionRef<void(const Item& item, DropReason reason)>;

  enum class PushOutcome {
    kKept,
    kTooSlow,  // over the budget, and the policy closes; the item was not taken
  };

  // Appends an item, whatever the budget.
  void Append(Item item);

  // Appends an item by its channel's policy; `budget` bounds bytes().
  PushOutcome Push(Item item, size_t budget, Dropped dropped);

  // How many skipped stretches of one channel are kept apart; of more, the oldest are merged.
  static constexpr size_t kMaxStretches = 64;

  // Publications `from` to `to` of the channel will not be sent: a notice becomes due, which is
  // sent before the channel's next event.  One notice covers all positions skipped between two
  // events and none of these events, unless stretches had to be merged.  `reason` is a literal.
  void Skip(const ChannelRef& channel, int64_t from, int64_t to, const char* reason);

  // Takes items from the front until their frames exceed `max_bytes`, with the notices that are due
  // before them; with the last item all remaining notices.  Drops expired items.  `make_notice`
  // makes the frame of a notice.
  using MakeNotice = absl::FunctionRef<FramePtr(const Channel& channel, int64_t from, int64_t to,
                                                const char* reason)>;
  void Take(size_t max_bytes, absl::Duration now, std::vector<Item>* out, MakeNotice make_notice,
            absl::FunctionRef<void(const Item&)> expired);

  // Drops everything.
  void Clear(absl::FunctionRef<void(const Item&)> dropped);
  // Drops the items and notices of one channel.
  void ClearChannel(const Channel* channel, absl::FunctionRef<void(const Item&)> dropped);

  // The channels of which items or notices wait.
  std::vector<ChannelRef> Channels() const;

  // The first position of a channel that waits or that a due notice covers; 0: none.
  int64_t FirstOffset(const Channel* channel) const;

  // Whether no item waits; a notice may still be due.
  bool empty() const { return count_ == 0; }
  bool notices_due() const { return !skipped_.empty(); }
  size_t bytes() const { return bytes_; }
  size_t size() const { return count_; }

 private:
  struct Stretch {
    int64_t from = 0;
    int64_t to = 0;
    const char* reason = "";
  };
  struct Skipped {
    ChannelRef channel;
    absl::InlinedVector<Stretch, 1> stretches;  // ascending, not adjacent
  };

  using Key = std::pair<const Channel*, uint64_t>;

  // Makes `stretch` include the later one.
  static void Extend(Stretch* stretch, const Stretch& later);
  void PopFront();
  // Removes the item; its place stays as a hole.
  void Forget(Item* item);
  // Closes the holes and removes unused keys, when there are many.
  void Compact();
  // Drops the oldest item whose policy allows it.  Returns false if there is none.
  bool DropOldest(Dropped dropped);

  std::deque<Item> items_;  // those without a frame are holes
  uint64_t first_ = 0;      // number of items_.front()
  uint64_t droppable_ = 0;  // no item before this number may be dropped as the oldest
  size_t count_ = 0;        // holes not counted
  size_t bytes_ = 0;
  std::vector<Skipped> skipped_;
  // Where the newest item of each key is; for the policy `latest` alone.
  std::unique_ptr<absl::flat_hash_map<Key, uint64_t>> newest_;
};

}  // namespace fanwire::fanout
