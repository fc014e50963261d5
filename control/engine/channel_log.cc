#include "control/engine/channel_log.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "control/config/history_policy.h"

namespace fanwire::control {

namespace {

// Clock slack.  The times of reception may be out of order by up to 1 s.
constexpr absl::Duration kReceptionMargin = absl::Seconds(1);

// The allocator's own use of memory for a block, about.
constexpr int64_t kBlockBytes = 16;

// The memory that a publication takes in addition to Publication::memory_bytes(), and the memory
// that a log takes as soon as it holds a publication.
constexpr int64_t kPublicationBytes = kBlockBytes;
constexpr int64_t kHoldingBytes =
    static_cast<int64_t>(sizeof(ChannelLog)) + kBlockBytes + kChannelStateBytes;

}  // namespace

ChannelLog::ChannelLog(const HistoryPolicy& policy, MemoryBudget* budget)
    : budget_(budget), epoch_(Epoch::Random()), policy_(policy) {}

ChannelLog::~ChannelLog() { Count(-counted_); }

void ChannelLog::Count(int64_t bytes) {
  if (bytes == 0) return;
  counted_ += bytes;
  budget_->used.fetch_add(bytes, std::memory_order_relaxed);
}

void ChannelLog::Append(const PublicationPtr& publication, absl::Duration now) {
  if (count_ > 0) __builtin_prefetch(At(0).get());  // it will be dropped if the log is full
  publication->Seal(epoch_, ++head_);
  if (policy_.size == 0) return;
  // If the dropped publication is not too old, the younger ones are not either.  Then the next one
  // need not be read, which saves a cache miss.
  bool old = true;
  int64_t freed = 0;
  while (count_ >= policy_.size) {
    old = TooOld(now);
    freed += TakeOldest();
  }
  if (old) freed += DropOld(now);
  const auto bytes = static_cast<int64_t>(publication->memory_bytes());
  bytes_ += bytes;
  Count(bytes + kPublicationBytes + (count_ == 0 ? kHoldingBytes : 0) - freed);
  if (count_ == ring_.size()) Resize(std::max(kFirstRing, ring_.size() * 2));
  ring_[(first_ + count_) & (ring_.size() - 1)] = publication;
  ++count_;
}

HistoryState ChannelLog::Describe(absl::Duration now) {
  Trim(now);
  return {.head = head(),
          .oldest_offset = count_ == 0 ? 0 : oldest_offset(),
          .publications = static_cast<int64_t>(count_),
          .bytes = bytes_};
}

void ChannelLog::SetPolicy(const HistoryPolicy& policy, absl::Duration now) {
  policy_ = policy;
  while (count_ > policy_.size) DropOldest();
  Trim(now);
}

ReadOutcome ChannelLog::ReadAfter(int64_t after, int64_t until, size_t max_bytes,
                                  absl::Duration now, std::vector<PublicationPtr>* page,
                                  absl::FunctionRef<EngineCallback()> /*make_ready*/) {
  if (after >= until) return ReadOutcome::kOk;
  Trim(now);
  if (count_ == 0 || after + 1 < oldest_offset()) return ReadOutcome::kGone;
  size_t bytes = 0;
  const int64_t last = std::min(until, head_);
  for (int64_t offset = after + 1; offset <= last; ++offset) {
    const PublicationPtr& publication = At(static_cast<size_t>(offset - oldest_offset()));
    bytes += publication->envelope().size();
    if (bytes > max_bytes && offset > after + 1) break;
    page->push_back(publication);
  }
  return ReadOutcome::kOk;
}

int64_t ChannelLog::FirstSince(absl::Duration received) const {
  // Most channels have had no publication for long, so look at the newest one first.
  const absl::Duration before = received - kReceptionMargin;
  if (count_ == 0 || At(count_ - 1)->received_at() < before) return head_ + 1;
  size_t low = 0;
  size_t high = count_ - 1;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (At(middle)->received_at() < before) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  // All publications before `low` were received before `received`, even if times are out of order
  // by the margin.
  while (low < count_ && At(low)->received_at() < received) ++low;
  return oldest_offset() + static_cast<int64_t>(low);
}

bool ChannelLog::Trim(absl::Duration now) {
  Count(-DropOld(now));
  return count_ == 0;
}

absl::Duration ChannelLog::oldest_received_at() const {
  return count_ == 0 ? absl::InfiniteDuration() : At(0)->received_at();
}

int64_t ChannelLog::DropOld(absl::Duration now) {
  int64_t freed = 0;
  while (count_ > 0 && TooOld(now)) freed += TakeOldest();
  return freed;
}

void ChannelLog::DropOldest() { Count(-TakeOldest()); }

int64_t ChannelLog::TakeOldest() {
  FANWIRE_CHECK(count_ > 0);
  PublicationPtr& oldest = ring_[first_];
  const auto bytes = static_cast<int64_t>(oldest->memory_bytes());
  oldest = nullptr;
  bytes_ -= bytes;
  first_ = (first_ + 1) & (ring_.size() - 1);
  --count_;
  // A ring that has become much too long gives memory back.
  if (ring_.size() > kFirstRing && count_ <= ring_.size() / 4) Resize(ring_.size() / 2);
  return bytes + kPublicationBytes + (count_ == 0 ? kHoldingBytes : 0);
}

void ChannelLog::Resize(size_t size) {
  const auto bytes = [](size_t entries) {  // outside of the log
    return entries <= kFirstRing ? 0 : static_cast<int64_t>(entries * sizeof(PublicationPtr));
  };
  Count(bytes(size) - bytes(ring_.size()));
  Ring other(size);
  for (size_t i = 0; i < count_; ++i) {
    other[i] = std::move(ring_[(first_ + i) & (ring_.size() - 1)]);
  }
  ring_ = std::move(other);
  first_ = 0;
}

}  // namespace fanwire::control
