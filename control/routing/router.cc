#include "control/routing/router.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/time_format.h"
#include "common/timer_queue.h"
#include "common/uuid.h"
#include "control/events/delivery_counts.h"
#include "control/events/envelope.h"
#include "control/events/event_validation.h"
#include "control/links/subscribe.h"
#include "control/links/worker_link.h"
#include "control/routing/channel_directory.h"
#include "control/routing/channel_info.h"
#include "control/routing/channel_table.h"
#include "control/routing/delivery_report.h"
#include "control/routing/interest_view.h"
#include "control/routing/publish_counts.h"
#include "control/routing/receipt_tracker.h"
#include "control/routing/router_options.h"
#include "control/routing/subscriptions.h"
#include "proto/channel_name.h"
#include "proto/policies.h"

namespace fanwire::control {

namespace {

// Publications of one run after which the workers get what there is.
constexpr int kFlushEvery = 32;

// Above so many channels of a service their states are no longer found in the cache.
constexpr int64_t kManyChannels = 2000;

// One copy of an event: the origin or a mirror.
struct Copy {
  size_t shard = 0;  // its channel's
  std::shared_ptr<ChannelState> channel;
  PublicationPtr publication;
};

int64_t MicrosecondsSince(absl::Duration start, absl::Duration now) {
  return std::max<int64_t>(1, absl::ToInt64Microseconds(now - start));
}

// Of a publication whose receipt is not given yet, all that the receipt needs.
struct Pending {
  ReceiptSink* sink = nullptr;
  uint64_t tag = 0;
  std::string id;
  std::string idempotency_key;
  ServiceState* service = nullptr;
  PublishOutcome outcome;

  // Keeps the texts' memory.
  void Begin(ReceiptSink* to, uint64_t with) {
    sink = to;
    tag = with;
    id.clear();
    idempotency_key.clear();
    service = nullptr;
    outcome = {};
  }
};

}  // namespace

// What one PublishRun keeps between its publications: memory to use again, and whom to wake.
class PublishScratch {
 public:
  std::shared_ptr<const ServiceSnapshot> snapshot;
  absl::Time wall_zero;  // wall time of the monotonic clock's zero
  CheckedEvent checked;
  Pending pending;
  std::string timestamp;
  std::vector<ChannelKey> keys;
  std::vector<size_t> shards;
  std::vector<Copy> copies;
  std::vector<EngineAppend> appends;
  std::vector<std::shared_ptr<WorkerLink>> wakes;
  int unflushed = 0;
  // When the last publication was answered: the next one has waited for nothing else.
  absl::Duration answered = absl::InfiniteDuration();

  void Wake(const std::shared_ptr<WorkerLink>& link) {
    if (std::find(wakes.begin(), wakes.end(), link) == wakes.end()) wakes.push_back(link);
  }
  void Flush() {
    for (const std::shared_ptr<WorkerLink>& link : wakes) link->Flush();
    wakes.clear();
    unflushed = 0;
  }
};

namespace {

class RouterImpl final : public Router, public LinkOwner {
 public:
  RouterImpl(const RouterOptions& options, Engine* engine, const Clock* clock, TimerQueue* timers,
             std::shared_ptr<const ServiceTable> services)
      : options_(options),
        engine_(engine),
        clock_(clock),
        directory_(options, engine, clock),
        subscriptions_(&directory_, clock),
        tracker_(clock, timers) {
    directory_.SetServices(std::move(services));
  }

  // ------------------------------------------------------------------------------- publishing

  absl::StatusOr<Validation> Validate(const Event& event) override {
    if (stopping_.load(std::memory_order_relaxed)) return Stopping();
    const std::shared_ptr<const ServiceSnapshot> snapshot = directory_.snapshot();
    const ServiceEntry* const service = snapshot->Find(event.service);
    if (service == nullptr) return snapshot->table->NoSuchService(event.service);
    CheckedEvent checked;
    if (absl::Status status = CheckEvent(event, *service->spec, &checked); !status.ok()) {
      return status;
    }
    Validation validation;
    validation.channels.emplace_back(event.channel);
    for (std::string& mirror : checked.mirrors) validation.channels.push_back(std::move(mirror));
    validation.warnings = std::move(checked.warnings);
    return validation;
  }

  void StopPublishing() override { stopping_.store(true, std::memory_order_relaxed); }

  std::unique_ptr<PublishScratch> MakeScratch() override {
    auto scratch = std::make_unique<PublishScratch>();
    scratch->snapshot = directory_.snapshot();
    scratch->wall_zero = clock_->WallNow() - clock_->Now();
    return scratch;
  }

  void Publish(const Event& event, const PublishParams& params, ReceiptSink* sink, uint64_t tag,
               PublishScratch* scratch) override;

  void PublishFrame(absl::string_view service_name, Dialect dialect, absl::string_view channel_name,
                    absl::string_view frame) override ABSL_NO_THREAD_SAFETY_ANALYSIS {
    const std::shared_ptr<const ServiceSnapshot> snapshot = directory_.snapshot();
    const ServiceEntry* const service = snapshot->Find(service_name);
    if (service == nullptr) return;
    const ChannelKey key(service->state, dialect, channel_name);
    PublishScratch scratch;
    {
      ChannelTable::Shard& shard = directory_.table().shard(directory_.table().IndexOf(key));
      MutexLock lock(&shard.mu);
      const std::shared_ptr<ChannelState>* const channel = ChannelTable::Find(shard, key);
      if (channel == nullptr) return;
      directory_.RefreshPatterns(channel->get());
      if ((*channel)->links.empty()) return;
      Copy copy{
          .channel = *channel,
          .publication = Publication::Make({.max_envelope_bytes = frame.size(),
                                            .received_us = absl::ToUnixMicros(clock_->WallNow()),
                                            .received_at = clock_->Now(),
                                            .conflate_key = 1})};
      std::memcpy(copy.publication->buffer(), frame.data(), frame.size());
      copy.publication->SetEnvelope(frame.size(), 0, 0);
      Route(copy, &scratch, nullptr);
    }
    scratch.Flush();
  }

  std::vector<std::string> InterestedChannels(absl::string_view service, Dialect dialect) override {
    std::vector<std::string> channels;
    const ServiceState* const state = directory_.FindService(service);
    if (state == nullptr || (dialect != Dialect::kCommon &&
                             state->dialect_channels.load(std::memory_order_relaxed) == 0)) {
      return channels;
    }
    directory_.ForEach([&](ChannelState* channel) {
      if (channel->service != state || channel->dialect != dialect) return;
      if (std::any_of(channel->links.begin(), channel->links.end(),
                      [](const ChannelLink& link) { return link.exact; })) {
        channels.push_back(channel->name);
      }
    });
    return channels;
  }

  // ------------------------------------------------------------------------------- interest

  void AddInterest(const std::shared_ptr<WorkerLink>& link, const InterestView& interest) override {
    subscriptions_.AddInterest(link, interest);
  }
  void RemoveInterest(const std::shared_ptr<WorkerLink>& link,
                      const InterestView& interest) override {
    subscriptions_.RemoveInterest(link, interest);
  }
  void ClearInterest(const std::shared_ptr<WorkerLink>& link) override {
    subscriptions_.ClearInterest(link);
  }
  void BeginSnapshot(const std::shared_ptr<WorkerLink>& link) override {
    subscriptions_.BeginSnapshot(link);
  }
  void EndSnapshot(const std::shared_ptr<WorkerLink>& link) override {
    subscriptions_.EndSnapshot(link);
  }
  void Resume(const std::shared_ptr<WorkerLink>& link, absl::string_view service,
              absl::string_view channel, absl::string_view epoch, int64_t offset) override {
    subscriptions_.Resume(link, service, channel, epoch, offset);
  }
  void Subscribe(const std::shared_ptr<WorkerLink>& link, SubscribeRequest request) override {
    subscriptions_.Subscribe(link, std::move(request));
  }
  void Repair(const std::shared_ptr<WorkerLink>& link) override { subscriptions_.Repair(link); }

  LinkOwner* link_owner() override { return this; }

  void OnRoom(const std::shared_ptr<WorkerLink>& link) override { subscriptions_.Repair(link); }
  void OnExpired(WorkerLink* link, uint64_t tracking_id) override {
    tracker_.OnReport(link->id(), {.tracking_id = tracking_id, .counts = {}, .final = true});
  }

  // ------------------------------------------------------------------------------- receipts

  void OnReport(uint64_t link_id, const DeliveryReport& report) override {
    tracker_.OnReport(link_id, report);
  }
  void WorkerGone(uint64_t link_id) override { tracker_.WorkerGone(link_id); }

  // ------------------------------------------------------------------------------- questions

  absl::StatusOr<std::vector<ChannelSummary>> ListChannels(absl::string_view service,
                                                           absl::string_view pattern) override {
    absl::StatusOr<ChannelPattern> wanted = ChannelPattern::Parse(pattern.empty() ? "**" : pattern);
    if (!wanted.ok()) return wanted.status();
    std::vector<ChannelSummary> channels;
    directory_.ForEach([&](ChannelState* channel) {
      if (channel->dialect != Dialect::kCommon) return;
      if (!service.empty() && channel->service->name != service) return;
      if (!wanted->Matches(channel->name)) return;
      channels.push_back(Summarize(channel));
    });
    return channels;
  }

  absl::StatusOr<ChannelSummary> GetChannel(absl::string_view service_name,
                                            absl::string_view channel_name) override {
    ServiceState* const service = directory_.FindService(service_name);
    if (service == nullptr) return directory_.snapshot()->table->NoSuchService(service_name);
    const ChannelKey key(service, Dialect::kCommon, channel_name);
    ChannelTable::Shard& shard = directory_.table().shard(directory_.table().IndexOf(key));
    MutexLock lock(&shard.mu);
    const std::shared_ptr<ChannelState>* const channel = ChannelTable::Find(shard, key);
    if (channel == nullptr) {
      return absl::NotFoundError(absl::StrCat("service \"", service_name, "\" has no channel \"",
                                              channel_name, "\" with state"));
    }
    return Summarize(channel->get());
  }

  absl::StatusOr<HistorySlice> ReadHistory(const HistoryRequest& request) override;

  PublishCounts Counts(absl::string_view service) override {
    const ServiceState* const state = directory_.FindService(service);
    if (state == nullptr) return {};
    constexpr auto kRelaxed = std::memory_order_relaxed;
    return {.accepted = state->accepted.load(kRelaxed),
            .mirrored = state->mirrored.load(kRelaxed),
            .refused = state->refused.load(kRelaxed),
            .duplicates = state->duplicates.load(kRelaxed),
            .evicted_keys = state->idempotency.evicted(),
            .catalog_warnings = state->catalog_warnings.load(kRelaxed),
            .channels = state->channels.load(kRelaxed),
            .seconds = state->publish_seconds.snapshot()};
  }

  // ------------------------------------------------------------------------------- the rest

  void AddObserver(PublicationObserver* observer) override {
    for (size_t i = 0; i < ChannelTable::kShards; ++i) {
      ChannelTable::Shard& shard = directory_.table().shard(i);
      MutexLock lock(&shard.mu);
      shard.observers.push_back(observer);
    }
  }

  void RemoveObserver(PublicationObserver* observer) override {
    for (size_t i = 0; i < ChannelTable::kShards; ++i) {
      ChannelTable::Shard& shard = directory_.table().shard(i);
      MutexLock lock(&shard.mu);
      std::erase(shard.observers, observer);
    }
  }

  void SetServices(std::shared_ptr<const ServiceTable> services) override {
    directory_.SetServices(std::move(services));
  }

  void Sweep() override { directory_.Sweep(); }

 private:
  static absl::Status Stopping() {
    return absl::UnavailableError("control is stopping: try again, with the same idempotency_key");
  }

  ChannelSummary Summarize(ChannelState* channel) {
    directory_.RefreshPatterns(channel);
    return {.service = channel->service->name,
            .channel = channel->name,
            .history = channel->log->Describe(clock_->Now()),
            .publications = channel->publications,
            .last_published = channel->last_published_us == 0
                                  ? absl::InfinitePast()
                                  : absl::FromUnixMicros(channel->last_published_us),
            .workers = static_cast<int32_t>(channel->links.size())};
  }

  // Queues the copy on every link that wants its channel, whose shard is locked.  `delivery` counts
  // the workers; may be null.
  void Route(const Copy& copy, PublishScratch* scratch, DeliveryCounts* delivery);

  // Routes what the engine has kept; the shards are locked.
  void RouteAll(const std::vector<Copy>& copies, PublishScratch* scratch, DeliveryCounts* delivery);

  // Gives the receipt now, or takes `pending` and sees to it that the receipt comes when the
  // workers have reported.
  void Answer(Pending* pending, ReceiptLevel level, uint64_t record, absl::Duration received,
              absl::Duration now, absl::Duration deadline);
  void Finish(const Pending& pending);
  void Refuse(const Pending& pending, const absl::Status& status);

  const RouterOptions options_;
  Engine* const engine_;
  const Clock* const clock_;
  ChannelDirectory directory_;
  Subscriptions subscriptions_;
  ReceiptTracker tracker_;
  std::atomic<bool> stopping_{false};
  LogLimiter catalog_faults_{absl::Seconds(10)};
};

void RouterImpl::Publish(const Event& event, const PublishParams& params, ReceiptSink* sink,
                         uint64_t tag, PublishScratch* scratch) {
  const absl::Duration received = scratch->answered == absl::InfiniteDuration()
                                      ? clock_->Now()
                                      : std::exchange(scratch->answered, absl::InfiniteDuration());
  const absl::Time wall = scratch->wall_zero + received;
  Pending& pending = scratch->pending;
  pending.Begin(sink, tag);
  pending.id.assign(event.id.data(), event.id.size());
  if (stopping_.load(std::memory_order_relaxed)) return Refuse(pending, Stopping());
  const ServiceEntry* const service = scratch->snapshot->Find(event.service);
  if (service == nullptr) {
    return Refuse(pending, scratch->snapshot->table->NoSuchService(event.service));
  }
  pending.service = service->state;
  const ChannelKey key(service->state, Dialect::kCommon, event.channel);
  const size_t shard_index = directory_.table().IndexOf(key);
  ChannelTable::Shard& own_shard = directory_.table().shard(shard_index);
  const bool many = service->state->channels.load(std::memory_order_relaxed) > kManyChannels;
  if (many) {
    MutexLock lock(&own_shard.mu);
    ChannelTable::PrefetchPlace(own_shard, key);
  }
  CheckedEvent& checked = scratch->checked;
  if (absl::Status status = CheckEvent(event, *service->spec, &checked); !status.ok()) {
    return Refuse(pending, status);
  }
  if (!checked.warnings.empty()) {
    service->state->catalog_warnings.fetch_add(1, std::memory_order_relaxed);
    if (int64_t left_out; catalog_faults_.Admit(&left_out)) {
      LogWarning("catalog.fault", {{"service", event.service},
                                   {"event", event.event},
                                   {"fault", checked.warnings.front()},
                                   {"left_out", left_out}});
    }
  }
  if (!event.idempotency_key.empty()) {
    switch (service->state->idempotency.Begin(event.idempotency_key, received,
                                              {.sink = sink, .tag = tag}, &pending.outcome,
                                              &pending.id)) {
      case IdempotencyWindow::Claim::kNew:
        pending.idempotency_key.assign(event.idempotency_key.data(), event.idempotency_key.size());
        break;
      case IdempotencyWindow::Claim::kSettled:
        service->state->duplicates.fetch_add(1, std::memory_order_relaxed);
        pending.outcome.id = pending.id;
        sink->OnReceipt(tag, pending.outcome);
        return;
      case IdempotencyWindow::Claim::kWaiting:
        service->state->duplicates.fetch_add(1, std::memory_order_relaxed);
        return;
    }
  }
  if (pending.id.empty()) AppendUuid(&pending.id);
  if (many) {
    MutexLock lock(&own_shard.mu);
    ChannelTable::PrefetchState(own_shard, key);
  }

  // The copies, outside of all locks.
  scratch->timestamp.clear();
  AppendIso8601(event.occurred_at == absl::InfinitePast() ? wall : event.occurred_at,
                &scratch->timestamp);
  const size_t copies = 1 + checked.mirrors.size();
  const uint64_t record = params.level == ReceiptLevel::kWritten ? tracker_.Open() : 0;
  scratch->keys.clear();
  scratch->shards.clear();
  scratch->copies.clear();
  for (size_t i = 0; i < copies; ++i) {
    const absl::string_view room =
        i == 0 ? event.channel : absl::string_view(checked.mirrors[i - 1]);
    const EnvelopeParts parts{.id = pending.id,
                              .event = event.event,
                              .data = checked.data,
                              .timestamp = scratch->timestamp,
                              .room = room};
    const size_t max_bytes = MaxEnvelopeBytes(parts);
    if (max_bytes > kMaxEnvelopeBytes) {
      if (record != 0) tracker_.Cancel(record);
      return Refuse(pending, absl::InvalidArgumentError(
                                 absl::StrCat("event: the envelope would have ", max_bytes,
                                              " bytes, at most ", kMaxEnvelopeBytes, " allowed")));
    }
    Copy copy;
    copy.publication = Publication::Make(
        {.event = event.event,
         .exclude_connection = event.exclude_connection,
         .max_envelope_bytes = max_bytes,
         .received_us = absl::ToUnixMicros(wall),
         .received_at = received,
         .expires_at = event.ttl == absl::InfiniteDuration() ? event.ttl : received + event.ttl,
         .conflate_key = checked.conflate_key,
         .tracking_id = record == 0 ? 0 : record + i});
    WriteEnvelope(parts, copy.publication.get());
    scratch->keys.push_back(i == 0 ? key : ChannelKey(service->state, Dialect::kCommon, room));
    copy.shard = i == 0 ? shard_index : directory_.table().IndexOf(scratch->keys.back());
    scratch->shards.push_back(copy.shard);
    scratch->copies.push_back(std::move(copy));
  }

  const absl::Duration wait =
      std::min(params.wait <= absl::ZeroDuration() ? absl::Seconds(5) : params.wait,
               options_.max_receipt_wait);
  absl::Status refusal;
  bool pending_append = false;
  {
    ShardLocks locks(&directory_.table(), &scratch->shards);
    for (size_t i = 0; i < copies && refusal.ok(); ++i) {
      ChannelTable::Shard& shard = directory_.table().shard(scratch->copies[i].shard);
      shard.mu.AssertHeld();
      auto channel = directory_.FindOrCreate(shard, scratch->keys[i], *scratch->snapshot,
                                             *service->spec, received);
      refusal = channel.status();
      if (channel.ok()) scratch->copies[i].channel = *std::move(channel);
    }
    if (refusal.ok() && !event.skip_history) {
      scratch->appends.clear();
      for (const Copy& copy : scratch->copies) {
        scratch->appends.push_back(
            {.channel = copy.channel->log.get(), .publication = copy.publication});
      }
      const AppendOutcome appended =
          engine_->Append(scratch->appends, received, [&]() -> EngineCallback {
            auto held = std::make_shared<Pending>(pending);
            return [this, held, copies = scratch->copies, level = params.level, record, received,
                    deadline = received + wait](const absl::Status& status) {
              PublishScratch late;
              for (const Copy& copy : copies) {
                late.shards.push_back(copy.shard);
              }
              {
                ShardLocks late_locks(&directory_.table(), &late.shards);
                for (const Copy& copy : copies) --copy.channel->appending;
                if (status.ok()) RouteAll(copies, &late, &held->outcome.delivery);
              }
              late.Flush();
              if (!status.ok()) {
                if (record != 0) tracker_.Cancel(record);
                Refuse(*held, status);
                return;
              }
              held->outcome.position = {.epoch = copies[0].publication->epoch(),
                                        .offset = copies[0].publication->offset()};
              Answer(held.get(), level, record, received, clock_->Now(), deadline);
            };
          });
      if (appended == AppendOutcome::kPending) {
        pending_append = true;
        for (const Copy& copy : scratch->copies) ++copy.channel->appending;
      }
    }
    if (refusal.ok() && !pending_append) {
      RouteAll(scratch->copies, scratch, &pending.outcome.delivery);
    }
  }
  if (!refusal.ok()) {
    if (record != 0) tracker_.Cancel(record);
    return Refuse(pending, refusal);
  }
  const bool flush = ++scratch->unflushed >= kFlushEvery;
  if (pending_append) return;
  pending.outcome.position = {.epoch = scratch->copies[0].publication->epoch(),
                              .offset = scratch->copies[0].publication->offset()};
  scratch->copies.clear();
  if (flush) scratch->Flush();
  scratch->answered = clock_->Now();
  Answer(&pending, params.level, record, received, scratch->answered, received + wait);
}

void RouterImpl::RouteAll(const std::vector<Copy>& copies, PublishScratch* scratch,
                          DeliveryCounts* delivery) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  for (size_t i = 0; i < copies.size(); ++i) {
    const Copy& copy = copies[i];
    ChannelState& channel = *copy.channel;
    directory_.RefreshPatterns(&channel);
    ++channel.publications;
    channel.last_published_us = copy.publication->received_us();
    Route(copy, scratch, delivery);
    for (PublicationObserver* observer : directory_.table().shard(copy.shard).observers) {
      observer->OnPublication({.service = channel.service->name,
                               .channel = channel.name,
                               .mirror = i > 0,
                               .publication = copy.publication});
    }
  }
  constexpr auto kRelaxed = std::memory_order_relaxed;
  copies[0].channel->service->accepted.fetch_add(1, kRelaxed);
  if (copies.size() > 1) {
    copies[0].channel->service->mirrored.fetch_add(static_cast<int64_t>(copies.size() - 1),
                                                   kRelaxed);
  }
}

void RouterImpl::Route(const Copy& copy, PublishScratch* scratch, DeliveryCounts* delivery) {
  ChannelState& channel = *copy.channel;
  const PublicationPtr& publication = copy.publication;
  const int64_t offset = publication->offset();
  if (offset > 0) channel.routed = offset;
  for (ChannelLink& wanting : channel.links) {
    const uint64_t tracking_id = publication->tracking_id();
    if (wanting.dirty) {
      // With a position it comes from history in its turn; without one it is gone.
      if (offset == 0) {
        wanting.link->CountDropped();
        continue;
      }
      if (tracking_id != 0) tracker_.AddPart(tracking_id, wanting.link->id());
      if (delivery != nullptr) ++delivery->workers_total;
      continue;
    }
    ChannelDirectory::Introduce(channel, &wanting, offset > 0 ? offset - 1 : channel.routed);
    if (tracking_id != 0) tracker_.AddPart(tracking_id, wanting.link->id());
    switch (wanting.link->Deliver(wanting.handle, publication, /*repair=*/false)) {
      case LinkOffer::kQueued:
        scratch->Wake(wanting.link);
        if (delivery != nullptr) ++delivery->workers_total;
        break;
      case LinkOffer::kFull:
        if (offset == 0) {
          wanting.link->CountDropped();
          if (tracking_id != 0) tracker_.RemovePart(tracking_id, wanting.link->id());
          break;
        }
        wanting.dirty = true;
        wanting.next_offset = offset;
        wanting.link->MarkDirty(copy.channel);
        scratch->Wake(wanting.link);
        if (delivery != nullptr) ++delivery->workers_total;
        break;
      case LinkOffer::kClosed:
        if (tracking_id != 0) tracker_.RemovePart(tracking_id, wanting.link->id());
        break;
    }
  }
}

void RouterImpl::Answer(Pending* pending, ReceiptLevel level, uint64_t record,
                        absl::Duration received, absl::Duration now, absl::Duration deadline) {
  const int64_t elapsed = MicrosecondsSince(received, now);
  pending->service->publish_seconds.Observe(1e-6 * static_cast<double>(elapsed));
  pending->outcome.stages.accepted = elapsed;
  pending->outcome.level = ReceiptLevel::kAccepted;
  if (level == ReceiptLevel::kAccepted) {
    pending->outcome.delivery = {};
    Finish(*pending);
    return;
  }
  pending->outcome.stages.routed = elapsed;
  pending->outcome.level = ReceiptLevel::kRouted;
  if (level == ReceiptLevel::kRouted) {
    Finish(*pending);
    return;
  }
  tracker_.Await(
      record, deadline,
      [this, pending = std::move(*pending)](const ReceiptTracker::Result& result) mutable {
        PublishOutcome& outcome = pending.outcome;
        outcome.delivery = result.counts;
        outcome.timed_out = result.timed_out;
        if (!result.timed_out) outcome.level = ReceiptLevel::kWritten;
        const auto since_received = [&](int64_t us) {
          return us == 0 ? 0 : outcome.stages.routed + us;
        };
        outcome.stages.first_written = since_received(result.first_written_us);
        outcome.stages.last_written = since_received(result.last_written_us);
        Finish(pending);
      });
}

void RouterImpl::Finish(const Pending& pending) {
  PublishOutcome outcome = pending.outcome;
  outcome.id = pending.id;
  std::vector<IdempotencyWindow::Waiter> waiters;
  if (!pending.idempotency_key.empty()) {
    waiters = pending.service->idempotency.Settle(pending.idempotency_key, outcome, clock_->Now());
  }
  pending.sink->OnReceipt(pending.tag, outcome);
  outcome.duplicate = true;
  for (const IdempotencyWindow::Waiter& waiter : waiters) {
    waiter.sink->OnReceipt(waiter.tag, outcome);
  }
}

void RouterImpl::Refuse(const Pending& pending, const absl::Status& status) {
  PublishOutcome outcome;
  outcome.status = status;
  outcome.id = pending.id;
  std::vector<IdempotencyWindow::Waiter> waiters;
  if (pending.service != nullptr) {
    pending.service->refused.fetch_add(1, std::memory_order_relaxed);
    if (!pending.idempotency_key.empty()) {
      waiters = pending.service->idempotency.Release(pending.idempotency_key);
    }
  }
  pending.sink->OnReceipt(pending.tag, outcome);
  for (const IdempotencyWindow::Waiter& waiter : waiters) {
    waiter.sink->OnReceipt(waiter.tag, outcome);
  }
}

absl::StatusOr<HistorySlice> RouterImpl::ReadHistory(const HistoryRequest& request) {
  const std::shared_ptr<const ServiceSnapshot> snapshot = directory_.snapshot();
  const ServiceEntry* const service = snapshot->Find(request.service);
  if (service == nullptr) return snapshot->table->NoSuchService(request.service);
  if (absl::Status status = CheckChannelName(request.channel, service->spec->max_channel_bytes);
      !status.ok()) {
    return status;
  }
  const absl::Duration now = clock_->Now();
  const ChannelKey key(service->state, Dialect::kCommon, request.channel);
  ChannelTable::Shard& shard = directory_.table().shard(directory_.table().IndexOf(key));
  HistorySlice slice;
  MutexLock lock(&shard.mu);
  const std::shared_ptr<ChannelState>* const found = ChannelTable::Find(shard, key);
  if (found == nullptr) return slice;
  ChannelState& channel = **found;
  const HistoryState state = channel.log->Describe(now);
  slice.head = state.head;
  if (state.oldest_offset == 0) return slice;
  int64_t after = state.oldest_offset - 1;
  if (request.since.has_value() && request.since->epoch == state.head.epoch) {
    after = std::max(after, request.since->offset);
  }
  const auto limit = static_cast<int64_t>(request.limit);
  int64_t until = state.head.offset;
  if (after >= until || limit == 0) {
    slice.more = after < until;
    return slice;
  }
  if (request.reverse) {
    slice.more = until - after > limit;
    after = std::max(after, until - limit);
  } else {
    slice.more = until - after > limit;
    until = std::min(until, after + limit);
  }
  // In reverse all of the limit is read first: the newest are what counts.
  std::vector<PublicationPtr> page;
  const ReadOutcome outcome =
      channel.log->ReadAfter(after, until, request.reverse ? SIZE_MAX : request.max_bytes, now,
                             &page, []() -> EngineCallback { return [](const absl::Status&) {}; });
  if (outcome != ReadOutcome::kOk) {
    return absl::UnavailableError("history is being fetched: try again");
  }
  if (request.reverse) std::reverse(page.begin(), page.end());
  if (!request.reverse && page.back()->offset() < until) slice.more = true;
  size_t bytes = 0;
  for (PublicationPtr& publication : page) {
    if (publication->expires_at() <= now) continue;
    bytes += publication->envelope().size();
    if (bytes > request.max_bytes && !slice.publications.empty()) {
      slice.more = true;
      break;
    }
    slice.publications.push_back(std::move(publication));
  }
  return slice;
}

}  // namespace

std::unique_ptr<Router> Router::Make(RouterOptions options, Engine* engine, const Clock* clock,
                                     TimerQueue* timers,
                                     std::shared_ptr<const ServiceTable> services) {
  return std::make_unique<RouterImpl>(options, engine, clock, timers, std::move(services));
}

PublishRun::PublishRun(Router* router) : router_(router), scratch_(router->MakeScratch()) {}

PublishRun::~PublishRun() { Flush(); }

void PublishRun::Publish(const Event& event, const PublishParams& params, ReceiptSink* sink,
                         uint64_t tag) {
  router_->Publish(event, params, sink, tag, scratch_.get());
}

void PublishRun::Interrupted() { scratch_->answered = absl::InfiniteDuration(); }

void PublishRun::Flush() { scratch_->Flush(); }

}  // namespace fanwire::control
