// HistoryCache bounds the memory of recent publications that the channels of one rocksdb engine
// keep, all channels together: over its bound the oldest publications go first, whatever channel
// they are of.
//
// Threading: Add() belongs to the writer's thread; bytes() is safe from every thread.
// Cost:      24 bytes for each publication that is kept, and amortised O(1).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>

#include "common/intrusive_ptr.h"

namespace fanwire::control {

class DiskChannel;

// How much all channels keep in memory.  The channels count it.
struct CacheUse {
  std::atomic<int64_t> bytes{0};
  std::atomic<int64_t> publications{0};
};

class HistoryCache {
 public:
  explicit HistoryCache(size_t max_bytes) : max_bytes_(static_cast<int64_t>(max_bytes)) {}
  ~HistoryCache();

  CacheUse* use() { return &use_; }

  // The channel has put the publication of this offset into its memory.
  void Add(DiskChannel* channel, int64_t offset);

 private:
  struct Entry {
    IntrusivePtr<DiskChannel> channel;
    int64_t offset;
  };

  const int64_t max_bytes_;
  CacheUse use_;
  // By age.  Some have left their channel's memory already.
  std::deque<Entry> entries_;
};

}  // namespace fanwire::control
