#include "control/routing/router.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/time_format.h"
#include "common/uuid.h"
#include "control/config/service_table.h"
#include "control/engine/engine.h"
#include "control/events/delivery_counts.h"
#include "control/events/envelope.h"
#include "control/events/event_validation.h"
#include "control/events/fingerprint.h"
#include "control/events/typed_event.h"
#include "control/links/worker_link.h"
#include "control/routing/channel_directory.h"
#include "control/routing/channel_table.h"
#include "control/routing/fan_out.h"
#include "control/routing/publish_receipts.h"
#include "control/routing/receipt_tracker.h"
#include "control/routing/wake_list.h"
#include "proto/channel_name.h"
#include "proto/policies.h"

namespace fanwire::control {

namespace {

// A run wakes the workers' writers after this many publications.
constexpr int kFlushEvery = 32;

// If a service has more channels than this, their states do not fit into the processor's cache, and
// prefetching pays.
constexpr int64_t kManyChannels = 2000;

// A log line repeats at most this much of an unknown service's name, which may be any text.
constexpr size_t kMaxLoggedBytes = 100;

// A publication that the engine has not acknowledged yet.
struct LatePublication {
  PendingReceipt receipt;
  std::vector<RoutedCopy> copies;
  ReceiptLevel level;
  uint64_t record;
  absl::Duration received;
  absl::Duration deadline;
};

class RouterImpl;

// Keeps the links to wake, and buffers that the next publication of the run uses again.
class Run final : public PublishRun {
 public:
  Run(RouterImpl* router, std::shared_ptr<const ServiceSnapshot> services, const Clock& clock)
      : services(std::move(services)), wall_zero(clock.WallNow() - clock.Now()), router_(router) {}
  ~Run() override { wakes.Flush(); }

  void Publish(const Event& event, const PublishParams& params, ReceiptSink* sink,
               uint64_t tag) override;
  void Refuse(const Event& event, const absl::Status& status, ReceiptSink* sink,
              uint64_t tag) override;
  void CountDuplicate(const Event& event) override;
  void Flush() override {
    wakes.Flush();
    unflushed = 0;
  }

  const std::shared_ptr<const ServiceSnapshot> services;
  const absl::Time wall_zero;  // wall time of the monotonic clock's zero
  CheckedEvent checked;
  PendingReceipt pending;
  std::string timestamp;
  std::vector<ChannelKey> keys;
  std::vector<size_t> shards;
  std::vector<RoutedCopy> copies;
  std::vector<EngineAppend> appends;
  WakeList wakes;
  int unflushed = 0;
  // When the last publication was answered.  It serves as the time at which the next one was
  // received, which saves a call of the clock; infinite if other work was done in between.
  absl::Duration answered = absl::InfiniteDuration();

 private:
  RouterImpl* const router_;
};

class RouterImpl final : public Router {
 public:
  RouterImpl(const Options& options, ChannelDirectory* directory, ReceiptTracker* tracker,
             Engine* engine, const Clock* clock)
      : options_(options),
        directory_(directory),
        tracker_(tracker),
        engine_(engine),
        clock_(clock),
        receipts_(tracker, &directory->refused_elsewhere(), clock),
        fan_out_(directory, tracker) {}

  std::unique_ptr<PublishRun> MakeRun() override {
    return std::make_unique<Run>(this, directory_->snapshot(), *clock_);
  }

  absl::StatusOr<Validation> Validate(const Event& given) override {
    if (stopping_.load(std::memory_order_relaxed)) return Stopping();
    const std::shared_ptr<const ServiceSnapshot> snapshot = directory_->snapshot();
    const ServiceEntry* const service = snapshot->Find(given.service);
    if (service == nullptr) return snapshot->table->NoSuchService(given.service);
    TypedEvent typed;
    Event event = given;
    if (given.typed_message) {
      if (absl::Status status = MakeTyped(given, *service->spec, &typed); !status.ok()) {
        return status;
      }
      event = AsPublished(given, typed);
    }
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

  void CountRefusal(absl::string_view service, const absl::Status& status) override {
    const ServiceEntry* const entry = directory_->snapshot()->Find(service);
    (entry == nullptr ? directory_->refused_elsewhere() : entry->state->refused).Add(status);
  }

  void StopPublishing() override { stopping_.store(true, std::memory_order_relaxed); }

  void PublishFrame(absl::string_view service, Dialect dialect, absl::string_view channel,
                    absl::string_view frame) override {
    RouteUnkept(service, dialect, channel, [&] {
      PublicationPtr publication =
          Publication::Make({.max_envelope_bytes = frame.size(),
                             .received_us = absl::ToUnixMicros(clock_->WallNow()),
                             .received_at = clock_->Now(),
                             .conflate_key = 1});
      std::memcpy(publication->buffer(), frame.data(), frame.size());
      publication->SetEnvelope(frame.size(), 0, 0);
      return publication;
    });
  }

  void PublishNotice(const Notice& notice) override {
    RouteUnkept(notice.service, Dialect::kCommon, notice.channel, [&] {
      const absl::Time wall = clock_->WallNow();
      std::string id;
      AppendUuid(&id);
      const std::string timestamp = FormatIso8601(wall);
      const EnvelopeParts parts{.id = id,
                                .event = notice.event,
                                .data = notice.data,
                                .timestamp = timestamp,
                                .room = notice.channel};
      PublicationPtr publication =
          Publication::Make({.event = notice.event,
                             .exclude_connection = notice.exclude_connection,
                             .max_envelope_bytes = MaxEnvelopeBytes(parts),
                             .received_us = absl::ToUnixMicros(wall),
                             .received_at = clock_->Now(),
                             .conflate_key = notice.conflate_key});
      WriteEnvelope(parts, publication.get());
      return publication;
    });
  }

  void AddObserver(PublicationObserver* observer) override {
    for (size_t i = 0; i < ChannelTable::kShards; ++i) {
      ChannelTable::Shard& shard = directory_->table().shard(i);
      MutexLock lock(&shard.mu);
      shard.observers.push_back(observer);
    }
  }

  void RemoveObserver(PublicationObserver* observer) override {
    for (size_t i = 0; i < ChannelTable::kShards; ++i) {
      ChannelTable::Shard& shard = directory_->table().shard(i);
      MutexLock lock(&shard.mu);
      std::erase(shard.observers, observer);
    }
  }

  // See PublishRun.
  void Publish(const Event& event, const PublishParams& params, ReceiptSink* sink, uint64_t tag,
               Run* run);
  void Refuse(const Event& event, const absl::Status& status, ReceiptSink* sink, uint64_t tag,
              Run* run);

 private:
  static absl::Status Stopping() {
    return absl::UnavailableError("control is stopping: try again, with the same idempotency_key");
  }

  absl::Status TooManyWait() const {
    return absl::UnavailableError(
        absl::StrCat("the ", engine_->name(),
                     " engine has too many publications waiting: try again, with the same "
                     "idempotency_key"));
  }

  // Publishes what a message of the catalog says.
  void PublishTyped(const Event& event, const PublishParams& params, ReceiptSink* sink,
                    uint64_t tag, Run* run);
  absl::Status MakeTyped(const Event& event, const ServiceSpec& service, TypedEvent* typed) const;

  // Routes the publication that `make` returns, which the engine does not get.  `make` is called
  // only if a worker wants the channel, with its shard locked.
  void RouteUnkept(absl::string_view service_name, Dialect dialect, absl::string_view channel_name,
                   absl::FunctionRef<PublicationPtr()> make);

  // The engine has kept or refused the publication.  No shard may be locked.
  void EndLate(LatePublication* late, const absl::Status& status);

  // Keeps the publication that `make` returns until the channel is open, if a worker may want it.
  // The channel's shard must be locked.
  void WaitForOpening(const std::shared_ptr<ChannelState>& channel,
                      absl::FunctionRef<PublicationPtr()> make);
  // Routes what waited for its channel to be open.  No shard may be locked.
  void RouteLate(const RoutedCopy& copy);

  // Refuses an event whose service is not configured.
  void RefuseUnknownService(const Event& event, const Run& run, const PendingReceipt& pending);

  // Claims the event's idempotency key, if it has one.  Returns false if the event must not be
  // published: it repeats an earlier event, and has the earlier event's receipt or will get it, or
  // it was refused.  `fingerprint` is what the key stands for.
  bool ClaimKey(const Event& event, absl::Duration received, PendingReceipt* pending,
                uint64_t* fingerprint);

  const Options options_;
  ChannelDirectory* const directory_;
  ReceiptTracker* const tracker_;
  Engine* const engine_;
  const Clock* const clock_;
  PublishReceipts receipts_;
  FanOut fan_out_;
  std::atomic<bool> stopping_{false};
  LogLimiter catalog_faults_{absl::Seconds(10)};
  LogLimiter unknown_services_{absl::Minutes(1)};
};

void RouterImpl::Refuse(const Event& event, const absl::Status& status, ReceiptSink* sink,
                        uint64_t tag, Run* run) {
  run->answered = absl::InfiniteDuration();
  PendingReceipt& pending = run->pending;
  pending.Begin(sink, tag);
  pending.id.assign(event.id.data(), event.id.size());
  if (const ServiceEntry* const service = run->services->Find(event.service); service != nullptr) {
    pending.service = service->state;
  }
  receipts_.Refuse(pending, status);
}

void RouterImpl::PublishTyped(const Event& event, const PublishParams& params, ReceiptSink* sink,
                              uint64_t tag, Run* run) {
  const ServiceEntry* const service = run->services->Find(event.service);
  TypedEvent typed;
  if (service != nullptr) {
    if (absl::Status status = MakeTyped(event, *service->spec, &typed); !status.ok()) {
      return Refuse(event, status, sink, tag, run);
    }
  }
  Publish(AsPublished(event, typed), params, sink, tag, run);
}

absl::Status RouterImpl::MakeTyped(const Event& event, const ServiceSpec& service,
                                   TypedEvent* typed) const {
  const absl::Time now =
      event.occurred_at == absl::InfinitePast() ? clock_->WallNow() : event.occurred_at;
  return MakeTypedEvent(service.catalog, event, FormatIso8601(now), typed);
}

void RouterImpl::RefuseUnknownService(const Event& event, const Run& run,
                                      const PendingReceipt& pending) {
  if (int64_t left_out; unknown_services_.Admit(&left_out)) {
    LogWarning("publish.unknown_service",
               {{"service", event.service.substr(0, kMaxLoggedBytes)}, {"left_out", left_out}});
  }
  receipts_.Refuse(pending, run.services->table->NoSuchService(event.service));
}

bool RouterImpl::ClaimKey(const Event& event, absl::Duration received, PendingReceipt* pending,
                          uint64_t* fingerprint) {
  if (event.idempotency_key.empty()) return true;
  *fingerprint = Fingerprint(event);
  std::string earlier_channel;
  switch (pending->service->idempotency.Begin(
      event.idempotency_key, {.fingerprint = *fingerprint, .channel = event.channel}, received,
      {.sink = pending->sink, .tag = pending->tag}, &pending->outcome, &pending->id,
      &earlier_channel)) {
    case IdempotencyWindow::Claim::kNew:
      pending->idempotency_key.assign(event.idempotency_key.data(), event.idempotency_key.size());
      return true;
    case IdempotencyWindow::Claim::kSettled:
      pending->service->duplicates.fetch_add(1, std::memory_order_relaxed);
      pending->outcome.id = pending->id;
      pending->sink->OnReceipt(pending->tag, pending->outcome);
      return false;
    case IdempotencyWindow::Claim::kWaiting:
      pending->service->duplicates.fetch_add(1, std::memory_order_relaxed);
      return false;
    case IdempotencyWindow::Claim::kConflict:
      receipts_.Refuse(*pending, absl::AlreadyExistsError(absl::StrCat(
                                     "idempotency_key \"", event.idempotency_key,
                                     "\" belongs to another event, on channel \"", earlier_channel,
                                     "\"; use a new key for each event")));
      return false;
  }
  return false;
}

void RouterImpl::Publish(const Event& event, const PublishParams& params, ReceiptSink* sink,
                         uint64_t tag, Run* run) {
  if (event.typed_message) [[unlikely]]
    return PublishTyped(event, params, sink, tag, run);
  const absl::Duration received = run->answered == absl::InfiniteDuration()
                                      ? clock_->Now()
                                      : std::exchange(run->answered, absl::InfiniteDuration());
  const absl::Time wall = run->wall_zero + received;
  PendingReceipt& pending = run->pending;
  pending.Begin(sink, tag);
  pending.id.assign(event.id.data(), event.id.size());
  const ServiceEntry* const service = run->services->Find(event.service);
  if (service != nullptr) pending.service = service->state;
  if (stopping_.load(std::memory_order_relaxed)) return receipts_.Refuse(pending, Stopping());
  if (service == nullptr) return RefuseUnknownService(event, *run, pending);
  const ChannelKey key(service->state, Dialect::kCommon, event.channel);
  const size_t shard_index = directory_->table().IndexOf(key);
  ChannelTable::Shard& own_shard = directory_->table().shard(shard_index);
  const bool many = service->state->channels.load(std::memory_order_relaxed) > kManyChannels;
  if (many) {
    MutexLock lock(&own_shard.mu);
    ChannelTable::PrefetchPlace(own_shard, key);
  }
  CheckedEvent& checked = run->checked;
  if (absl::Status status = CheckEvent(event, *service->spec, &checked); !status.ok()) {
    return receipts_.Refuse(pending, status);
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
  EventRecord recorded{.service = event.service,
                       .channel = event.channel,
                       .idempotency_key = event.idempotency_key,
                       // What skips history need not wait for a disk, and may come twice.
                       .publisher_id = event.skip_history ? "" : params.publisher_id,
                       .seq = params.seq,
                       .seq_fingerprint = params.seq_fingerprint};
  if (!ClaimKey(event, received, &pending, &recorded.fingerprint)) return;
  if (pending.id.empty()) AppendUuid(&pending.id);
  if (many) {
    MutexLock lock(&own_shard.mu);
    ChannelTable::PrefetchState(own_shard, key);
  }

  // Make the copies before any shard is locked.
  run->timestamp.clear();
  AppendIso8601(event.occurred_at == absl::InfinitePast() ? wall : event.occurred_at,
                &run->timestamp);
  const size_t copies = 1 + checked.mirrors.size();
  const uint64_t record = params.level == ReceiptLevel::kWritten ? tracker_->Open() : 0;
  run->keys.clear();
  run->shards.clear();
  run->copies.clear();
  for (size_t i = 0; i < copies; ++i) {
    const absl::string_view room =
        i == 0 ? event.channel : absl::string_view(checked.mirrors[i - 1]);
    const EnvelopeParts parts{.id = pending.id,
                              .event = event.event,
                              .data = checked.data,
                              .timestamp = run->timestamp,
                              .room = room,
                              .publisher = event.publisher};
    const size_t max_bytes = MaxEnvelopeBytes(parts);
    if (max_bytes > kMaxEnvelopeBytes) {
      if (record != 0) tracker_->Cancel(record);
      return receipts_.Refuse(pending, absl::InvalidArgumentError(absl::StrCat(
                                           "event: the envelope would have ", max_bytes,
                                           " bytes, at most ", kMaxEnvelopeBytes, " allowed")));
    }
    RoutedCopy copy;
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
    run->keys.push_back(i == 0 ? key : ChannelKey(service->state, Dialect::kCommon, room));
    copy.shard = i == 0 ? shard_index : directory_->table().IndexOf(run->keys.back());
    run->shards.push_back(copy.shard);
    run->copies.push_back(std::move(copy));
  }

  const absl::Duration wait =
      std::min(params.wait <= absl::ZeroDuration() ? absl::Seconds(5) : params.wait,
               options_.max_receipt_wait);
  absl::Status refusal;
  AppendOutcome appended = AppendOutcome::kDone;
  {
    ShardLocks locks(&directory_->table(), &run->shards);
    for (size_t i = 0; i < copies && refusal.ok(); ++i) {
      ChannelTable::Shard& shard = directory_->table().shard(run->copies[i].shard);
      shard.mu.AssertHeld();
      auto channel =
          directory_->FindOrCreate(shard, run->keys[i], *run->services, *service->spec, received);
      refusal = channel.status();
      if (channel.ok()) run->copies[i].channel = *std::move(channel);
    }
    if (refusal.ok()) {
      run->appends.clear();
      for (const RoutedCopy& copy : run->copies) {
        run->appends.push_back({.channel = copy.channel->log.get(),
                                .publication = copy.publication,
                                .keep = !event.skip_history});
      }
      recorded.id = pending.id;
      appended = engine_->Append(run->appends, recorded, received, [&]() -> EngineCallback {
        auto late = std::make_shared<LatePublication>(LatePublication{.receipt = pending,
                                                                      .copies = run->copies,
                                                                      .level = params.level,
                                                                      .record = record,
                                                                      .received = received,
                                                                      .deadline = received + wait});
        return [this, late](const absl::Status& status) { EndLate(late.get(), status); };
      });
      switch (appended) {
        case AppendOutcome::kDone:
        case AppendOutcome::kDoneCrowded:
          fan_out_.RouteAccepted(run->copies, &run->wakes, &pending.outcome.delivery);
          break;
        case AppendOutcome::kPending:
          for (const RoutedCopy& copy : run->copies) ++copy.channel->appending;
          break;
        case AppendOutcome::kFull:
          refusal = TooManyWait();
          break;
      }
    }
  }
  if (!refusal.ok()) {
    if (record != 0) tracker_->Cancel(record);
    return receipts_.Refuse(pending, refusal);
  }
  if (appended == AppendOutcome::kPending) {
    run->copies.clear();
    return;
  }
  if (appended == AppendOutcome::kDoneCrowded) [[unlikely]]
    directory_->TrimHistory();
  const bool flush = ++run->unflushed >= kFlushEvery;
  pending.outcome.position = {.epoch = run->copies[0].publication->epoch(),
                              .offset = run->copies[0].publication->offset()};
  run->copies.clear();
  if (flush) run->Flush();
  run->answered = clock_->Now();
  receipts_.Answer(&pending, params.level, record, received, run->answered, received + wait);
}

void RouterImpl::RouteUnkept(
    absl::string_view service_name, Dialect dialect, absl::string_view channel_name,
    absl::FunctionRef<PublicationPtr()> make) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  const std::shared_ptr<const ServiceSnapshot> snapshot = directory_->snapshot();
  const ServiceEntry* const service = snapshot->Find(service_name);
  if (service == nullptr) return;
  const ChannelKey key(service->state, dialect, channel_name);
  WakeList wakes;
  {
    ChannelTable::Shard& shard = directory_->table().shard(directory_->table().IndexOf(key));
    MutexLock lock(&shard.mu);
    const std::shared_ptr<ChannelState>* const channel = ChannelTable::Find(shard, key);
    if (channel == nullptr) return;
    if ((*channel)->opening != nullptr) {
      WaitForOpening(*channel, make);
      return;
    }
    directory_->RefreshPatterns(channel->get());
    if ((*channel)->links.empty()) return;
    fan_out_.Route({.channel = *channel, .publication = make()}, &wakes, nullptr);
  }
  wakes.Flush();
}

void RouterImpl::EndLate(LatePublication* late, const absl::Status& status) {
  WakeList wakes;
  std::vector<size_t> shards;
  shards.reserve(late->copies.size());
  for (const RoutedCopy& copy : late->copies) shards.push_back(copy.shard);
  {
    ShardLocks locks(&directory_->table(), &shards);
    for (const RoutedCopy& copy : late->copies) --copy.channel->appending;
    if (status.ok()) {
      fan_out_.RouteAccepted(late->copies, &wakes, &late->receipt.outcome.delivery);
    }
  }
  wakes.Flush();
  if (!status.ok()) {
    if (late->record != 0) tracker_->Cancel(late->record);
    receipts_.Refuse(late->receipt, status);
    return;
  }
  if (engine_->is_crowded()) directory_->TrimHistory();
  const Publication& origin = *late->copies[0].publication;
  late->receipt.outcome.position = {.epoch = origin.epoch(), .offset = origin.offset()};
  receipts_.Answer(&late->receipt, late->level, late->record, late->received, clock_->Now(),
                   late->deadline);
}

void RouterImpl::WaitForOpening(const std::shared_ptr<ChannelState>& channel,
                                absl::FunctionRef<PublicationPtr()> make) {
  if (channel->links.empty()) {
    std::vector<PatternTable::Wanting> matching;
    channel->service->patterns_of(channel->dialect).Match(channel->name, &matching);
    if (matching.empty()) return;
  }
  const bool kept = channel->opening->Wait(
      {.kind = ChannelOpening::Kind::kNotice,
       .since = clock_->Now(),
       .go = [this, channel, publication = make()](const absl::Status& status) {
         if (status.ok()) RouteLate({.channel = channel, .publication = publication});
       }});
  if (kept) return;
  for (const ChannelLink& wanting : channel->links) wanting.link->CountDropped();
}

void RouterImpl::RouteLate(const RoutedCopy& copy) {
  WakeList wakes;
  {
    ChannelTable::Shard& shard =
        directory_->table().shard(directory_->table().IndexOf(*copy.channel));
    MutexLock lock(&shard.mu);
    directory_->RefreshPatterns(copy.channel.get());
    fan_out_.Route(copy, &wakes, nullptr);
  }
  wakes.Flush();
}

void Run::Publish(const Event& event, const PublishParams& params, ReceiptSink* sink,
                  uint64_t tag) {
  router_->Publish(event, params, sink, tag, this);
}

void Run::Refuse(const Event& event, const absl::Status& status, ReceiptSink* sink, uint64_t tag) {
  router_->Refuse(event, status, sink, tag, this);
}

void Run::CountDuplicate(const Event& event) {
  answered = absl::InfiniteDuration();
  if (const ServiceEntry* const service = services->Find(event.service); service != nullptr) {
    service->state->duplicates.fetch_add(1, std::memory_order_relaxed);
  }
}

}  // namespace

std::unique_ptr<Router> Router::Make(const Options& options, ChannelDirectory* directory,
                                     ReceiptTracker* receipts, Engine* engine, const Clock* clock) {
  return std::make_unique<RouterImpl>(options, directory, receipts, engine, clock);
}

}  // namespace fanwire::control
