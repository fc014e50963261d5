// PatternTable holds which links want which patterns of one service and dialect, and finds the
// links whose patterns match a channel.
//
// The patterns are a trie over their segments.  A channel's state caches the links that match its
// name, together with the generation at which they were looked up; as long as the generation does
// not change, publishing does not look here.  A pattern that comes or goes changes the generation
// of the channels that begin as it does: with its first two segments, or with those of them that
// come before its first wildcard.  (A few other channels share the counter by chance and look
// their links up once more.)
//
// Threading: safe from every thread; its mutex comes after the channels' shards and before
//            WorkerLink's.  generation() does not lock.
// Cost:      Match() visits the nodes of the trie that agree with the beginning of the name: a few
//            for each segment, however many patterns there are.  Add() and Remove() cost the depth
//            of the pattern.  RemoveAll() lets others in after every few hundred patterns.
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
  // Which counters make up a channel's generation.  Depends on its name only.
  struct Counters {
    uint16_t first = 0;
    uint16_t first_two = 0;
  };
  static Counters CountersOf(absl::string_view channel);

  PatternTable();
  ~PatternTable();
  PatternTable(const PatternTable&) = delete;
  PatternTable& operator=(const PatternTable&) = delete;

  // A link that wants a channel, and since when: the earliest of its patterns that match.
  struct Wanting {
    std::shared_ptr<WorkerLink> link;
    absl::Duration since;
  };

  // Returns whether the link did not want the pattern already.  `since` is PatternTimes'.
  bool Add(const ChannelPattern& pattern, const std::shared_ptr<WorkerLink>& link,
           absl::Duration since = -absl::InfiniteDuration());
  // Returns whether the link had wanted the pattern.
  bool Remove(const ChannelPattern& pattern, const WorkerLink* link);
  // Forgets all patterns of the link.
  void RemoveAll(const WorkerLink* link);

  // Whether the link wants any pattern.
  bool Wants(const WorkerLink* link) const;
  // Appends each link that wants `channel` once.
  void Match(absl::string_view channel, std::vector<Wanting>* links) const;

  // Changes whenever a pattern that matches a channel with these counters comes or goes.  0 if
  // there never was one.
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

  std::atomic<uint64_t> any_{0};  // of patterns that begin with a wildcard
  // Of patterns whose second segment is a wildcard or missing, by the hash of their first segment.
  std::array<std::atomic<uint64_t>, kCounters> by_first_{};
  // Of all others, by the hash of their first two segments.
  std::array<std::atomic<uint64_t>, kCounters> by_first_two_{};
};

}  // namespace fanwire::control
