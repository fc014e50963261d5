// UnpublishedChannels counts and bounds the channels of one service that have state only because a
// client subscribed: nothing was ever published to them.  It bounds their number, and how many of
// them one address may hold.  They do not count against max_channels, so that subscribers can never
// make a publish fail.
//
// Such a state is kept for kUnpublishedTtl after the last interest by name has ended, so that a
// client that waits for a first event can recover it after a reconnect.  When the budget is used
// up, a state that nobody wants is forgotten, the least recently wanted first (IdleChannels).
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

// The unpublished channels of one service and shard that no worker wants by name.  The one that has
// been so longest is the first.
using IdleChannels = std::list<ChannelState*>;

// Part of a channel's state until something is published to the channel.
struct UnpublishedChannel {
  std::string address;  // of the client whose subscribe made the state; empty: not known
  bool idle = false;    // the channel is in IdleChannels
  IdleChannels::iterator place = {};
};

class UnpublishedChannels {
 public:
  enum class Outcome {
    kReserved,
    kFull,         // the limit is reached
    kAddressFull,  // `address` holds a tenth of the limit
  };

  // Counts one more channel, made for `address`; an empty address has no limit of its own.
  Outcome Reserve(absl::string_view address, size_t limit);
  // Call when a reserved channel is published to or forgotten.
  void Release(absl::string_view address);

  // Returns how many channels one address may hold.
  static size_t AddressLimit(size_t limit) { return limit < 10 ? 1 : limit / 10; }

  int64_t count() const { return count_.load(std::memory_order_relaxed); }
  // The number of channels in IdleChannels of all shards.
  std::atomic<int64_t>& idle() { return idle_; }

 private:
  std::atomic<int64_t> count_{0};
  std::atomic<int64_t> idle_{0};

  Mutex mu_;
  absl::flat_hash_map<std::string, size_t> by_address_ ABSL_GUARDED_BY(mu_);
};

}  // namespace fanwire::control
