// ChannelLog keeps one channel in memory: epoch, offsets and the recent publications, in a ring.
//
// Threading: guarded by Router's channel lock; MemoryBudget is shared and atomic.
// Cost:      an append is O(1) amortised; 8 bytes a publication beside the publication itself, the
//            first four of them always.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "control/config/history_policy.h"
#include "control/engine/engine.h"

namespace fanwire::control {

// What all logs of one engine share.
struct MemoryBudget {
  explicit MemoryBudget(int64_t limit) : max_bytes(limit) {}

  const int64_t max_bytes;
  std::atomic<int64_t> used{0};
};

class ChannelLog final : public EngineChannel {
 public:
  ChannelLog(const HistoryPolicy& policy, MemoryBudget* budget);
  ~ChannelLog() override;

  // Gives `publication` the next offset and keeps it.  While the budget is exceeded the channel
  // gives up its own oldest ones; what other channels hold goes with Router's next sweep.
  void Append(const PublicationPtr& publication, absl::Duration now);

  Position head() const override { return {epoch_, head_}; }
  HistoryState Describe(absl::Duration now) override;
  const HistoryPolicy& policy() const override { return policy_; }
  void SetPolicy(const HistoryPolicy& policy, absl::Duration now) override;
  ReadOutcome ReadAfter(int64_t after, int64_t until, size_t max_bytes, absl::Duration now,
                        std::vector<PublicationPtr>* page,
                        absl::FunctionRef<EngineCallback()> make_ready) override;
  int64_t FirstSince(absl::Duration received) const override;
  bool Trim(absl::Duration now) override;
  absl::Duration oldest_received_at() const override;
  void DropOldest() override;

 private:
  static constexpr size_t kFirstRing = 4;
  // A short one lies in the log itself, which an append has at hand.
  using Ring = absl::InlinedVector<PublicationPtr, kFirstRing>;

  const PublicationPtr& At(size_t i) const { return ring_[(first_ + i) & (ring_.size() - 1)]; }
  // Whether the oldest, which there is, has outlived the policy's time.
  bool TooOld(absl::Duration now) const { return At(0)->received_at() + policy_.ttl <= now; }
  // Drops those that have.
  void DropOld(absl::Duration now);
  int64_t oldest_offset() const { return head_ - static_cast<int64_t>(count_) + 1; }
  void Grow();

  MemoryBudget* const budget_;
  const Epoch epoch_;
  HistoryPolicy policy_;
  int64_t head_ = 0;
  int64_t bytes_ = 0;
  // As long as a power of two, or empty; `count_` entries from `first_` on are the offsets up to
  // `head_`.
  Ring ring_;
  size_t first_ = 0;
  size_t count_ = 0;
};

}  // namespace fanwire::control
