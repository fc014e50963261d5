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

// A service's configuration beside what is kept of it.
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

  // Counts of a service that was ever configured; null if it never was.
  ServiceState* FindService(absl::string_view name) const;
  // All of those services.
  std::vector<ServiceState*> services() const;

  // Publications refused that name no configured service.
  RefusalCounts& refused_elsewhere() { return refused_elsewhere_; }

  // The state of a channel that is about to be published to, made if there is none.  `shard` is the
  // channel's, `now` the clock's.
  //   RESOURCE_EXHAUSTED  the service has as many channels as it may
  absl::StatusOr<std::shared_ptr<ChannelState>> FindOrCreate(
      ChannelTable::Shard& shard, const ChannelKey& key, const ServiceSnapshot& snapshot,
      const ServiceSpec& spec, absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mu);

  // Who wants the state of a channel that is not published to.
  struct Reader {
    absl::string_view address = {};  // of the client; empty: not known
    // Whether a channel of the same shard that nobody wants may be forgotten to make room.
    bool may_evict = true;
    // Set if the budget is used up: MakeRoom() may help.
    bool full = false;
  };
  // The same for a channel that is only subscribed to.  See UnpublishedChannels.
  //   RESOURCE_EXHAUSTED  the budget of unpublished channels, or the address's part of it, is used
  //                       up
  absl::StatusOr<std::shared_ptr<ChannelState>> FindOrCreateForReader(
      ChannelTable::Shard& shard, const ChannelKey& key, const ServiceSnapshot& snapshot,
      const ServiceSpec& spec, Reader* reader, absl::Duration now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mu);
  // Forgets an unpublished channel of the service that nobody wants by name, in whatever shard, if
  // the budget is used up.  Returns whether there is room now.  No shard may be locked.
  bool MakeRoom(ServiceState* service, const ServiceSpec& spec);

  // Lets ChannelState::links hold every link that wants the channel by a pattern.  Freed handles
  // are announced to the worker with the next batch, after the next heartbeat at the latest.
  void RefreshPatterns(ChannelState* channel);

  // The first offset that the link's worker cannot have although it has wanted the channel by a
  // pattern since `since`, as far as is known without a position of it; the next one to be assigned
  // if it missed nothing.
  static int64_t FirstMissed(const ChannelState& channel, const WorkerLink& link,
                             absl::Duration since);
  // Gives the channel a handle on this link, if it has none.
  static void Introduce(const ChannelState& channel, ChannelLink* wanting, int64_t offset);
  // Ends the channel's handle on this link, if it has one.
  static void Release(ChannelLink* wanting);

  // Finds or makes the entry of a link that wants the channel.
  ChannelLink* Want(const std::shared_ptr<ChannelState>& channel,
                    const std::shared_ptr<WorkerLink>& link);
  // Says whether the link wants the channel by its exact name.  Returns whether that is news.
  bool SetExact(ChannelState* channel, ChannelLink* wanting, bool exact);
  // Removes the link from those that want the channel; `wanting` is one of its.
  void Remove(ChannelState* channel, ChannelLink* wanting);

  // Trims history by age and memory, forgets channels without interest by name, history or recent
  // use, and old idempotency keys.  Of very many channels each call looks at some, in turn.
  //
  // Interest by a pattern keeps no state: a client that wants all channels would keep all of them.
  void Sweep();

  // A channel has got a publication into history.  Its shard, of this index, must be locked.
  void NoteHistory(size_t shard, ChannelState* channel) {
    if (channel->in_history_order || !channel->keeps_history) [[likely]]
      return;
    AddToHistoryOrder(shard, channel);
  }
  // While history takes more memory than it may, drops the oldest publications of all channels,
  // approximately: those of one shard after the other, for a part of the time that history spans.
  // Drops kTrimPublications at most, unless the bound is exceeded by more than a part of it.  No
  // shard may be locked.
  void TrimHistory();
  static constexpr size_t kTrimPublications = 64;

  // How many channels a sweep looks at, give or take a shard.
  static constexpr size_t kSweepChannels = 50'000;

  // Calls `visit` with every channel, a shard locked at a time.
  void ForEach(absl::FunctionRef<void(ChannelState*)> visit);

 private:
  // Lets nothing go to a link before its worker has told all its interest.
  static void HoldBack(const std::shared_ptr<ChannelState>& channel, ChannelLink* wanting);
  // Makes the state, for the links that wait for it; its kind is not counted yet.
  std::shared_ptr<ChannelState> Create(ChannelTable::Shard& shard, const ChannelKey& key,
                                       const ServiceSnapshot& snapshot, const ServiceSpec& spec,
                                       absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mu);
  // Counts a channel as one that is published to.
  absl::Status CountPublished(const ChannelKey& key, const ServiceSpec& spec);
  // Ends an unpublished channel's time as such.
  void EndUnpublished(ChannelTable::Shard& shard, ChannelState* channel)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mu);
  // Brings the channel's place in IdleChannels up to date.
  void UpdateIdle(ChannelState* channel);
  // Forgets the unpublished channel of the shard that has been idle longest.  Returns false if no
  // channel is.
  bool EvictIdle(ChannelTable::Shard& shard, const ServiceState* service)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mu);
  // Ends the channel's state.
  void Forget(ChannelTable::Shard& shard, ChannelTable::Channels::iterator place)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mu);

  void ApplyPolicy(ChannelState* channel, const ServiceSnapshot& snapshot, const ServiceSpec& spec);
  bool IsIdle(const ChannelState& channel, bool history_empty, absl::Duration now) const;
  void AddToHistoryOrder(size_t shard, ChannelState* channel);

  const Options options_;
  Engine* const engine_;
  const Clock* const clock_;
  ChannelTable table_;
  RefusalCounts refused_elsewhere_;
  std::atomic<size_t> next_shard_{0};    // to sweep
  std::atomic<size_t> next_evicted_{0};  // shard in which MakeRoom() looks

  mutable Mutex mu_;  // a leaf
  std::shared_ptr<const ServiceSnapshot> snapshot_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, std::unique_ptr<ServiceState>> states_ ABSL_GUARDED_BY(mu_);
};

}  // namespace fanwire::control
