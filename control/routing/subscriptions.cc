#include "control/routing/subscriptions.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "common/log.h"
#include "control/config/service_table.h"
#include "control/routing/channel_directory.h"
#include "control/routing/delivery_report.h"
#include "control/routing/receipt_tracker.h"
#include "control/routing/repair_page.h"
#include "control/routing/state_source.h"
#include "control/routing/worker_position.h"
#include "proto/channel_name.h"
#include "proto/interest_hash.h"
#include "proto/policies.h"

namespace fanwire::control {

namespace {

constexpr size_t kDefaultPageBytes = 256 << 10;
// A page must fit into one gRPC message, and a receiver accepts messages up to 4 MiB.
constexpr size_t kMaxPageBytes = 1 << 20;

uint64_t HashOf(const InterestView& interest) {
  return InterestHash(interest.service, interest.dialect, interest.channel);
}

class SubscriptionsImpl final : public Subscriptions {
 public:
  SubscriptionsImpl(ChannelDirectory* directory, ReceiptTracker* receipts, StateSource* states,
                    const Clock* clock)
      : directory_(directory), receipts_(receipts), states_(states), clock_(clock) {}

  void AddInterest(const std::shared_ptr<WorkerLink>& link, const InterestView& interest) override;
  void RemoveInterest(const std::shared_ptr<WorkerLink>& link,
                      const InterestView& interest) override;
  void ClearInterest(const std::shared_ptr<WorkerLink>& link) override;
  void BeginSnapshot(const std::shared_ptr<WorkerLink>& link) override;
  void EndSnapshot(const std::shared_ptr<WorkerLink>& link) override;
  void Resume(const std::shared_ptr<WorkerLink>& link, absl::string_view service,
              absl::string_view channel, absl::string_view epoch, int64_t offset) override;
  void Subscribe(const std::shared_ptr<WorkerLink>& link, SubscribeRequest request) override;

  // ---- LinkOwner

  void OnRoom(const std::shared_ptr<WorkerLink>& link) override { Repair(link); }
  void OnExpired(WorkerLink* link, uint64_t tracking_id) override {
    receipts_->OnReport(link->id(), {.tracking_id = tracking_id, .counts = {}, .final = true});
  }

 private:
  // Adds interest in a channel by name.  The name must be valid.  Sets `*fresh` to whether the link
  // did not want the channel before.
  absl::Status AddExact(const std::shared_ptr<WorkerLink>& link, const InterestView& interest,
                        const ServiceSnapshot& snapshot, const ServiceEntry& service,
                        ChannelDirectory::Reader* reader, bool* fresh);
  static bool WantsByPattern(ServiceState& service, absl::string_view channel,
                             const std::shared_ptr<WorkerLink>& link);
  // Finds channels that match the worker's patterns and were published to while the worker was
  // away, and marks them dirty from the first publication that the worker missed.
  void FindMissed(const std::shared_ptr<WorkerLink>& link);
  // While the channel is being opened: remembers where the link is to begin, and that it must be
  // repaired.  The channel's shard must be locked.
  static void Attach(const std::shared_ptr<ChannelState>& channel,
                     const std::shared_ptr<WorkerLink>& link,
                     std::optional<WorkerPosition> position);
  // kFirst:  the request has just arrived.  The worker's interest in the channel arrived before it.
  // kLater:  the request was deferred.  The worker may have removed its interest meanwhile.
  // kWaited: the engine has opened the channel, or fetched what the request needs of history.
  enum class Turn { kFirst, kLater, kWaited };
  void AnswerOrDefer(const std::shared_ptr<WorkerLink>& link, SubscribeRequest request, Turn turn);
  // Does the same for a channel with a valid name.  If it returns an error, the caller refuses the
  // request with it.
  absl::Status AnswerFromState(const std::shared_ptr<WorkerLink>& link, SubscribeRequest* request,
                               Turn turn, const ServiceSnapshot& snapshot,
                               const ServiceEntry& service, ChannelDirectory::Reader* reader);
  // Ends a subscribe that has waited for the engine: `status` says why that cannot open its channel
  // or read its history.
  void EndWait(const std::shared_ptr<WorkerLink>& link, const SubscribeRequest& request,
               const absl::Status& status);
  static void DeferUntilRepaired(const std::shared_ptr<WorkerLink>& link, SubscribeRequest request,
                                 Turn turn);
  // Makes the answer from the channel's state.  Returns nothing if history must be fetched first;
  // the request is then answered when history has come.
  std::optional<SubscribeAnswer> MakeAnswer(const std::shared_ptr<WorkerLink>& link,
                                            const SubscribeRequest& request, ChannelState* channel,
                                            ChannelLink* wanting);
  // While the link's queue has room, answers deferred subscribes and sends pages of dirty channels.
  void Repair(const std::shared_ptr<WorkerLink>& link);

  void LogRefused(const InterestView& interest, const absl::Status& status);

  ChannelDirectory* const directory_;
  ReceiptTracker* const receipts_;
  StateSource* const states_;
  const Clock* const clock_;
  LogLimiter refused_dialects_{absl::Minutes(1)};
};

// ------------------------------------------------------------------------------- interest

void SubscriptionsImpl::AddInterest(const std::shared_ptr<WorkerLink>& link,
                                    const InterestView& interest) {
  const std::shared_ptr<const ServiceSnapshot> snapshot = directory_->snapshot();
  const ServiceEntry* const service = snapshot->Find(interest.service);
  bool fresh = true;
  absl::Status status;
  if (service == nullptr) {
    status = snapshot->table->NoSuchService(interest.service);
  } else if (interest.pattern) {
    const absl::StatusOr<ChannelPattern> pattern = ChannelPattern::Parse(interest.channel);
    status = pattern.status();
    if (pattern.ok()) {
      fresh = service->state->patterns_of(interest.dialect)
                  .Add(*pattern, link, link->AddPattern(HashOf(interest)));
    }
  } else if (status = CheckChannelName(interest.channel); status.ok()) {
    ChannelDirectory::Reader reader;
    do {
      reader.full = false;
      status = AddExact(link, interest, *snapshot, *service, &reader, &fresh);
    } while (reader.full && directory_->MakeRoom(service->state, *service->spec));
  }
  if (!status.ok()) LogRefused(interest, status);
  // Refused interest is counted too, because the worker counts it in its own digest.
  if (fresh) link->interest_digest().Add(HashOf(interest));
}

void SubscriptionsImpl::LogRefused(const InterestView& interest, const absl::Status& status) {
  // Sessions of the common protocol learn of it by their subscribe's answer.  A dialect has no
  // errors: its clients get nothing, and only this line says why.
  if (interest.dialect == Dialect::kCommon || !absl::IsResourceExhausted(status)) {
    LogDebug("interest.refused", {{"service", interest.service}, {"reason", status}});
  } else if (int64_t left_out; refused_dialects_.Admit(&left_out)) {
    LogWarning("interest.refused", {{"service", interest.service},
                                    {"channel", interest.channel},
                                    {"reason", status},
                                    {"left_out", left_out}});
  }
}

absl::Status SubscriptionsImpl::AddExact(const std::shared_ptr<WorkerLink>& link,
                                         const InterestView& interest,
                                         const ServiceSnapshot& snapshot,
                                         const ServiceEntry& service,
                                         ChannelDirectory::Reader* reader, bool* fresh) {
  const ChannelKey key(service.state, interest.dialect, interest.channel);
  ChannelTable::Shard& shard = directory_->table().shard(directory_->table().IndexOf(key));
  MutexLock lock(&shard.mu);
  const std::shared_ptr<ChannelState>* const known = ChannelTable::Find(shard, key);
  if (known == nullptr && interest.dialect == Dialect::kCommon) {
    *fresh = service.state->waiting.Add(interest.channel, link);
    return absl::OkStatus();
  }
  // Interest in another dialect's channel makes the state, because no subscribe follows it.
  const auto channel =
      directory_->FindOrCreateForReader(shard, key, snapshot, *service.spec, reader, clock_->Now());
  if (!channel.ok()) return channel.status();
  *fresh = directory_->SetExact(channel->get(), directory_->Want(*channel, link), true);
  return absl::OkStatus();
}

void SubscriptionsImpl::RemoveInterest(const std::shared_ptr<WorkerLink>& link,
                                       const InterestView& interest) {
  // The service is not looked up in the snapshot, because a reload may have removed it there.
  ServiceState* const service = directory_->FindService(interest.service);
  if (service == nullptr) {
    link->interest_digest().Remove(HashOf(interest));
    return;
  }
  bool known = true;
  if (interest.pattern) {
    const absl::StatusOr<ChannelPattern> pattern = ChannelPattern::Parse(interest.channel);
    if (pattern.ok()) {
      known = service->patterns_of(interest.dialect).Remove(*pattern, link.get());
      link->RemovePattern(HashOf(interest));
    }
  } else {
    const ChannelKey key(service, interest.dialect, interest.channel);
    ChannelTable::Shard& shard = directory_->table().shard(directory_->table().IndexOf(key));
    MutexLock lock(&shard.mu);
    const std::shared_ptr<ChannelState>* const channel = ChannelTable::Find(shard, key);
    if (channel != nullptr) {
      directory_->RefreshPatterns(channel->get());
      ChannelLink* const wanting = (*channel)->Find(link.get());
      known = wanting != nullptr && directory_->SetExact(channel->get(), wanting, false);
      if (wanting != nullptr && !wanting->by_pattern) directory_->Remove(channel->get(), wanting);
    } else if (interest.dialect == Dialect::kCommon && CheckChannelName(interest.channel).ok()) {
      known = service->waiting.Remove(interest.channel, link.get());
    }
  }
  if (known) link->interest_digest().Remove(HashOf(interest));
  link->Flush();
}

void SubscriptionsImpl::ClearInterest(const std::shared_ptr<WorkerLink>& link) {
  for (ServiceState* const service : directory_->services()) {
    for (PatternTable& patterns : service->patterns) patterns.RemoveAll(link.get());
    service->waiting.RemoveAll(link.get());
  }
  directory_->ForEach([&](const std::shared_ptr<ChannelState>& channel) {
    ChannelLink* const wanting = channel->Find(link.get());
    if (wanting != nullptr) directory_->Remove(channel.get(), wanting);
    if (channel->opening == nullptr) return;
    channel->opening->Detach(link.get());
    if (link->closed()) channel->opening->Drop(link.get());
  });
  link->interest_digest().Clear();
}

// ------------------------------------------------------------------------------- resuming

void SubscriptionsImpl::BeginSnapshot(const std::shared_ptr<WorkerLink>& link) {
  // The link must know of the snapshot before ClearInterest() releases handles: the worker has not
  // applied those releases.
  link->BeginSnapshot();
  ClearInterest(link);
}

void SubscriptionsImpl::EndSnapshot(const std::shared_ptr<WorkerLink>& link) {
  FindMissed(link);
  link->SetHeld(false);
  Repair(link);
}

void SubscriptionsImpl::FindMissed(const std::shared_ptr<WorkerLink>& link) {
  if (link->missed_since() == absl::InfiniteDuration()) return;
  absl::flat_hash_set<const ServiceState*> services;
  for (ServiceState* const service : directory_->services()) {
    if (service->patterns_of(Dialect::kCommon).Wants(link.get())) services.insert(service);
  }
  if (services.empty()) return;
  directory_->ForEach([&](const std::shared_ptr<ChannelState>& channel) {
    if (channel->log == nullptr || !services.contains(channel->service)) return;
    if (!channel->is_open()) {
      Attach(channel, link, std::nullopt);
    } else if (ChannelDirectory::FirstMissed(*channel, *link, link->missed_since()) <=
               channel->routed) {
      directory_->RefreshPatterns(channel.get());
    }
  });
}

void SubscriptionsImpl::Attach(const std::shared_ptr<ChannelState>& channel,
                               const std::shared_ptr<WorkerLink>& link,
                               std::optional<WorkerPosition> position) {
  if (!channel->opening->Attach(link, std::move(position))) return;
  link->MarkDirty(channel, channel->service->lane, link->missed_since());
}

bool SubscriptionsImpl::WantsByPattern(ServiceState& service, absl::string_view channel,
                                       const std::shared_ptr<WorkerLink>& link) {
  std::vector<PatternTable::Wanting> links;
  service.patterns_of(Dialect::kCommon).Match(channel, &links);
  return std::any_of(links.begin(), links.end(),
                     [&](const PatternTable::Wanting& wanting) { return wanting.link == link; });
}

void SubscriptionsImpl::Resume(const std::shared_ptr<WorkerLink>& link,
                               absl::string_view service_name, absl::string_view channel_name,
                               absl::string_view epoch_text, int64_t offset) {
  const std::shared_ptr<const ServiceSnapshot> snapshot = directory_->snapshot();
  const ServiceEntry* const service = snapshot->Find(service_name);
  if (service == nullptr || !CheckChannelName(channel_name).ok()) return;
  const ChannelKey key(service->state, Dialect::kCommon, channel_name);
  ChannelTable::Shard& shard = directory_->table().shard(directory_->table().IndexOf(key));
  {
    MutexLock lock(&shard.mu);
    const bool by_name = service->state->waiting.Contains(channel_name, link.get());
    if (ChannelTable::Find(shard, key) == nullptr && !by_name &&
        !WantsByPattern(*service->state, channel_name, link)) {
      return;  // a position without interest
    }
    // If there is no room for the state of a channel that the engine has not kept, the worker
    // learns of the new epoch when something is published to the channel.
    ChannelDirectory::Reader reader{.may_evict = by_name, .was_published = offset > 0};
    const auto found = directory_->FindOrCreateForReader(shard, key, *snapshot, *service->spec,
                                                         &reader, clock_->Now());
    if (!found.ok()) return;
    ChannelState* const channel = found->get();
    WorkerPosition position = {.epoch = std::string(epoch_text), .offset = offset};
    if (channel->is_open()) {
      directory_->RefreshPatterns(channel);
      ChannelLink* const wanting = channel->Find(link.get());
      if (wanting == nullptr) return;  // a position without interest
      ApplyPosition(channel, wanting, position, clock_->Now());
      if (!wanting->dirty) {
        wanting->dirty = true;
        link->MarkDirty(*found, service->state->lane, link->missed_since());
      }
    } else {
      // Patterns are applied when the channel is open, so the link may not be among its links yet.
      Attach(*found, link, std::move(position));
    }
  }
  if (!link->held()) Repair(link);
}

// ------------------------------------------------------------------------------- subscribing

void SubscriptionsImpl::Subscribe(const std::shared_ptr<WorkerLink>& link,
                                  SubscribeRequest request) {
  request.asked = clock_->Now();
  AnswerOrDefer(link, std::move(request), Turn::kFirst);
  link->Flush();
}

void SubscriptionsImpl::AnswerOrDefer(const std::shared_ptr<WorkerLink>& link,
                                      SubscribeRequest request, Turn turn) {
  const std::shared_ptr<const ServiceSnapshot> snapshot = directory_->snapshot();
  const ServiceEntry* const service = snapshot->Find(request.service);
  SubscribeAnswer refusal;
  refusal.query_id = request.query_id;
  if (service != nullptr) refusal.handle.lane = service->state->lane;
  if (!link->AcceptsAnswers(refusal.handle.lane)) {
    link->Defer(std::move(request));
    return;
  }
  if (service == nullptr) {
    refusal.status = snapshot->table->NoSuchService(request.service);
  } else if (request.pattern) {
    refusal.status = ChannelPattern::Parse(request.channel).status();  // OK: an answer without head
  } else {
    refusal.status = CheckChannelName(request.channel, service->spec->max_channel_bytes);
  }
  if (!refusal.status.ok()) return link->Answer(std::move(refusal));
  if (request.pattern) {
    // Publications that are older than the subscribe are still being repaired.  The session must
    // not get them, so it is answered after them.
    if (!link->IsRepairedUpTo(refusal.handle.lane, request.asked)) {
      return DeferUntilRepaired(link, std::move(request), turn);
    }
    return link->Answer(std::move(refusal));
  }
  ChannelDirectory::Reader reader;
  do {
    reader = {.address = request.address};
    refusal.status = AnswerFromState(link, &request, turn, *snapshot, *service, &reader);
  } while (!refusal.status.ok() && reader.full &&
           directory_->MakeRoom(service->state, *service->spec));
  if (!refusal.status.ok()) link->Answer(std::move(refusal));
}

absl::Status SubscriptionsImpl::AnswerFromState(const std::shared_ptr<WorkerLink>& link,
                                                SubscribeRequest* request, Turn turn,
                                                const ServiceSnapshot& snapshot,
                                                const ServiceEntry& service,
                                                ChannelDirectory::Reader* reader) {
  const ChannelKey key(service.state, request->dialect, request->channel);
  ChannelTable::Shard& shard = directory_->table().shard(directory_->table().IndexOf(key));
  MutexLock lock(&shard.mu);
  const bool exists = ChannelTable::Find(shard, key) != nullptr;
  std::shared_ptr<ChannelState> channel;
  ChannelLink* wanting = nullptr;
  if (turn == Turn::kFirst || exists ||
      (key.dialect == Dialect::kCommon &&
       service.state->waiting.Contains(request->channel, link.get()))) {
    auto found = directory_->FindOrCreateForReader(shard, key, snapshot, *service.spec, reader,
                                                   clock_->Now());
    if (!found.ok()) return found.status();
    channel = *std::move(found);
    directory_->RefreshPatterns(channel.get());
    if (turn == Turn::kFirst) {
      wanting = directory_->Want(channel, link);
      directory_->SetExact(channel.get(), wanting, true);
    } else {
      wanting = channel->Find(link.get());
    }
  }
  if (wanting == nullptr || !wanting->exact) {
    if (!link->held()) {
      // The worker has removed its interest meanwhile.  An answer would add the interest again, and
      // nobody would remove it.
      return absl::UnavailableError(
          "the worker ended its interest in the channel meanwhile; subscribe again");
    }
    link->Defer(std::move(*request));  // the worker is still reporting its interest
    return absl::OkStatus();
  }
  // A new request goes behind those that wait already.  One that was deferred must not: it would be
  // taken again at once, as often as it finds the channel dirty.
  if (!channel->is_open() || (channel->opening != nullptr && turn == Turn::kFirst)) {
    channel->opening->Wait(
        {.kind = ChannelOpening::Kind::kRequest,
         .link = link.get(),
         .since = request->asked,
         .go = [this, link, request = std::move(*request)](const absl::Status& status) {
           EndWait(link, request, status);
         }});
    return absl::OkStatus();
  }
  if (wanting->dirty) {
    // The answer has a place among the live publications, and these are not queued yet.
    DeferUntilRepaired(link, std::move(*request), turn);
    return absl::OkStatus();
  }
  std::optional<SubscribeAnswer> answer = MakeAnswer(link, *request, channel.get(), wanting);
  if (!answer.has_value()) return absl::OkStatus();
  // A recovery brings what led to the state.
  answer->state_follows =
      states_ != nullptr && !request->state_request.empty() && !answer->recovered;
  const bool state = answer->state_follows;
  link->Answer(*std::move(answer));
  if (state) states_->AskState(link, *request);
  return absl::OkStatus();
}

void SubscriptionsImpl::EndWait(const std::shared_ptr<WorkerLink>& link,
                                const SubscribeRequest& request, const absl::Status& status) {
  if (status.ok()) {
    AnswerOrDefer(link, request, Turn::kWaited);
  } else {
    SubscribeAnswer refusal;
    refusal.query_id = request.query_id;
    if (const ServiceState* const service = directory_->FindService(request.service)) {
      refusal.handle.lane = service->lane;
    }
    refusal.status = status;
    link->Answer(std::move(refusal));
  }
  link->Flush();
}

void SubscriptionsImpl::DeferUntilRepaired(const std::shared_ptr<WorkerLink>& link,
                                           SubscribeRequest request, Turn turn) {
  // Unless a repair calls, one may have finished since the channel was checked, so the request is
  // looked at again.
  if (turn == Turn::kLater) {
    link->DeferAgain(std::move(request));
  } else {
    link->Defer(std::move(request));
  }
}

std::optional<SubscribeAnswer> SubscriptionsImpl::MakeAnswer(
    const std::shared_ptr<WorkerLink>& link, const SubscribeRequest& request, ChannelState* channel,
    ChannelLink* wanting) {
  ChannelDirectory::Introduce(*channel, wanting, channel->routed);
  SubscribeAnswer answer;
  answer.query_id = request.query_id;
  answer.handle = wanting->handle;
  if (channel->log == nullptr) return answer;  // a dialect: no positions
  answer.head = {.epoch = channel->epoch(), .offset = channel->routed};
  if (!request.recover) return answer;

  Epoch epoch;
  if (!Epoch::Parse(request.recover_epoch, &epoch) || epoch != channel->epoch()) {
    answer.reason = "epoch_changed";
    return answer;
  }
  if (request.recover_offset > channel->routed || request.recover_offset < 0) {
    answer.reason = "offset_unknown";
    return answer;
  }
  answer.recover_count = channel->routed - request.recover_offset;
  if (answer.recover_count == 0) {
    answer.recovered = true;
    return answer;
  }
  const size_t page_bytes =
      request.page_bytes == 0
          ? kDefaultPageBytes
          : static_cast<size_t>(std::min<uint64_t>(request.page_bytes, kMaxPageBytes));
  switch (channel->log->ReadAfter(request.recover_offset, channel->routed, page_bytes,
                                  clock_->Now(), &answer.publications, [&]() -> EngineCallback {
                                    return [this, link, request](const absl::Status& status) {
                                      EndWait(link, request, status);
                                    };
                                  })) {
    case ReadOutcome::kFetching:
    case ReadOutcome::kClosed:  // the worker asks the next control
      return std::nullopt;
    case ReadOutcome::kGone:
      answer.recover_count = 0;
      answer.reason = GoneReason(*channel);
      return answer;
    case ReadOutcome::kOk:
      break;
  }
  answer.recovered = true;
  const int64_t last = answer.publications.back()->offset();
  answer.last_page = last == channel->routed;
  answer.next = {.epoch = channel->epoch(), .offset = last};
  return answer;
}

// ------------------------------------------------------------------------------- repairing

void SubscriptionsImpl::Repair(const std::shared_ptr<WorkerLink>& link) {
  while (link->BeginRepair()) {
    do {
      // Each round tries every deferred request once (those of dirty channels are deferred again)
      // and then sends one page of each dirty channel.  Otherwise the requests of one service would
      // wait until the channels of another have caught up, which may never be.
      while (link->HasRepairs()) {
        SubscribeRequest request;
        for (size_t n = link->BeginDeferred(); n > 0 && link->NextDeferred(&request); --n) {
          AnswerOrDefer(link, std::move(request), Turn::kLater);
        }
        for (size_t n = link->waiting_count(); n > 0 && link->HasRoom(); --n) {
          const DirtyChannel dirty = link->NextDirty();
          if (dirty.channel == nullptr) break;
          QueueRepairPage(link, dirty, directory_, clock_->Now(), [&]() -> EngineCallback {
            return [this, link, dirty](const absl::Status&) {
              link->MarkDirtyAgain(dirty, dirty.since);
              Repair(link);
            };
          });
        }
      }
      link->FlushQueue();
    } while (link->EndRepair());
    // Work that arrived between the last HasRepairs() and EndRepair() started no repair of its own,
    // because this one was still running.
    if (!link->FlushQueue()) return;
  }
}

}  // namespace

std::unique_ptr<Subscriptions> Subscriptions::Make(ChannelDirectory* directory,
                                                   ReceiptTracker* receipts, StateSource* states,
                                                   const Clock* clock) {
  return std::make_unique<SubscriptionsImpl>(directory, receipts, states, clock);
}

}  // namespace fanwire::control
