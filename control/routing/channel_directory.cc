#include "control/routing/channel_directory.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "control/links/worker_link.h"
#include "control/routing/worker_position.h"
#include "proto/policies.h"

namespace fanwire::control {

namespace {

// The estimate must not be too small: right after the set has grown it has room for twice the
// channels that it holds.
static_assert(sizeof(ChannelState) + 2 * sizeof(ChannelTable::Entry) + size_t{3} * 16 <=
              kChannelStateBytes);

std::vector<std::string> MirrorPrefixes(const ServiceSpec& spec) {
  std::vector<std::string> prefixes;
  for (const MirrorRule& rule : spec.mirrors) {
    std::string prefix = rule.to.substr(0, rule.to.find('{'));
    // An empty prefix, as of the rule "{field}", would match every channel.
    if (!prefix.empty()) prefixes.push_back(std::move(prefix));
  }
  return prefixes;
}

}  // namespace

ChannelDirectory::ChannelDirectory(const Options& options, Engine* engine, const Clock* clock)
    : options_(options), engine_(engine), clock_(clock) {}

void ChannelDirectory::SetServices(std::shared_ptr<const ServiceTable> services) {
  auto next = std::make_shared<ServiceSnapshot>();
  MutexLock lock(&mu_);
  next->version = snapshot_ == nullptr ? 1 : snapshot_->version + 1;
  for (const std::unique_ptr<ServiceSpec>& spec : services->services()) {
    std::unique_ptr<ServiceState>& state = states_[spec->name];
    if (state == nullptr) {
      state = std::make_unique<ServiceState>(spec->name, options_.idempotency_window,
                                             options_.idempotency_max_keys);
      state->lane = static_cast<uint32_t>(states_.size()) - 1;
      state->mirror_prefixes = MirrorPrefixes(*spec);
    }
    next->by_name.emplace(spec->name, ServiceEntry{.spec = spec.get(), .state = state.get()});
  }
  next->table = std::move(services);
  snapshot_ = std::move(next);
}

std::shared_ptr<const ServiceSnapshot> ChannelDirectory::snapshot() const {
  MutexLock lock(&mu_);
  return snapshot_;
}

ServiceState* ChannelDirectory::FindService(absl::string_view name) const {
  MutexLock lock(&mu_);
  const auto it = states_.find(name);
  return it == states_.end() ? nullptr : it->second.get();
}

std::vector<ServiceState*> ChannelDirectory::services() const {
  MutexLock lock(&mu_);
  std::vector<ServiceState*> services;
  for (const auto& [name, state] : states_) services.push_back(state.get());
  return services;
}

absl::StatusOr<std::shared_ptr<ChannelState>> ChannelDirectory::FindOrCreate(
    ChannelTable::Shard& shard, const ChannelKey& key, const ServiceSnapshot& snapshot,
    const ServiceSpec& spec, absl::Duration now) {
  const auto it = shard.channels.find(key);
  if (it == shard.channels.end()) {
    if (absl::Status status = CountPublished(key, spec); !status.ok()) return status;
    std::shared_ptr<ChannelState> channel = Create(shard, key, snapshot, spec, now);
    if (channel->opening == nullptr) BeginOpen(table_.IndexOf(key), channel.get());
    return channel;
  }
  ChannelState* const channel = it->state.get();
  if (channel->unpublished != nullptr) [[unlikely]] {
    if (absl::Status status = CountPublished(key, spec); !status.ok()) return status;
    EndUnpublished(shard, channel);
  }
  if (channel->services_version != snapshot.version) ApplyPolicy(it->state, snapshot, spec);
  channel->last_used = now;
  return it->state;
}

absl::StatusOr<std::shared_ptr<ChannelState>> ChannelDirectory::FindOrCreateForReader(
    ChannelTable::Shard& shard, const ChannelKey& key, const ServiceSnapshot& snapshot,
    const ServiceSpec& spec, Reader* reader, absl::Duration now) {
  const auto it = shard.channels.find(key);
  if (it != shard.channels.end()) {
    if (it->state->services_version != snapshot.version) ApplyPolicy(it->state, snapshot, spec);
    return it->state;
  }
  using Outcome = UnpublishedChannels::Outcome;
  UnpublishedChannels& unpublished = key.service->unpublished;
  const size_t limit = spec.max_unpublished_channels;
  Outcome outcome = unpublished.Reserve(reader->address, limit);
  if (outcome == Outcome::kFull && reader->may_evict && EvictIdle(shard, key.service)) {
    outcome = unpublished.Reserve(reader->address, limit);
  }
  bool published = false;
  switch (outcome) {
    case Outcome::kReserved:
      break;
    case Outcome::kFull:
      published =
          reader->was_published && engine_->survives_restart() && CountPublished(key, spec).ok();
      if (published) break;
      reader->full = true;
      return absl::ResourceExhaustedError(absl::StrCat(
          "service \"", spec.name, "\" has as many channels without a publication as it may: ",
          limit, " (max_unpublished_channels); subscribe again when others have left"));
    case Outcome::kAddressFull:
      return absl::ResourceExhaustedError(
          absl::StrCat(reader->address, " holds as many channels without a publication as one ",
                       "address may: ", UnpublishedChannels::AddressLimit(limit),
                       ", a tenth of max_unpublished_channels; each is given back ",
                       absl::FormatDuration(kUnpublishedTtl), " after the last unsubscribe"));
  }
  std::shared_ptr<ChannelState> channel = Create(shard, key, snapshot, spec, now);
  if (!published) {
    channel->unpublished = std::make_unique<UnpublishedChannel>();
    channel->unpublished->address = std::string(reader->address);
  }
  if (channel->opening == nullptr) BeginOpen(table_.IndexOf(key), channel.get());
  UpdateIdle(channel.get());
  return channel;
}

absl::Status ChannelDirectory::CountPublished(const ChannelKey& key, const ServiceSpec& spec) {
  if (key.service->channels.load(std::memory_order_relaxed) >=
      static_cast<int64_t>(spec.max_channels)) {
    return absl::ResourceExhaustedError(
        absl::StrCat("service \"", spec.name,
                     "\" has as many channels as it may: ", spec.max_channels, " (max_channels)"));
  }
  key.service->channels.fetch_add(1, std::memory_order_relaxed);
  return absl::OkStatus();
}

void ChannelDirectory::EndUnpublished(ChannelTable::Shard& shard, ChannelState* channel) {
  const std::unique_ptr<UnpublishedChannel> ended = std::move(channel->unpublished);
  if (ended->idle) {
    shard.idle[channel->service].erase(ended->place);
    channel->service->unpublished.idle().fetch_sub(1, std::memory_order_relaxed);
  }
  channel->service->unpublished.Release(ended->address);
}

void ChannelDirectory::UpdateIdle(ChannelState* channel) {
  if (channel->unpublished == nullptr) return;
  UnpublishedChannel& unpublished = *channel->unpublished;
  const bool idle = !channel->wanted_by_name() && channel->opening == nullptr;
  if (unpublished.idle == idle) return;
  ChannelTable::Shard& shard = table_.shard(table_.IndexOf(*channel));
  shard.mu.AssertHeld();  // by the caller
  IdleChannels& list = shard.idle[channel->service];
  if (idle) {
    unpublished.place = list.insert(list.end(), channel);
  } else {
    list.erase(unpublished.place);
  }
  unpublished.idle = idle;
  channel->service->unpublished.idle().fetch_add(idle ? 1 : -1, std::memory_order_relaxed);
}

bool ChannelDirectory::EvictIdle(ChannelTable::Shard& shard, const ServiceState* service) {
  const auto list = shard.idle.find(service);
  if (list == shard.idle.end() || list->second.empty()) return false;
  const ChannelState& channel = *list->second.front();
  FANWIRE_CHECK(!channel.in_history_order);  // the order would keep a dangling pointer
  Forget(shard, shard.channels.find(ChannelKey(channel.service, channel.dialect, channel.name)));
  return true;
}

bool ChannelDirectory::MakeRoom(ServiceState* service, const ServiceSpec& spec) {
  UnpublishedChannels& unpublished = service->unpublished;
  for (size_t i = 0; i < ChannelTable::kShards; ++i) {
    if (unpublished.count() < static_cast<int64_t>(spec.max_unpublished_channels)) return true;
    if (unpublished.idle().load(std::memory_order_relaxed) == 0) return false;
    ChannelTable::Shard& shard = table_.shard(next_evicted_++ % ChannelTable::kShards);
    MutexLock lock(&shard.mu);
    if (EvictIdle(shard, service)) return true;
  }
  return false;
}

void ChannelDirectory::Forget(ChannelTable::Shard& shard, ChannelTable::Channels::iterator place) {
  const std::shared_ptr<ChannelState> channel = place->state;
  while (!channel->links.empty()) Remove(channel.get(), &channel->links.back());
  if (channel->unpublished != nullptr) {
    EndUnpublished(shard, channel.get());
  } else {
    channel->service->channels.fetch_sub(1, std::memory_order_relaxed);
  }
  if (channel->log != nullptr) engine_->Forget(std::move(channel->log));
  shard.channels.erase(place);
}

std::shared_ptr<ChannelState> ChannelDirectory::Create(ChannelTable::Shard& shard,
                                                       const ChannelKey& key,
                                                       const ServiceSnapshot& snapshot,
                                                       const ServiceSpec& spec,
                                                       absl::Duration now) {
  auto channel = std::make_shared<ChannelState>();
  channel->service = key.service;
  channel->dialect = key.dialect;
  channel->name = std::string(key.name);
  channel->pattern_counters = PatternTable::CountersOf(key.name);
  channel->hash = key.hash;
  channel->created = channel->last_used = now;
  ApplyPolicy(channel, snapshot, spec);
  shard.channels.emplace(channel);
  if (key.dialect == Dialect::kCommon && !key.service->waiting.empty()) {
    for (const std::shared_ptr<WorkerLink>& link : key.service->waiting.Take(key.name)) {
      SetExact(channel.get(), Want(channel, link), true);
    }
  }
  return channel;
}

void ChannelDirectory::ApplyPolicy(const std::shared_ptr<ChannelState>& channel,
                                   const ServiceSnapshot& snapshot, const ServiceSpec& spec) {
  const ChannelPolicy policy = spec.PolicyFor(channel->name);
  channel->services_version = snapshot.version;
  channel->backlog = policy.backlog;
  channel->gap = policy.gap;
  channel->keeps_history = policy.history.size > 0;
  if (channel->dialect != Dialect::kCommon) return;
  if (channel->log == nullptr) {
    channel->log = engine_->Open(spec.name, channel->name, policy.history, [&]() -> OpenedCallback {
      channel->opening = std::make_unique<ChannelOpening>();
      return [this, opened = std::weak_ptr<ChannelState>(channel)] {
        if (const std::shared_ptr<ChannelState> state = opened.lock()) OnOpened(state);
      };
    });
  } else if (!(channel->log->policy() == policy.history)) {
    channel->log->SetPolicy(policy.history, clock_->Now());
  }
}

void ChannelDirectory::BeginOpen(size_t index, ChannelState* channel) {
  if (channel->log == nullptr) return;
  channel->routed = channel->kept = channel->log->head().offset;
  for (ChannelLink& wanting : channel->links) wanting.next_offset = channel->routed + 1;
  if (channel->routed == 0) return;
  channel->created = -absl::InfiniteDuration();  // it is older than its state
  ChannelTable::Shard& shard = table_.shard(index);
  shard.mu.AssertHeld();  // by the caller
  if (channel->unpublished != nullptr) {
    EndUnpublished(shard, channel);
    channel->service->channels.fetch_add(1, std::memory_order_relaxed);
  }
  if (channel->log->oldest_received_at() < absl::InfiniteDuration()) NoteHistory(index, channel);
}

void ChannelDirectory::OnOpened(const std::shared_ptr<ChannelState>& channel) {
  const size_t index = table_.IndexOf(*channel);
  ChannelTable::Shard& shard = table_.shard(index);
  {
    MutexLock lock(&shard.mu);
    channel->opening->SetOpen();
    BeginOpen(index, channel.get());
    RefreshPatterns(channel.get());
    for (const ChannelOpening::Attached& attached : channel->opening->TakeAttached()) {
      ChannelLink* const wanting = channel->Find(attached.link.get());
      if (wanting == nullptr || !attached.position.has_value()) continue;
      ApplyPosition(channel.get(), wanting, *attached.position, clock_->Now());
      wanting->dirty = true;
    }
  }
  while (true) {
    std::deque<ChannelOpening::Waiting> waiting;
    {
      MutexLock lock(&shard.mu);
      waiting = channel->opening->Take();
      if (waiting.empty()) {
        channel->opening = nullptr;
        UpdateIdle(channel.get());
        return;
      }
    }
    for (const ChannelOpening::Waiting& next : waiting) next.go(absl::OkStatus());
  }
}

void ChannelDirectory::Reopen(const std::shared_ptr<ChannelState>& channel) {
  if (channel->opening != nullptr) return;  // it is being opened, and has the newest epoch then
  channel->opening = std::make_unique<ChannelOpening>();
  const std::string epoch = channel->epoch().ToText();
  for (ChannelLink& wanting : channel->links) {
    Release(&wanting);
    channel->opening->Attach(wanting.link,
                             WorkerPosition{.epoch = epoch, .offset = channel->routed});
    if (std::exchange(wanting.dirty, true)) continue;
    wanting.link->MarkDirty(channel, channel->service->lane, wanting.link->missed_since());
  }
  UpdateIdle(channel.get());
  engine_->Reopen(channel->log.get(), [&]() -> OpenedCallback {
    return [this, opened = std::weak_ptr<ChannelState>(channel)] {
      if (const std::shared_ptr<ChannelState> state = opened.lock()) OnOpened(state);
    };
  });
}

void ChannelDirectory::SkipMissed(const std::shared_ptr<ChannelState>& channel) {
  const int64_t head = channel->log->head().offset;
  if (head <= channel->routed) return;
  for (ChannelLink& wanting : channel->links) {
    if (wanting.dirty) continue;  // it comes to them by itself
    Introduce(*channel, &wanting, channel->routed);
    wanting.dirty = true;
    wanting.next_offset = channel->routed + 1;
    wanting.not_before = -absl::InfiniteDuration();
    wanting.link->MarkDirty(channel, channel->service->lane, clock_->Now());
  }
  channel->routed = head;
}

void ChannelDirectory::EndWaiting() {
  waiting_ended_.store(true, std::memory_order_relaxed);
  std::vector<ChannelOpening::Waiting> ended;
  ForEach([&](const std::shared_ptr<ChannelState>& channel) {
    if (channel->opening != nullptr) {
      channel->opening->TakeExpired(absl::InfiniteDuration(), &ended);
    }
  });
  for (const ChannelOpening::Waiting& waiting : ended) {
    waiting.go(absl::UnavailableError("control is stopping"));
  }
}

void ChannelDirectory::RefreshPatterns(ChannelState* channel) {
  if (!channel->is_open()) [[unlikely]]
    return;  // it is not known yet where a link is to begin
  PatternTable& patterns = channel->service->patterns_of(channel->dialect);
  const uint64_t generation = patterns.generation(channel->pattern_counters);
  if (generation == channel->pattern_generation) return;
  channel->pattern_generation = generation;
  std::vector<PatternTable::Wanting> matching;
  patterns.Match(channel->name, &matching);
  for (ChannelLink& wanting : channel->links) wanting.by_pattern = false;
  for (const PatternTable::Wanting& match : matching) {
    ChannelLink* wanting = channel->Find(match.link.get());
    if (wanting == nullptr) {
      wanting = &channel->links.emplace_back();
      wanting->link = match.link;
      wanting->next_offset = channel->routed + 1;
      if (match.link->held()) {
        ChannelTable::Shard& shard = table_.shard(table_.IndexOf(*channel));
        shard.mu.AssertHeld();  // by the caller
        const ChannelKey key(channel->service, channel->dialect, channel->name);
        HoldBack(*ChannelTable::Find(shard, key), wanting);
      }
    }
    wanting->by_pattern = true;
    bool reported = match.link->held();
    if (channel->opening != nullptr && channel->opening->IsAttachedByPattern(match.link.get())) {
      reported = wanting->dirty = true;  // its worker ended its report while the channel opened
    }
    if (!wanting->dirty || !reported) continue;
    if (wanting->handle.number != 0) continue;  // its worker told a position: it begins there
    if (const int64_t first = FirstMissed(*channel, *match.link, match.since);
        first < wanting->next_offset) {
      wanting->next_offset = first;
      wanting->not_before = std::max(match.since, match.link->missed_since());
    }
  }
  std::erase_if(channel->links, [](ChannelLink& wanting) {
    if (wanting.exact || wanting.by_pattern) return false;
    Release(&wanting);
    return true;
  });
}

int64_t ChannelDirectory::FirstMissed(const ChannelState& channel, const WorkerLink& link,
                                      absl::Duration since) {
  const int64_t next = channel.routed + 1;
  since = std::max(since, link.missed_since());
  if (since == absl::InfiniteDuration() || channel.log == nullptr) return next;
  // The worker was attached to an earlier control, and nobody knows since when it wants the
  // channel.  What that control has published, the worker has got, if its sessions wanted it.
  if (since == -absl::InfiniteDuration()) return std::min(next, channel.kept + 1);
  // The whole channel came after `since`: the worker missed it from offset 1 on.  Offsets that
  // history does not hold any more are then reported as a gap.
  if (channel.created >= since) return 1;
  return std::min(next, channel.log->FirstSince(since));
}

void ChannelDirectory::Introduce(const ChannelState& channel, ChannelLink* wanting,
                                 int64_t offset) {
  if (wanting->handle.number != 0) return;
  wanting->handle = wanting->link->Introduce({.service = channel.service->name,
                                              .channel = channel.name,
                                              .lane = channel.service->lane,
                                              .dialect = channel.dialect,
                                              .epoch = channel.epoch(),
                                              .backlog_policy = static_cast<int>(channel.backlog),
                                              .gap_policy = static_cast<int>(channel.gap),
                                              .offset = offset});
}

void ChannelDirectory::Release(ChannelLink* wanting) {
  if (wanting->handle.number != 0) wanting->link->Release(wanting->handle);
  wanting->handle = {};
}

ChannelLink* ChannelDirectory::Want(const std::shared_ptr<ChannelState>& channel,
                                    const std::shared_ptr<WorkerLink>& link) {
  if (ChannelLink* known = channel->Find(link.get()); known != nullptr) return known;
  ChannelLink& wanting = channel->links.emplace_back();
  wanting.link = link;
  wanting.next_offset = channel->routed + 1;
  // Of earlier publications the worker's sessions need those after a position that the worker tells
  // (Resume()), and those that their patterns missed (RefreshPatterns()).
  if (link->held()) HoldBack(channel, &wanting);
  return &wanting;
}

void ChannelDirectory::HoldBack(const std::shared_ptr<ChannelState>& channel,
                                ChannelLink* wanting) {
  wanting->dirty = true;
  wanting->next_offset = channel->routed + 1;
  wanting->not_before = -absl::InfiniteDuration();
  wanting->link->MarkDirty(channel, channel->service->lane, wanting->link->missed_since());
}

bool ChannelDirectory::SetExact(ChannelState* channel, ChannelLink* wanting, bool exact) {
  if (std::exchange(wanting->exact, exact) == exact) return false;
  if (channel->dialect != Dialect::kCommon) {
    WantedChannels& wanted = channel->service->wanted_of(channel->dialect);
    exact ? wanted.Add(channel->name) : wanted.Remove(channel->name);
  }
  channel->last_used = clock_->Now();
  UpdateIdle(channel);
  return true;
}

void ChannelDirectory::Remove(ChannelState* channel, ChannelLink* wanting) {
  SetExact(channel, wanting, false);
  Release(wanting);
  std::swap(*wanting, channel->links.back());
  channel->links.pop_back();
}

void ChannelDirectory::ForEach(
    absl::FunctionRef<void(const std::shared_ptr<ChannelState>&)> visit) {
  for (size_t i = 0; i < ChannelTable::kShards; ++i) {
    ChannelTable::Shard& shard = table_.shard(i);
    MutexLock lock(&shard.mu);
    for (const ChannelTable::Entry& entry : shard.channels) visit(entry.state);
  }
}

bool ChannelDirectory::IsIdle(const ChannelState& channel, bool history_empty,
                              absl::Duration now) const {
  if (channel.wanted_by_name() || channel.appending > 0 || !history_empty) return false;
  if (channel.opening != nullptr) return false;
  if (channel.unpublished != nullptr) return channel.last_used + kUnpublishedTtl <= now;
  absl::Duration ttl = options_.channel_idle_ttl;
  if (channel.log != nullptr) ttl = std::max(ttl, channel.log->policy().ttl);
  return channel.last_used + ttl <= now;
}

void ChannelDirectory::Sweep() {
  const absl::Duration now = clock_->Now();
  std::vector<ChannelOpening::Waiting> expired;
  size_t seen = 0;
  for (size_t i = 0; i < ChannelTable::kShards && seen < kSweepChannels; ++i) {
    const size_t index = next_shard_++ % ChannelTable::kShards;
    ChannelTable::Shard& shard = table_.shard(index);
    MutexLock lock(&shard.mu);
    seen += shard.channels.size();
    // The order is rebuilt: some channels are forgotten here, and an engine may have history of
    // others that it kept over a restart.
    shard.order.Clear();
    for (auto it = shard.channels.begin(); it != shard.channels.end();) {
      ChannelState& channel = *it->state;
      RefreshPatterns(&channel);
      if (channel.opening != nullptr) channel.opening->TakeExpired(now, &expired);
      const bool history_empty = channel.log == nullptr || channel.log->Trim(now);
      if (IsIdle(channel, history_empty, now)) {
        Forget(shard, it++);
      } else {
        shard.order.AddAgain(&channel);
        ++it;
      }
    }
    shard.order.EndAddAgain();
    table_.PublishOldest(index);
  }
  for (const ChannelOpening::Waiting& waiting : expired) {
    waiting.go(absl::UnavailableError(
        absl::StrCat("the ", engine_->name(), " engine could not open the channel within ",
                     absl::FormatDuration(ChannelOpening::kMaxWait), "; subscribe again")));
  }
  while (engine_->excess_bytes() > 0) {
    const int64_t before = engine_->history_bytes();
    TrimHistory();
    if (engine_->history_bytes() >= before) break;  // nothing is left to drop
  }
  for (ServiceState* const service : services()) service->idempotency.Expire(now);
}

void ChannelDirectory::AddToHistoryOrder(size_t index, ChannelState* channel) {
  ChannelTable::Shard& shard = table_.shard(index);
  shard.mu.AssertHeld();  // by the caller
  shard.order.Add(channel);
  table_.PublishOldest(index);
}

void ChannelDirectory::TrimHistory() {
  const int64_t now = absl::ToInt64Nanoseconds(clock_->Now());
  size_t left = kTrimPublications;
  for (int64_t excess = engine_->excess_bytes(); excess > 0; excess = engine_->excess_bytes()) {
    // If publishers add more than they drop, they drop more than kTrimPublications at a time.
    if (left == 0 && excess < engine_->history_bytes() / 20) return;
    size_t oldest = 0;
    int64_t first = HistoryOrder::kNone, second = HistoryOrder::kNone;
    for (size_t i = 0; i < ChannelTable::kShards; ++i) {
      const int64_t since = table_.oldest(i);
      if (since < first) {
        second = std::exchange(first, since);
        oldest = i;
      } else {
        second = std::min(second, since);
      }
    }
    if (first == HistoryOrder::kNone) return;
    // Drop what is older than everything in the other shards, and a little more, so that two
    // shards do not take turns for every publication.
    const int64_t slack = std::max<int64_t>(0, now - first) / 64;
    const int64_t until = second == HistoryOrder::kNone ? second : std::max(first, second) + slack;
    ChannelTable::Shard& shard = table_.shard(oldest);
    MutexLock lock(&shard.mu);
    // One at a time, because a single large publication may be enough.
    size_t dropped = 1;
    for (size_t n = 0; n < kTrimPublications && dropped > 0 && engine_->excess_bytes() > 0; ++n) {
      dropped = shard.order.Drop(until, 1);
      left -= std::min(left, dropped);
    }
    table_.PublishOldest(oldest);
  }
}

}  // namespace fanwire::control
