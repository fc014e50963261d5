// ChannelTable finds the state of a channel and guards it: many shards, a mutex each.
//
// Channels that mirror rules copy to have shards of their own, so that a busy `global` does not
// make the origins of its shard wait.  Which those are is fixed when a service is first seen; a
// rule that a reload adds only costs some waiting.
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

// What is kept of one service; made when a configuration first names it, never deleted.
struct ServiceState {
  ServiceState(std::string service_name, absl::Duration window, uint32_t max_keys)
      : name(std::move(service_name)), idempotency(window, max_keys) {}

  const std::string name;
  uint32_t lane = 0;  // of the links: a small number, its own
  IdempotencyWindow idempotency;
  std::array<PatternTable, 2> patterns;  // by dialect
  // By dialect.  Not of the common one, whose channels are too many to keep a list of.
  std::array<WantedChannels, 2> wanted;
  // Of the common dialect.
  WaitingInterest waiting;
  // Fixed beginnings of the channels that mirror rules name: "global", "worker:".
  std::vector<std::string> mirror_prefixes;

  std::atomic<int64_t> accepted{0};
  std::atomic<int64_t> mirrored{0};
  RefusalCounts refused;
  std::atomic<int64_t> duplicates{0};
  std::atomic<int64_t> catalog_warnings{0};
  Histogram publish_seconds{kPublishBounds};  // of those accepted, until the answer could be given
  std::atomic<int64_t> channels{0};           // with state, to which something was published
  UnpublishedChannels unpublished;            // the others

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

  // What a shard's set holds of a channel: enough to tell where its state lies without touching it.
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
    // A channel of this hash, which need not be the one that is meant.
    bool operator()(const Entry& a, uint64_t hash) const { return a.hash == hash; }
  };

  using Channels = absl::flat_hash_set<Entry, Hash, Equal>;

  struct Shard {
    Mutex mu{LockRank::kShard};
    Channels channels ABSL_GUARDED_BY(mu);
    std::vector<PublicationObserver*> observers ABSL_GUARDED_BY(mu);
    // By service, the unpublished channels that no worker wants by name: the least recently used
    // first.
    absl::flat_hash_map<const ServiceState*, IdleChannels> idle ABSL_GUARDED_BY(mu);
    HistoryOrder order ABSL_GUARDED_BY(mu);
  };

  // Index of the shard of a channel.
  size_t IndexOf(const ChannelKey& key) const;
  size_t IndexOf(const ChannelState& state) const;

  Shard& shard(size_t index) { return shards_[index]; }

  // HistoryOrder::oldest() of a shard, which must be locked for PublishOldest() alone.
  int64_t oldest(size_t index) const { return oldest_[index].load(std::memory_order_relaxed); }
  void PublishOldest(size_t index) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    oldest_[index].store(shards_[index].order.oldest(), std::memory_order_relaxed);
  }

  // The channel's state, or null; its shard must be locked.
  static const std::shared_ptr<ChannelState>* Find(Shard& shard, const ChannelKey& key)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mu);

  // With very many channels a publication waits for memory most of all.  Both ask for it ahead of
  // time and wait for nothing: first for the place of the channel in the shard's set, then, when
  // that has come, for its state and log.  The shard must be locked.
  static void PrefetchPlace(const Shard& shard, const ChannelKey& key)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mu) {
    shard.channels.prefetch(key);
  }
  static void PrefetchState(const Shard& shard, const ChannelKey& key)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mu);

 private:
  std::array<Shard, kShards> shards_;
  // Side by side: who looks for the oldest of all touches a few cache lines.
  std::array<std::atomic<int64_t>, kShards> oldest_;
};

// Holds the locks of the shards with these indices, in order, each once.  (The analysis cannot
// follow a number of locks that is only known at run time.)
class ShardLocks {
 public:
  // Sorts `indices`, which must outlive this, and drops what is in it twice.
  ShardLocks(ChannelTable* table, std::vector<size_t>* indices) ABSL_NO_THREAD_SAFETY_ANALYSIS;
  ~ShardLocks() ABSL_NO_THREAD_SAFETY_ANALYSIS;
  ShardLocks(const ShardLocks&) = delete;
  ShardLocks& operator=(const ShardLocks&) = delete;

 private:
  ChannelTable* const table_;
  std::vector<size_t>* const indices_;
};

}  // namespace fanwire::control
