// UnpublishedChannels bounds the channels of one service that have state because a client
// subscribed, although nothing was ever published to them: their number, and which part of it one
// address may hold.  They do not count against max_channels, so that readers can never make a
// publish fail.
//
// Such a state is kept for kUnpublishedTtl after its last interest by name, so that a client that
// waited for a first event recovers it over a reconnect.  When the budget is used up, the state of
// a shard that was wanted least recently, and is not wanted now, makes room (IdleChannels).
//
// Threading: safe from every thread; the mutex is a leaf, locked after the channels' shards.  An
//            UnpublishedChannel and the IdleChannels are guarded by the channel's shard.
// Cost:      Reserve() and Release() are a hash lookup; an unpublished channel takes about 120
//            bytes more than another one.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <list>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/mutex.h"

namespace fanwire::control {

struct ChannelState;

inline constexpr absl::Duration kUnpublishedTtl = absl::Minutes(10);

// The unpublished channels of one service and shard that no worker wants by name, in the order in
// which that began.
using IdleChannels = std::list<ChannelState*>;

// What is kept of a channel until something is published to it.
struct UnpublishedChannel {
  std::string address;  // whose subscribe made the state; empty: not known
  bool idle = false;    // it is in IdleChannels
  IdleChannels::iterator place = {};
};

class UnpublishedChannels {
 public:
  enum class Outcome {
    kReserved,
    kFull,         // there are as many as the limit says
    kAddressFull,  // `address` holds a tenth of the limit
  };

  // Counts one more channel, made for `address`; an empty address has no limit of its own.
  Outcome Reserve(absl::string_view address, size_t limit);
  // One that was reserved is published to or forgotten.
  void Release(absl::string_view address);

  // How many one address may hold.
  static size_t AddressLimit(size_t limit) { return limit < 10 ? 1 : limit / 10; }

  int64_t count() const { return count_.load(std::memory_order_relaxed); }
  // Those that are in IdleChannels, over all shards.
  std::atomic<int64_t>& idle() { return idle_; }

 private:
  std::atomic<int64_t> count_{0};
  std::atomic<int64_t> idle_{0};

  Mutex mu_;
  absl::flat_hash_map<std::string, size_t> by_address_ ABSL_GUARDED_BY(mu_);
};

}  // namespace fanwire::control
