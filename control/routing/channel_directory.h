// ChannelDirectory owns the states of all channels and services: finds and makes them, keeps their
// policies and pattern matches up to date, and forgets what has been idle for long.
//
// Functions that take a ChannelState expect its shard to be locked.
//
// Threading: safe from every thread.
// Ownership: borrows engine and clock.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "control/config/service_table.h"
#include "control/engine/engine.h"
#include "control/routing/channel_table.h"
#include "control/routing/refusals.h"

namespace fanwire::control {

// A service: its configuration and its state.
struct ServiceEntry {
  const ServiceSpec* spec = nullptr;
  ServiceState* state = nullptr;
};

// One configuration, ready for the publish path.  Immutable.
struct ServiceSnapshot {
  uint64_t version = 0;
  std::shared_ptr<const ServiceTable> table;
  absl::flat_hash_map<std::string, ServiceEntry> by_name;

  // Null if there is no such service.
  const ServiceEntry* Find(absl::string_view name) const {
    const auto it = by_name.find(name);
    return it == by_name.end() ? nullptr : &it->second;
  }
};

class ChannelDirectory {
 public:
  struct Options {
    absl::Duration idempotency_window = absl::Minutes(10);
    uint32_t idempotency_max_keys = 100'000;  // per service
    absl::Duration channel_idle_ttl = absl::Hours(24);
  };

  ChannelDirectory(const Options& options, Engine* engine, const Clock* clock);

  ChannelTable& table() { return table_; }

  // Puts another configuration in force.  Channels take their new rules when they are next used.
  void SetServices(std::shared_ptr<const ServiceTable> services);
  std::shared_ptr<const ServiceSnapshot> snapshot() const;

  // Returns the state of a service that is configured or was before a reload; null if it never was.
  ServiceState* FindService(absl::string_view name) const;
  // Returns the states of all services that were ever configured.
  std::vector<ServiceState*> services() const;

  // Whether there may be channels without a state that the engine has kept.
  bool survives_restart() const { return engine_->survives_restart(); }
  // Whether the engine can open channels at present.
  bool opens_channels() const { return !waiting_ended_ && engine_->Health().ok(); }

  // Ends what waits for channels that the engine has not opened.  Call it when the engine is
  // closed.
  void EndWaiting();

  // Counts the refused publications whose service is not configured.
  RefusalCounts& refused_elsewhere() { return refused_elsewhere_; }

  // Returns the state of a channel that is about to be published to.  Makes the state if there is
  // none.  `shard` is the channel's shard, `now` is Clock::Now().
  //   RESOURCE_EXHAUSTED  the service has `max_channels` channels
  absl::StatusOr<std::shared_ptr<ChannelState>> FindOrCreate(
      ChannelTable::Shard& shard, const ChannelKey& key, const ServiceSnapshot& snapshot,
      const ServiceSpec& spec, absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mu);

  // On whose behalf FindOrCreateForReader() makes a state, and whether the budget allowed it.
  struct Reader {
    absl::string_view address = {};  // the client's; empty: not known
    // Whether another channel of the same shard, which nobody wants, may be forgotten to make room.
    bool may_evict = true;
    // Whether the channel was published to, as a worker says.  If the engine has kept it, it counts
    // as published when the budget is used up.
    bool was_published = false;
    // Output: the budget is used up.  Unlock the shard, call MakeRoom() and try again.
    bool full = false;
  };
  // Returns the state of a channel that a client subscribes to.  Makes the state, which counts as
  // an unpublished channel (unpublished_channels.h), if there is none.
  //   RESOURCE_EXHAUSTED  the budget of unpublished channels is used up, or the address holds as
  //                       many of them as one address may
  absl::StatusOr<std::shared_ptr<ChannelState>> FindOrCreateForReader(
      ChannelTable::Shard& shard, const ChannelKey& key, const ServiceSnapshot& snapshot,
      const ServiceSpec& spec, Reader* reader, absl::Duration now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mu);
  // If the budget of unpublished channels is used up, forgets one that nobody wants by name, in any
  // shard.  Returns whether there is room now.  No shard may be locked.
  bool MakeRoom(ServiceState* service, const ServiceSpec& spec);

  // The engine has said that the channel has another epoch.  Opens the channel again; the links go
  // on in the new epoch, and their workers are told so.
  void Reopen(const std::shared_ptr<ChannelState>& channel);
  // The engine could not get publications up to the head.  Links that wait for them are told so
  // when they read history.
  void SkipMissed(const std::shared_ptr<ChannelState>& channel);

  // Brings ChannelState::links up to date with the patterns: adds each link that wants the channel
  // by a pattern and removes those that do not want it any more.  Freed handles
  // are announced to the worker with the next batch, after the next heartbeat at the latest.
  void RefreshPatterns(ChannelState* channel);

  // Returns the first offset that the link's worker missed while it was away.  The worker has
  // wanted the channel by a pattern since `since` and has told no position of it.  Returns the next
  // offset to be assigned if the worker missed nothing.
  static int64_t FirstMissed(const ChannelState& channel, const WorkerLink& link,
                             absl::Duration since);
  // Gives the channel a handle on this link, if it has none.
  static void Introduce(const ChannelState& channel, ChannelLink* wanting, int64_t offset);
  // Ends the channel's handle on this link, if it has one.
  static void Release(ChannelLink* wanting);

  // Returns the link's entry in ChannelState::links.  Adds the entry if there is none.
  ChannelLink* Want(const std::shared_ptr<ChannelState>& channel,
                    const std::shared_ptr<WorkerLink>& link);
  // Records whether the link wants the channel by its exact name.  Returns whether that changed.
  bool SetExact(ChannelState* channel, ChannelLink* wanting, bool exact);
  // Removes `wanting`, which is an entry of the channel's links.
  void Remove(ChannelState* channel, ChannelLink* wanting);

  // Trims history by age and memory, forgets old idempotency keys, and forgets the channels that no
  // worker wants by name, that have no history and that were not used for the idle time.  A call
  // looks at about kSweepChannels channels; the next call goes on behind them.
  //
  // Interest by a pattern does not keep a channel: one client that wants `**` would keep them all.
  void Sweep();

  // Call after a publication of the channel has entered history.  `shard` is the index of the
  // channel's shard, which must be locked.
  void NoteHistory(size_t shard, ChannelState* channel) {
    if (channel->in_history_order || !channel->keeps_history) [[likely]]
      return;
    AddToHistoryOrder(shard, channel);
  }
  // While history takes more memory than it may, drops the oldest publications of all channels.
  // The order is exact to 1/64 of the time that history spans.  Drops kTrimPublications at most, or
  // more if history is over its bound by more than 1/20.  No shard may be locked.
  void TrimHistory();
  static constexpr size_t kTrimPublications = 64;

  // How many channels a sweep looks at, rounded up to whole shards.
  static constexpr size_t kSweepChannels = 50'000;

  // Calls `visit` with every channel.  The channel's shard is locked during the call.
  void ForEach(absl::FunctionRef<void(const std::shared_ptr<ChannelState>&)> visit);

 private:
  // Sends nothing of the channel to a link whose worker is still reporting its interest.
  static void HoldBack(const std::shared_ptr<ChannelState>& channel, ChannelLink* wanting);
  // Makes the state and adds the links that wait for it.  The caller counts it as published or
  // unpublished.
  std::shared_ptr<ChannelState> Create(ChannelTable::Shard& shard, const ChannelKey& key,
                                       const ServiceSnapshot& snapshot, const ServiceSpec& spec,
                                       absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mu);
  // Counts a channel as one that is published to.
  absl::Status CountPublished(const ChannelKey& key, const ServiceSpec& spec);
  // Stops counting the channel as unpublished.
  void EndUnpublished(ChannelTable::Shard& shard, ChannelState* channel)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mu);
  // Brings the channel's place in IdleChannels up to date.
  void UpdateIdle(ChannelState* channel);
  // Forgets the service's unpublished channel in this shard that has been idle longest.  Returns
  // false if none is idle.
  bool EvictIdle(ChannelTable::Shard& shard, const ServiceState* service)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mu);
  // Removes the channel's state.
  void Forget(ChannelTable::Shard& shard, ChannelTable::Channels::iterator place)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mu);

  void ApplyPolicy(const std::shared_ptr<ChannelState>& channel, const ServiceSnapshot& snapshot,
                   const ServiceSpec& spec);
  // The engine has opened the channel.  Begins where its history ends, if it has kept any.
  void BeginOpen(size_t shard, ChannelState* channel);
  // The engine has opened the channel later than it was asked to.  No shard may be locked.
  void OnOpened(const std::shared_ptr<ChannelState>& channel);
  bool IsIdle(const ChannelState& channel, bool history_empty, absl::Duration now) const;
  void AddToHistoryOrder(size_t shard, ChannelState* channel);

  const Options options_;
  Engine* const engine_;
  const Clock* const clock_;
  ChannelTable table_;
  RefusalCounts refused_elsewhere_;
  std::atomic<bool> waiting_ended_{false};
  std::atomic<size_t> next_shard_{0};    // where the next Sweep() begins
  std::atomic<size_t> next_evicted_{0};  // where the next MakeRoom() begins

  mutable Mutex mu_;  // a leaf
  std::shared_ptr<const ServiceSnapshot> snapshot_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, std::unique_ptr<ServiceState>> states_ ABSL_GUARDED_BY(mu_);
};

}  // namespace fanwire::control
