// IdempotencyWindow remembers what became of recent publications that had a key, so that a retry
// publishes nothing twice.  There is one per service.
//
// A key is claimed before its event is published and settled when the receipt is known.  Who comes
// with the same key in between waits and gets the same answer.
//
// Threading: safe from every thread; keys are spread over several mutexes, all leaves.
// Cost:      one hash lookup; bounded by time and by count, the oldest go first.
#pragma once

#include <array>
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
    kNew,      // the caller publishes, then calls Settle() or Release()
    kSettled,  // `outcome` and `id` are what it became
    kWaiting,  // another is publishing it; the waiter is in the list
  };

  IdempotencyWindow(absl::Duration window, uint32_t max_keys);

  // `outcome->id` refers to `*id`.
  Claim Begin(absl::string_view key, absl::Duration now, const Waiter& waiter,
              PublishOutcome* outcome, std::string* id);

  // The receipt is known: later claims get it until the window has passed.  Returns who waits.
  std::vector<Waiter> Settle(absl::string_view key, const PublishOutcome& outcome,
                             absl::Duration now);
  // The event was refused: the key is free again.  Returns who waits.
  std::vector<Waiter> Release(absl::string_view key);

  // Forgets what is too old.
  void Expire(absl::Duration now);

  int64_t size() const;

 private:
  static constexpr size_t kMaxParts = 16;

  struct Entry {
    bool settled = false;
    std::string id;
    Position position;
    ReceiptLevel level = ReceiptLevel::kAccepted;
    bool timed_out = false;
    StageTimesUs stages;
    std::unique_ptr<DeliveryCounts> delivery;  // for kRouted and kWritten
    std::vector<Waiter> waiters;
  };

  struct Part {
    mutable Mutex mu;
    absl::flat_hash_map<std::string, Entry> entries ABSL_GUARDED_BY(mu);
    // Settled keys, oldest first.
    std::deque<std::pair<absl::Duration, std::string>> order ABSL_GUARDED_BY(mu);
  };

  Part& PartOf(absl::string_view key);
  void ExpirePart(Part* part, absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(part->mu);

  const absl::Duration window_;
  const size_t parts_in_use_;
  const size_t max_keys_per_part_;
  std::array<Part, kMaxParts> parts_;
};

}  // namespace fanwire::control
