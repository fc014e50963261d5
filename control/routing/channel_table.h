// ChannelTable finds the state of a channel and guards it: many shards, a mutex each.
//
// The targets of mirror rules, such as `global`, have shards of their own, so that a busy target
// does not make ordinary channels wait.  The set of targets is fixed when a service is first seen.
// Targets that a later reload adds share the ordinary shards; that costs only some waiting.
//
// Threading: safe from every thread.  Shards are locked in ascending index, origins before mirror
//            targets.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/metrics.h"
#include "common/mutex.h"
#include "control/events/idempotency.h"
#include "control/routing/channel_state.h"
#include "control/routing/history_order.h"
#include "control/routing/pattern_table.h"
#include "control/routing/publication_observer.h"
#include "control/routing/refusals.h"
#include "control/routing/unpublished_channels.h"
#include "control/routing/waiting_interest.h"
#include "control/routing/wanted_channels.h"
#include "proto/policies.h"

namespace fanwire::control {

inline constexpr double kPublishBounds[] = {0.000005, 0.00001, 0.000025, 0.00005, 0.0001, 0.00025,
                                            0.0005,   0.001,   0.0025,   0.005,   0.01,   0.025,
                                            0.1,      0.5,     1,        5};

// The state of one service.  Made when a configuration first names the service, never deleted.
struct ServiceState {
  ServiceState(std::string service_name, absl::Duration window, uint32_t max_keys)
      : name(std::move(service_name)), idempotency(window, max_keys) {}

  const std::string name;
  uint32_t lane = 0;  // the service's lane in the links' queues: 0, 1, 2 …
  IdempotencyWindow idempotency;
  std::array<PatternTable, 2> patterns;  // by dialect
  // By dialect.  Empty for the common dialect, which has too many channels for a list.
  std::array<WantedChannels, 2> wanted;
  WaitingInterest waiting;  // of the common dialect
  // Fixed beginnings of the channels that mirror rules name: "global", "worker:".
  std::vector<std::string> mirror_prefixes;

  std::atomic<int64_t> accepted{0};
  std::atomic<int64_t> mirrored{0};
  RefusalCounts refused;
  std::atomic<int64_t> duplicates{0};
  std::atomic<int64_t> catalog_warnings{0};
  Histogram publish_seconds{kPublishBounds};  // from receiving an accepted event to its answer
  std::atomic<int64_t> channels{0};           // with state, published to at least once
  UnpublishedChannels unpublished;            // with state, never published to

  PatternTable& patterns_of(Dialect dialect) { return patterns[static_cast<size_t>(dialect)]; }
  WantedChannels& wanted_of(Dialect dialect) { return wanted[static_cast<size_t>(dialect)]; }
};

// A channel's identity, with its hash made once.
struct ChannelKey {
  ChannelKey(ServiceState* service, Dialect dialect, absl::string_view name)
      : service(service),
        dialect(dialect),
        name(name),
        hash(absl::HashOf(service, static_cast<int>(dialect), name)) {}

  ServiceState* service;
  Dialect dialect;
  absl::string_view name;
  uint64_t hash;
};

class ChannelTable {
 public:
  ChannelTable() {
    for (std::atomic<int64_t>& oldest : oldest_) oldest.store(HistoryOrder::kNone);
  }

  static constexpr size_t kOriginShards = 64;
  static constexpr size_t kMirrorShards = 16;
  static constexpr size_t kShards = kOriginShards + kMirrorShards;

  // An element of a shard's set.  It repeats the hash and the log's address, so that a channel can
  // be found, and its log prefetched, without reading its state.
  struct Entry {
    explicit Entry(std::shared_ptr<ChannelState> channel)
        : hash(channel->hash), log(channel->log.get()), state(std::move(channel)) {}

    uint64_t hash;
    const EngineChannel* log;  // the state's; null for dialects
    std::shared_ptr<ChannelState> state;
  };
  struct Hash {
    using is_transparent = void;
    size_t operator()(const ChannelKey& key) const { return key.hash; }
    size_t operator()(const Entry& entry) const { return entry.hash; }
    size_t operator()(uint64_t hash) const { return hash; }
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(const Entry& a, const Entry& b) const { return a.state == b.state; }
    bool operator()(const Entry& a, const ChannelKey& b) const {
      return a.hash == b.hash && a.state->service == b.service && a.state->dialect == b.dialect &&
             a.state->name == b.name;
    }
    // Any channel with this hash, which is perhaps another one than the caller means.
    bool operator()(const Entry& a, uint64_t hash) const { return a.hash == hash; }
  };

  using Channels = absl::flat_hash_set<Entry, Hash, Equal>;

  struct Shard {
    Mutex mu{LockRank::kShard};
    Channels channels ABSL_GUARDED_BY(mu);
    std::vector<PublicationObserver*> observers ABSL_GUARDED_BY(mu);
    // For each service, its unpublished channels that no worker wants by name, the least recently
    // used first.
    absl::flat_hash_map<const ServiceState*, IdleChannels> idle ABSL_GUARDED_BY(mu);
    HistoryOrder order ABSL_GUARDED_BY(mu);
  };

  // Index of the shard of a channel.
  size_t IndexOf(const ChannelKey& key) const;
  size_t IndexOf(const ChannelState& state) const;

  Shard& shard(size_t index) { return shards_[index]; }

  // A copy of the shard's HistoryOrder::oldest() that can be read without its lock.
  // PublishOldest() updates the copy; for that the shard must be locked.
  int64_t oldest(size_t index) const { return oldest_[index].load(std::memory_order_relaxed); }
  void PublishOldest(size_t index) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    oldest_[index].store(shards_[index].order.oldest(), std::memory_order_relaxed);
  }

  // Returns the channel's state, or null.  The shard must be locked.
  static const std::shared_ptr<ChannelState>* Find(Shard& shard, const ChannelKey& key)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mu);

  // If there are very many channels, publishing mostly waits for memory.  These two prefetch it and
  // return at once.  Call PrefetchPlace() first, for the channel's entry in the shard's set, and
  // PrefetchState() a little later, for its state and log.  The shard must be locked.
  static void PrefetchPlace(const Shard& shard, const ChannelKey& key)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mu) {
    shard.channels.prefetch(key);
  }
  static void PrefetchState(const Shard& shard, const ChannelKey& key)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mu);

 private:
  std::array<Shard, kShards> shards_;
  // In one array, so that a search for the oldest of all shards reads only a few cache lines.
  std::array<std::atomic<int64_t>, kShards> oldest_;
};

// Holds the locks of the shards with these indices, in order, each once.  (The analysis cannot
// follow a number of locks that is only known at run time.)
class ShardLocks {
 public:
  // Sorts `indices` and removes duplicates.  `indices` must outlive the locks.
  ShardLocks(ChannelTable* table, std::vector<size_t>* indices) ABSL_NO_THREAD_SAFETY_ANALYSIS;
  ~ShardLocks() ABSL_NO_THREAD_SAFETY_ANALYSIS;
  ShardLocks(const ShardLocks&) = delete;
  ShardLocks& operator=(const ShardLocks&) = delete;

 private:
  ChannelTable* const table_;
  std::vector<size_t>* const indices_;
};

}  // namespace fanwire::control
