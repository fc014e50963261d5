// PatternTable holds which links want which patterns of one service and dialect, and finds the
// links whose patterns match a channel.
//
// The patterns form a trie over their segments.  A channel's state caches the links that match its
// name, and the generation at which they were looked up.  Publishing looks them up again only when
// the channel's generation has changed.  A pattern that is added or removed changes the generation
// of the channels that have the same beginning: its first two segments, or only the segments before
// its first wildcard.  (The counters are shared by hash, so that a few other channels also look
// their links up again.)
//
// Threading: safe from every thread; its mutex comes after the channels' shards and before
//            WorkerLink's.  generation() does not lock.
// Cost:      Match() visits the nodes of the trie that agree with the beginning of the name: a few
//            for each segment, however many patterns there are.  Add() and Remove() cost the depth
//            of the pattern.  RemoveAll() unlocks the mutex for others after every 256 patterns.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/mutex.h"
#include "proto/channel_name.h"

namespace fanwire::control {

class WorkerLink;

class PatternTable {
 public:
  // The counters whose sum is a channel's generation.  They depend only on the channel's name.
  struct Counters {
    uint16_t first = 0;
    uint16_t first_two = 0;
  };
  static Counters CountersOf(absl::string_view channel);

  PatternTable();
  ~PatternTable();
  PatternTable(const PatternTable&) = delete;
  PatternTable& operator=(const PatternTable&) = delete;

  // A link that wants a channel, and since when it wants the earliest pattern that matches.
  struct Wanting {
    std::shared_ptr<WorkerLink> link;
    absl::Duration since;
  };

  // Adds a pattern of the link, which has wanted it since `since` (links/pattern_times.h).  Returns
  // false if the link has the pattern already.
  bool Add(const ChannelPattern& pattern, const std::shared_ptr<WorkerLink>& link,
           absl::Duration since = -absl::InfiniteDuration());
  // Removes a pattern of the link.  Returns false if the link does not have it.
  bool Remove(const ChannelPattern& pattern, const WorkerLink* link);
  // Forgets all patterns of the link.
  void RemoveAll(const WorkerLink* link);

  // Returns whether the link wants any pattern.
  bool Wants(const WorkerLink* link) const;
  // Appends the links that want `channel`, each of them once.
  void Match(absl::string_view channel, std::vector<Wanting>* links) const;

  // Returns the generation of the channels with these counters.  It changes whenever a pattern that
  // matches one of them is added or removed.  0: there never was such a pattern.
  uint64_t generation(Counters counters) const {
    return any_.load(std::memory_order_acquire) +
           by_first_[counters.first].load(std::memory_order_acquire) +
           by_first_two_[counters.first_two].load(std::memory_order_acquire);
  }

 private:
  struct Node;

  static constexpr size_t kCounters = 512;
  static uint16_t CounterOf(absl::string_view beginning);

  // Changes the generation of the channels that the pattern can match.
  void Changed(absl::string_view pattern);

  mutable Mutex mu_;
  const std::unique_ptr<Node> root_ ABSL_PT_GUARDED_BY(mu_);
  absl::flat_hash_map<const WorkerLink*, absl::flat_hash_set<std::string>> patterns_of_
      ABSL_GUARDED_BY(mu_);

  // Each counts the additions and removals of some patterns: those that begin with a wildcard, …
  std::atomic<uint64_t> any_{0};
  // … those whose second segment is a wildcard or missing, by the hash of their first segment, …
  std::array<std::atomic<uint64_t>, kCounters> by_first_{};
  // … and all others, by the hash of their first two segments.
  std::array<std::atomic<uint64_t>, kCounters> by_first_two_{};
};

}  // namespace fanwire::control
