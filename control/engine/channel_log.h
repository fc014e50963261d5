// ChannelLog keeps one channel in memory: its epoch, its offsets, and a ring of recent
// publications.
//
// A log that holds publications counts all of its memory in the budget: the publications, the ring,
// the log itself, and the channel's state.  An empty log counts nothing.
//
// Threading: guarded by the channel's shard; MemoryBudget is shared and atomic.
// Cost:      an append is O(1) amortised.  The ring takes 8 bytes for each publication, and always
//            has room for four.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "control/config/history_policy.h"
#include "control/engine/engine.h"

namespace fanwire::control {

// The memory that all logs of one engine together use and may use.
struct MemoryBudget {
  explicit MemoryBudget(int64_t limit) : max_bytes(limit) {}

  const int64_t max_bytes;
  std::atomic<int64_t> used{0};
};

class ChannelLog final : public EngineChannel {
 public:
  ChannelLog(const HistoryPolicy& policy, MemoryBudget* budget);
  ~ChannelLog() override;

  // Gives `publication` the next offset and keeps it, even if the budget is exceeded.
  // ChannelDirectory then drops the oldest publications of all channels.
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
  // A short ring is stored inside the log, so that an append touches no other memory.
  using Ring = absl::InlinedVector<PublicationPtr, kFirstRing>;

  const PublicationPtr& At(size_t i) const { return ring_[(first_ + i) & (ring_.size() - 1)]; }
  // Returns whether the oldest publication is older than the policy allows.  The ring must not be
  // empty.
  bool TooOld(absl::Duration now) const { return At(0)->received_at() + policy_.ttl <= now; }
  // Drops all publications that are too old.  Returns the bytes that Count() is to give back.
  int64_t DropOld(absl::Duration now);
  // DropOldest() without Count().
  int64_t TakeOldest();
  int64_t oldest_offset() const { return head_ - static_cast<int64_t>(count_) + 1; }
  // Moves the publications into a ring of another size, a power of two.
  void Resize(size_t size);
  // Adds `bytes` to the memory counted in the budget; negative when memory is freed.  All threads
  // that publish write to one budget, so an append counts once.
  void Count(int64_t bytes);

  MemoryBudget* const budget_;
  const Epoch epoch_;
  HistoryPolicy policy_;
  int64_t head_ = 0;
  int64_t bytes_ = 0;    // of publications
  int64_t counted_ = 0;  // this log's part of MemoryBudget::used
  // The size is a power of two, or 0.  The `count_` entries from `first_` on have the offsets up to
  // `head_`.
  Ring ring_;
  size_t first_ = 0;
  size_t count_ = 0;
};

}  // namespace fanwire::control
