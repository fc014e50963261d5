#include "control/engine/disk_channel.h"

#include <algorithm>
#include <utility>

namespace fanwire::control {

namespace {

// Clock slack.  The times of reception may be out of order by up to 1 s.
constexpr absl::Duration kReceptionSlack = absl::Seconds(1);

// A sample is taken after so many publications, or so much time.
constexpr int64_t kSampleOffsets = 64;
constexpr absl::Duration kSampleTime = absl::Seconds(1);
// With so many samples, every second one is dropped.
constexpr size_t kMaxSamples = 128;

constexpr size_t kFirstRecent = 4;

}  // namespace

DiskChannel::DiskChannel(std::string name, const HistoryPolicy& policy, CacheUse* cache)
    : name_(std::move(name)), cache_(cache), policy_(policy) {}

DiskChannel::~DiskChannel() {
  MutexLock lock(&mu_);
  DropRecentBelow(head_ + 1);
}

void DiskChannel::Open(const Known& known, absl::Duration now) {
  MutexLock lock(&mu_);
  open_ = true;
  epoch_ = known.epoch;
  head_ = known.head;
  oldest_ = std::min(known.floor, known.head + 1);
  first_received_here_ = known.head + 1;
  opened_at_ = now;
  total_bytes_ = known.total_bytes;
  newest_ = known.newest;
  samples_ = {{.offset = oldest_,
               .newest = -absl::InfiniteDuration(),
               .bytes = std::min(known.floor_bytes, known.total_bytes)}};
  ApplyPolicy(now);
}

void DiskChannel::Close() {
  MutexLock lock(&mu_);
  open_ = false;
  announced.store(false, std::memory_order_relaxed);
  DropRecentBelow(head_ + 1);
  for (const std::shared_ptr<HistoryPage>& page : pages_) page->used = true;
  pages_.clear();
  samples_.clear();
  epoch_ = {};
  head_ = 0;
  oldest_ = 1;
  total_bytes_ = 0;
  newest_ = -absl::InfiniteDuration();
}

bool DiskChannel::is_open() const {
  MutexLock lock(&mu_);
  return open_;
}

Position DiskChannel::head() const {
  MutexLock lock(&mu_);
  return {epoch_, head_};
}

HistoryState DiskChannel::Describe(absl::Duration now) {
  MutexLock lock(&mu_);
  ApplyPolicy(now);
  HistoryState state{.head = {epoch_, head_}};
  if (empty()) return state;
  state.oldest_offset = oldest_;
  state.publications = head_ - oldest_ + 1;
  state.bytes = total_bytes_ - BytesBefore(oldest_);
  return state;
}

HistoryPolicy DiskChannel::policy() const {
  MutexLock lock(&mu_);
  return policy_;
}

void DiskChannel::SetPolicy(const HistoryPolicy& policy, absl::Duration now) {
  MutexLock lock(&mu_);
  policy_ = policy;
  ApplyPolicy(now);
}

bool DiskChannel::Trim(absl::Duration now) {
  MutexLock lock(&mu_);
  ApplyPolicy(now);
  return empty();
}

void DiskChannel::DropOldest() {
  MutexLock lock(&mu_);
  if (!empty()) RaiseOldest(oldest_ + 1);
}

int64_t DiskChannel::FirstSince(absl::Duration received) const {
  MutexLock lock(&mu_);
  if (empty() || newest_ < received) return head_ + 1;
  int64_t first = oldest_;
  for (const Sample& sample : samples_) {
    if (sample.newest >= received) break;
    first = std::max(first, sample.offset);
  }
  return first;
}

DiskChannel::Found DiskChannel::Read(int64_t after, int64_t until, size_t max_bytes,
                                     absl::Duration now, std::vector<PublicationPtr>* page) {
  if (after >= until) return Found::kRead;
  MutexLock lock(&mu_);
  ApplyPolicy(now);
  const int64_t first = after + 1;
  if (empty() || first < oldest_) return Found::kGone;
  if (first > head_) return Found::kRead;
  const bool recent = first >= first_recent();
  HistoryPage* const fetched = recent ? nullptr : PageWith(first);
  if (!recent && fetched == nullptr) return Found::kOnDisk;
  if (fetched != nullptr) fetched->used = true;
  const int64_t last = std::min({until, head_, recent ? head_ : fetched->last()});
  const auto at = [&](int64_t offset) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) -> const PublicationPtr& {
    return recent ? Recent(offset)
                  : fetched->publications[static_cast<size_t>(offset - fetched->first())];
  };
  // Samples tell only roughly what is too old.  The times of others may be out of order.
  const absl::Duration slack = first == oldest_ ? absl::ZeroDuration() : kReceptionSlack;
  int64_t offset = first;
  while (offset <= last && TooOld(*at(offset), now - slack)) ++offset;
  if (offset > first) {
    RaiseOldest(offset);
    return Found::kGone;
  }
  size_t bytes = 0;
  for (; offset <= last; ++offset) {
    const PublicationPtr& publication = at(offset);
    bytes += publication->envelope().size();
    if (bytes > max_bytes && offset > first) break;
    page->push_back(publication);
  }
  return Found::kRead;
}

void DiskChannel::Keep(const PublicationPtr& publication, int64_t stored_bytes, bool stored,
                       absl::Duration now) {
  MutexLock lock(&mu_);
  const int64_t offset = publication->offset();
  if (stored && !empty()) AddSample(publication->received_at());
  if (!stored) DropRecentBelow(head_ + 1);
  newest_ = std::max(newest_, publication->received_at());
  const bool was_empty = empty();
  const int64_t bytes_before = total_bytes_;
  total_bytes_ += stored_bytes;
  if (stored) {
    head_ = offset;
    if (was_empty) {
      oldest_ = offset;
      samples_ = {{.offset = offset, .newest = -absl::InfiniteDuration(), .bytes = bytes_before}};
    }
    PushRecent(publication);
  } else {
    head_ = offset;
    oldest_ = offset + 1;
    samples_.clear();
  }
  ApplyPolicy(now);
}

DiskChannel::Floor DiskChannel::FloorFor(int64_t head, absl::Duration now) {
  MutexLock lock(&mu_);
  ApplyPolicy(now);
  Floor floor{.offset = oldest_, .bytes = BytesBefore(oldest_), .policy = policy_};
  const int64_t by_size = head - static_cast<int64_t>(policy_.size) + 1;
  if (by_size > floor.offset) {
    floor.offset = by_size;
    floor.bytes = by_size > head_ ? total_bytes_ : BytesBefore(by_size);
  }
  return floor;
}

void DiskChannel::Skip(int64_t head) {
  MutexLock lock(&mu_);
  if (head <= head_) return;
  RaiseOldest(head_ + 1);
  head_ = head;
  oldest_ = head + 1;
}

bool DiskChannel::KeepInMemory(int64_t offset) {
  MutexLock lock(&mu_);
  if (offset >= first_recent()) return true;
  HistoryPage* const page = PageWith(offset);
  if (page != nullptr) page->used = false;
  return page != nullptr;
}

void DiskChannel::AddPage(const std::shared_ptr<HistoryPage>& page) {
  MutexLock lock(&mu_);
  page->used = forgotten_ || page->publications.front()->epoch() != epoch_;
  if (!page->used) pages_.push_back(page);
}

void DiskChannel::DropPage(const HistoryPage* page) {
  MutexLock lock(&mu_);
  std::erase_if(pages_, [page](const auto& own) { return own.get() == page; });
}

bool DiskChannel::IsUsed(const HistoryPage& page) const {
  MutexLock lock(&mu_);
  return page.used || page.last() < oldest_;
}

void DiskChannel::Lost(int64_t offset) {
  MutexLock lock(&mu_);
  RaiseOldest(std::min(offset, head_ + 1));
}

absl::Duration DiskChannel::ReceivedAt(int64_t offset, absl::Duration received) const {
  MutexLock lock(&mu_);
  absl::Duration earliest = offset >= first_received_here_ ? opened_at_ : -absl::InfiniteDuration();
  absl::Duration latest = newest_;
  for (const Sample& sample : samples_) {
    if (sample.offset > offset) {
      latest = std::min(latest, sample.newest);
      break;
    }
    earliest = std::max(earliest, sample.newest);
  }
  return std::min(std::max(received, earliest - kReceptionSlack), latest);
}

bool DiskChannel::IsCached(int64_t offset) const {
  MutexLock lock(&mu_);
  return offset >= first_recent() && offset <= head_;
}

void DiskChannel::DropCached(int64_t offset) {
  MutexLock lock(&mu_);
  DropRecentBelow(offset + 1);
}

void DiskChannel::Forget() {
  MutexLock lock(&mu_);
  forgotten_ = true;
  for (const std::shared_ptr<HistoryPage>& page : pages_) page->used = true;
  RaiseOldest(head_ + 1);
}

bool DiskChannel::forgotten() const {
  MutexLock lock(&mu_);
  return forgotten_;
}

int64_t DiskChannel::BytesBefore(int64_t offset) const {
  if (samples_.empty() || offset > head_) return total_bytes_;
  const auto next =
      std::upper_bound(samples_.begin(), samples_.end(), offset,
                       [](int64_t value, const Sample& sample) { return value < sample.offset; });
  if (next == samples_.begin()) return next->bytes;
  const Sample& before = *std::prev(next);
  const int64_t end = next == samples_.end() ? head_ + 1 : next->offset;
  const int64_t end_bytes = next == samples_.end() ? total_bytes_ : next->bytes;
  const double part =
      static_cast<double>(offset - before.offset) / static_cast<double>(end - before.offset);
  return before.bytes + static_cast<int64_t>(part * static_cast<double>(end_bytes - before.bytes));
}

void DiskChannel::RaiseOldest(int64_t offset) {
  if (offset <= oldest_) return;
  const int64_t bytes = BytesBefore(offset);
  oldest_ = offset;
  DropRecentBelow(offset);
  if (empty()) {
    samples_.clear();
    return;
  }
  auto next =
      std::upper_bound(samples_.begin(), samples_.end(), offset,
                       [](int64_t value, const Sample& sample) { return value < sample.offset; });
  if (next == samples_.begin()) return;
  --next;
  *next = {.offset = offset, .newest = next->newest, .bytes = bytes};
  samples_.erase(samples_.begin(), next);
}

void DiskChannel::ApplyPolicy(absl::Duration now) {
  if (empty()) return;
  RaiseOldest(head_ - static_cast<int64_t>(policy_.size) + 1);
  if (empty() || policy_.ttl == absl::InfiniteDuration()) return;
  if (newest_ + policy_.ttl <= now) return RaiseOldest(head_ + 1);
  // The first sample is at oldest_, so it tells nothing new.
  int64_t first = oldest_;
  for (size_t i = 1; i < samples_.size() && samples_[i].newest + policy_.ttl <= now; ++i) {
    first = samples_[i].offset;
  }
  RaiseOldest(first);
  while (!empty() && oldest_ >= first_recent() && TooOld(*Recent(oldest_), now)) {
    RaiseOldest(oldest_ + 1);
  }
}

bool DiskChannel::TooOld(const Publication& publication, absl::Duration now) const {
  return publication.received_at() + policy_.ttl <= now;
}

void DiskChannel::AddSample(absl::Duration received) {
  const Sample& last = samples_.back();
  const int64_t next = head_ + 1;
  if (next - last.offset < sample_step_ ||
      (next - last.offset < kSampleOffsets && received - newest_ < kSampleTime &&
       newest_ - last.newest < kSampleTime)) {
    return;
  }
  if (samples_.size() >= kMaxSamples) {
    // From now on as far apart as these are, so that none of them need be dropped soon.
    sample_step_ = (next - samples_.front().offset) / static_cast<int64_t>(kMaxSamples / 2);
    size_t kept = 1;
    for (size_t i = 2; i < samples_.size(); i += 2) samples_[kept++] = samples_[i];
    samples_.resize(kept);
  }
  samples_.push_back({.offset = next, .newest = newest_, .bytes = total_bytes_});
}

void DiskChannel::PushRecent(const PublicationPtr& publication) {
  if (recent_count_ == recent_.size()) ResizeRecent(std::max(kFirstRecent, recent_.size() * 2));
  recent_[(recent_first_ + recent_count_) & (recent_.size() - 1)] = publication;
  ++recent_count_;
  cache_->bytes.fetch_add(static_cast<int64_t>(publication->memory_bytes()),
                          std::memory_order_relaxed);
  cache_->publications.fetch_add(1, std::memory_order_relaxed);
}

void DiskChannel::DropRecentBelow(int64_t offset) {
  int64_t bytes = 0;
  int64_t dropped = 0;
  while (recent_count_ > 0 && recent_[recent_first_]->offset() < offset) {
    bytes += static_cast<int64_t>(recent_[recent_first_]->memory_bytes());
    recent_[recent_first_] = nullptr;
    recent_first_ = (recent_first_ + 1) & (recent_.size() - 1);
    --recent_count_;
    ++dropped;
  }
  if (dropped == 0) return;
  cache_->bytes.fetch_sub(bytes, std::memory_order_relaxed);
  cache_->publications.fetch_sub(dropped, std::memory_order_relaxed);
  if (recent_count_ == 0) {
    recent_ = {};
    recent_first_ = 0;
  } else if (recent_.size() > kFirstRecent && recent_count_ <= recent_.size() / 4) {
    ResizeRecent(recent_.size() / 2);
  }
}

void DiskChannel::ResizeRecent(size_t size) {
  std::vector<PublicationPtr> other(size);
  for (size_t i = 0; i < recent_count_; ++i) {
    other[i] = std::move(recent_[(recent_first_ + i) & (recent_.size() - 1)]);
  }
  recent_ = std::move(other);
  recent_first_ = 0;
}

HistoryPage* DiskChannel::PageWith(int64_t offset) const {
  for (const std::shared_ptr<HistoryPage>& page : pages_) {
    if (page->first() <= offset && offset <= page->last()) return page.get();
  }
  return nullptr;
}

}  // namespace fanwire::control
