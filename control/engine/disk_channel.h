// DiskChannel is one channel of the rocksdb or the redis engine in memory: its head, what its
// policy leaves of its history, recent publications, and pages that were fetched from the disk.
//
// History lies on the disk.  It reaches from `oldest` to the head, without holes; `oldest` only
// rises.  When publications were received is known of those in memory, and of samples: one about
// each 64 publications or each second, thinned out when there are many.  So what is too old may be
// seen a little late, but at the latest by the read that would return it.
//
// Threading: safe from every thread, by one mutex, which is a leaf.  `writing` belongs to the
//            writer's thread.
// Ownership: IntrusivePtr counts references: the engine's user, tasks, fetches, the cache.
// Cost:      about 500 bytes and at most 3 KB of samples, besides the publications.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/intrusive_ptr.h"
#include "common/mutex.h"
#include "control/config/history_policy.h"
#include "control/engine/engine.h"
#include "control/engine/history_cache.h"
#include "control/events/publication.h"

namespace fanwire::control {

// Publications of consecutive offsets that were fetched from the disk.
struct HistoryPage {
  std::vector<PublicationPtr> publications;  // not empty
  size_t bytes = 0;
  // Whether a read has had it.  Guarded by the channel's mutex.
  bool used = false;

  int64_t first() const { return publications.front()->offset(); }
  int64_t last() const { return publications.back()->offset(); }
};

class DiskChannel {
 public:
  DiskChannel(std::string name, const HistoryPolicy& policy, CacheUse* cache);
  DiskChannel(const DiskChannel&) = delete;
  DiskChannel& operator=(const DiskChannel&) = delete;

  // Service, a zero byte, channel.
  const std::string& name() const { return name_; }

  // What is known of the channel when it is opened.
  struct Known {
    Epoch epoch = {};
    int64_t head = 0;
    int64_t total_bytes = 0;
    int64_t floor = 1;
    int64_t floor_bytes = 0;
    absl::Duration newest = -absl::InfiniteDuration();  // when the newest was received
  };
  void Open(const Known& known, absl::Duration now);
  // Takes it back: the channel is not open until it is opened again, perhaps with another epoch.
  void Close();
  bool is_open() const;

  Position head() const;
  HistoryState Describe(absl::Duration now);
  HistoryPolicy policy() const;
  void SetPolicy(const HistoryPolicy& policy, absl::Duration now);
  bool Trim(absl::Duration now);
  void DropOldest();
  int64_t FirstSince(absl::Duration received) const;

  // What a read finds in memory.
  enum class Found { kRead, kGone, kOnDisk };
  Found Read(int64_t after, int64_t until, size_t max_bytes, absl::Duration now,
             std::vector<PublicationPtr>* page);

  // The publication was written.  It becomes the head.
  void Keep(const PublicationPtr& publication, int64_t stored_bytes, bool stored,
            absl::Duration now);

  // What is written of the channel with publications that make `head` the last offset.
  struct Floor {
    int64_t offset = 1;
    int64_t bytes = 0;
    HistoryPolicy policy = {};
  };
  Floor FloorFor(int64_t head, absl::Duration now);

  // Whether the publication is in memory, from where a read gets it.  Its page counts as not used
  // again, because somebody waits for it.
  bool KeepInMemory(int64_t offset);
  // A page of another epoch is not added.
  void AddPage(const std::shared_ptr<HistoryPage>& page);
  void DropPage(const HistoryPage* page);
  bool IsUsed(const HistoryPage& page) const;
  // There is nothing on the disk below `offset`, although there should be.
  void Lost(int64_t offset);
  // What was appended up to `head` is not kept, and head() moves there.
  void Skip(int64_t head);
  // Returns `received`, corrected by what is known of when the publication can have been received:
  // the wall clock may have been set since.
  absl::Duration ReceivedAt(int64_t offset, absl::Duration received) const;

  // For HistoryCache.
  bool IsCached(int64_t offset) const;
  void DropCached(int64_t offset);  // and what is older

  // The channel was forgotten: frees its memory.
  void Forget();
  bool forgotten() const;

  // How many appends were handed over and are not called back yet.
  std::atomic<int64_t> under_way{0};
  // The callback that the channel is open has returned.
  std::atomic<bool> announced{false};
  // The engine's user has dropped the channel without forgetting it.
  std::atomic<bool> released{false};

  // What the database holds of the channel, and what is about to be written.
  struct Writing {
    bool open = false;
    Epoch epoch = {};
    bool named = false;  // whether the database knows the channel
    int64_t head = 0;
    int64_t total_bytes = 0;
    int64_t floor = 1;
    int64_t floor_bytes = 0;
    int64_t newest_us = 0;
    HistoryPolicy policy = {};
    // Of the batch that is being made.
    bool in_batch = false;
    bool stores = false;
    int64_t next_head = 0;
    int64_t next_total = 0;
    int64_t next_floor = 1;
    int64_t next_floor_bytes = 0;
    int64_t next_newest_us = 0;
    HistoryPolicy next_policy = {};
  };
  Writing writing;

 private:
  friend IntrusivePtr<DiskChannel>;

  // All publications before `offset` were received at `newest` or earlier.
  struct Sample {
    int64_t offset;
    absl::Duration newest;
    int64_t bytes;  // of all publications before `offset`, about
  };

  ~DiskChannel();
  static void Destroy(DiskChannel* channel) { delete channel; }

  bool empty() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return oldest_ > head_; }
  int64_t BytesBefore(int64_t offset) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RaiseOldest(int64_t offset) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ApplyPolicy(absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool TooOld(const Publication& publication, absl::Duration now) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void AddSample(absl::Duration received) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The recent publications have the offsets from here up to the head.
  int64_t first_recent() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return head_ - static_cast<int64_t>(recent_count_) + 1;
  }
  PublicationPtr& Recent(int64_t offset) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const auto at = static_cast<size_t>(offset - first_recent());
    return recent_[(recent_first_ + at) & (recent_.size() - 1)];
  }
  void PushRecent(const PublicationPtr& publication) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void DropRecentBelow(int64_t offset) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ResizeRecent(size_t size) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  HistoryPage* PageWith(int64_t offset) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  AtomicCount references_;
  const std::string name_;
  CacheUse* const cache_;

  mutable Mutex mu_;  // a leaf
  bool open_ ABSL_GUARDED_BY(mu_) = false;
  bool forgotten_ ABSL_GUARDED_BY(mu_) = false;
  HistoryPolicy policy_ ABSL_GUARDED_BY(mu_);
  Epoch epoch_ ABSL_GUARDED_BY(mu_);
  int64_t head_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t oldest_ ABSL_GUARDED_BY(mu_) = 1;  // head_ + 1: history is empty
  int64_t total_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  // This process has received this offset and later ones, after `opened_at_`.
  int64_t first_received_here_ ABSL_GUARDED_BY(mu_) = 1;
  absl::Duration opened_at_ ABSL_GUARDED_BY(mu_);
  absl::Duration newest_ ABSL_GUARDED_BY(mu_) = -absl::InfiniteDuration();
  std::vector<Sample> samples_ ABSL_GUARDED_BY(mu_);  // by offset; the first is at oldest_
  int64_t sample_step_ ABSL_GUARDED_BY(mu_) = 1;      // so many offsets at least between two
  // A ring, whose size is a power of two, or 0.
  std::vector<PublicationPtr> recent_ ABSL_GUARDED_BY(mu_);
  size_t recent_first_ ABSL_GUARDED_BY(mu_) = 0;
  size_t recent_count_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<std::shared_ptr<HistoryPage>> pages_ ABSL_GUARDED_BY(mu_);
};

using DiskChannelPtr = IntrusivePtr<DiskChannel>;

}  // namespace fanwire::control
