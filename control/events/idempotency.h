// IdempotencyWindow remembers what became of recent publications that had a key, so that a retry
// publishes nothing twice.  There is one for each service.
//
// A caller claims a key before it publishes the event, and settles the key when the receipt is
// known.  Others that come with the same key and event in between wait and get the same answer.  A
// key that comes with another event is a conflict.
//
// A settled key is remembered for the window's time, unless more than max_keys are settled: then
// the oldest keys of the whole window are forgotten, and counted as evicted.
//
// Threading: safe from every thread.  Keys are spread over parts with a mutex each, all leaves;
//            one part is locked at a time.
// Cost:      one hash lookup.  While max_keys are settled, each further key costs a look at every
//            part's oldest key and the lock of one more part.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/mutex.h"
#include "control/events/delivery_counts.h"
#include "control/events/event.h"

namespace fanwire::control {

class IdempotencyWindow {
 public:
  // Somebody whose receipt is the same as another's.
  struct Waiter {
    ReceiptSink* sink = nullptr;
    uint64_t tag = 0;
  };

  enum class Claim {
    kNew,       // the caller publishes, then calls Settle() or Release()
    kSettled,   // `outcome` and `id` are what it became
    kWaiting,   // another is publishing it; the waiter is in the list
    kConflict,  // the key belongs to another event; `earlier_channel` is its channel
  };

  // The event of a key.
  struct Content {
    uint64_t fingerprint = 0;
    absl::string_view channel;
  };

  IdempotencyWindow(absl::Duration window, uint32_t max_keys);

  // `outcome->id` refers to `*id`.
  Claim Begin(absl::string_view key, const Content& content, absl::Duration now,
              const Waiter& waiter, PublishOutcome* outcome, std::string* id,
              std::string* earlier_channel);

  // The receipt is known: later claims get it until the window has passed.  Returns who waits.
  std::vector<Waiter> Settle(absl::string_view key, const PublishOutcome& outcome,
                             absl::Duration now);
  // The event was refused: the key is free again.  Returns who waits.
  std::vector<Waiter> Release(absl::string_view key);

  // A settled key that an engine has kept over a restart of control.
  struct Restored {
    std::string key;
    uint64_t fingerprint = 0;
    std::string channel = {};
    std::string id = {};
    Position position = {};
    absl::Duration settled = {};  // Clock::Now()
  };
  // Remembers it, unless it is too old.  Call it for the oldest key first, before the first
  // Begin().
  void Restore(const Restored& kept, absl::Duration now);

  // Forgets what is too old.
  void Expire(absl::Duration now);

  // Keys that are remembered, those under way included.
  int64_t size() const;

  // Keys that were forgotten before their time was over, because there were more than max_keys.
  int64_t evicted() const { return evicted_.load(std::memory_order_relaxed); }

  // The part of the keys with this hash.  It is chosen by the highest bits: the map in the part
  // finds its places by the lowest ones, which must stay different there.
  static size_t PartIndex(uint64_t hash) { return hash >> (64 - kPartBits); }

  static constexpr size_t kPartBits = 4;
  static constexpr size_t kParts = size_t{1} << kPartBits;

 private:
  static constexpr uint64_t kNoKey = UINT64_MAX;

  struct Entry {
    bool settled = false;
    uint32_t channel_bytes = 0;
    uint64_t fingerprint = 0;
    std::string texts;  // the channel, behind it the id when it is settled: one allocation
    Position position;
    ReceiptLevel level = ReceiptLevel::kAccepted;
    bool timed_out = false;
    StageTimesUs stages;
    std::unique_ptr<DeliveryCounts> delivery;  // for kRouted and kWritten
    std::vector<Waiter> waiters;

    absl::string_view channel() const { return absl::string_view(texts).substr(0, channel_bytes); }
    absl::string_view id() const { return absl::string_view(texts).substr(channel_bytes); }
  };

  struct Settled {
    uint64_t order;  // the lower, the older, over all parts
    absl::Duration at;
    std::string key;
  };

  struct Part {
    mutable Mutex mu;
    absl::flat_hash_map<std::string, Entry> entries ABSL_GUARDED_BY(mu);
    std::deque<Settled> settled ABSL_GUARDED_BY(mu);  // oldest first
    // Settled::order of the oldest key, or kNoKey.  Written under `mu`, read without it.
    std::atomic<uint64_t> oldest{kNoKey};
  };

  Part& PartOf(absl::string_view key);
  void ExpirePart(Part* part, absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(part->mu);
  // Forgets the part's oldest settled key.
  void PopOldest(Part* part) ABSL_EXCLUSIVE_LOCKS_REQUIRED(part->mu);
  // Forgets the window's oldest keys until no more than max_keys are settled.  No part is locked.
  void EvictOverflow(absl::Duration now);

  const absl::Duration window_;
  const int64_t max_keys_;
  std::array<Part, kParts> parts_;
  std::atomic<uint64_t> next_order_{0};
  // Settled keys of all parts.  A key is counted after it was added and taken off the count before
  // it is removed: the count never exceeds what there is, so that nobody evicts for a key that is
  // on its way out.
  std::atomic<int64_t> settled_{0};
  std::atomic<int64_t> evicted_{0};
};

}  // namespace fanwire::control
