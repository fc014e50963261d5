#include "control/engine/history_cache.h"

#include <utility>

#include "control/engine/disk_channel.h"

namespace fanwire::control {

namespace {

// So many entries may have left their channel's memory before they are looked for.
constexpr size_t kStaleEntries = 1024;

}  // namespace

HistoryCache::~HistoryCache() = default;

void HistoryCache::Add(DiskChannel* channel, int64_t offset) {
  entries_.push_back({.channel = IntrusivePtr<DiskChannel>(channel), .offset = offset});
  while (!entries_.empty() && use_.bytes.load(std::memory_order_relaxed) > max_bytes_) {
    entries_.front().channel->DropCached(entries_.front().offset);
    entries_.pop_front();
  }
  const auto kept = static_cast<size_t>(use_.publications.load(std::memory_order_relaxed));
  if (entries_.size() <= 2 * kept + kStaleEntries) return;
  std::erase_if(entries_,
                [](const Entry& entry) { return !entry.channel->IsCached(entry.offset); });
}

}  // namespace fanwire::control
