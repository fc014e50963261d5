#include "fanout/batch_applier.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "fanout/reply.h"
#include "fanout/session.h"
#include "fanwire/v1/worker.pb.h"
#include "proto/policies.h"

namespace fanwire::fanout {

namespace {

constexpr absl::string_view kEpochChanged = "epoch_changed";

}  // namespace

BatchApplier::BatchApplier(Hub* hub, TrackTable* tracks, ServicePorts* ports, Interest* interest,
                           Acknowledgements* acknowledgements)
    : hub_(hub),
      tracks_(tracks),
      ports_(ports),
      interest_(interest),
      acknowledgements_(acknowledgements) {}

void BatchApplier::Apply(LinkItem&& item) {
  acknowledgements_->Count(item.envelope_bytes);
  if (item.other != nullptr) return ApplyOther(*item.other);
  const auto it = handles_.find(item.handle);
  if (it == handles_.end()) return;  // its service is gone
  Channel* const channel = it->second.get();
  if (item.offset > 0) {
    // After a snapshot control goes on from the positions in it, but may have sent more before.
    if (item.offset <= channel->offset) return;
    channel->offset = item.offset;
  }
  Delivery delivery{.frame = std::move(item.frame),
                    .offset = item.offset,
                    .conflate_key = item.conflate_key,
                    .received_us = item.received_us,
                    .event = item.event};
  if (item.ttl_ms > 0) {
    delivery.expires_at = hub_->loop()->Now() + absl::Milliseconds(item.ttl_ms);
  }
  if (item.publication_id != 0) delivery.track = tracks_->Open(item.publication_id);
  if (!item.exclude_connection.empty()) {
    delivery.excluded = channel->service->FindSession(item.exclude_connection);
  }
  hub_->Deliver(channel, std::move(delivery));
}

void BatchApplier::ApplyOther(const v1::BatchItem& item) {
  switch (item.item_case()) {
    case v1::BatchItem::kChannelDef:
      return DefineChannel(item.channel_def());
    case v1::BatchItem::kChannelRelease:
      return ReleaseChannel(item.channel_release().handle());
    case v1::BatchItem::kChannelGap:
      return ApplyGap(item.channel_gap());
    case v1::BatchItem::kSubscribeResult: {
      for (const auto& publication : item.subscribe_result().publications()) {
        acknowledgements_->CountBytes(publication.envelope().size());
      }
      return interest_->OnSubscribeResult(item.subscribe_result());
    }
    case v1::BatchItem::kEventDef:
      return hub_->DefineEvent(item.event_def().handle(), item.event_def().name());
    default:
      return;  // of a later version
  }
}

void BatchApplier::DefineChannel(const v1::ChannelDef& def) {
  Service* const service = ports_->Find(def.service());
  if (service == nullptr) return;
  const auto dialect = static_cast<Dialect>(def.dialect());
  Channel* const channel = service->FindOrMakeChannel(dialect, def.channel());
  const bool new_epoch = !channel->epoch.empty() && channel->epoch != def.epoch();
  channel->handle = def.handle();
  channel->offset =
      channel->epoch == def.epoch() ? std::max(channel->offset, def.offset()) : def.offset();
  channel->epoch = def.epoch();
  if (dialect == Dialect::kCommon) {
    channel->backlog = static_cast<BacklogPolicy>(def.policy());
    channel->gap = static_cast<GapPolicy>(def.gap_policy());
  }
  handles_[def.handle()] = ChannelRef(channel);
  channel->epoch_told = new_epoch && service->HasSubscribers(channel);
  if (channel->epoch_told) TellGap(channel, 1, def.offset(), kEpochChanged);
}

void BatchApplier::ReleaseChannel(uint32_t handle) {
  const auto it = handles_.find(handle);
  if (it == handles_.end()) return;
  const ChannelRef channel = std::move(it->second);
  handles_.erase(it);
  if (channel->handle == handle) {
    channel->handle = 0;
    LoseHandle(channel.get());
  }
  channel->service->ForgetIfIdle(channel.get());
}

void BatchApplier::LoseHandle(Channel* channel) {
  // What is published next may not come here.  To a session that subscribes by then, it would be
  // too old: the position is of use only to those that subscribe already.
  if (!channel->epoch.empty() && channel->service->HasSubscribers(channel)) {
    channel->service->KeepPosition(channel, hub_->loop()->Now());
    return;
  }
  channel->epoch.clear();
  channel->offset = 0;
}

void BatchApplier::ApplyGap(const v1::ChannelGap& gap) {
  const auto it = handles_.find(gap.handle());
  if (it == handles_.end()) return;
  Channel* const channel = it->second.get();
  const bool told = std::exchange(channel->epoch_told, false);
  if ((gap.reason() != kEpochChanged || told) && gap.epoch() == channel->epoch &&
      gap.to() <= channel->offset) {
    return;  // known
  }
  channel->epoch = gap.epoch();
  channel->offset = gap.to();
  TellGap(channel, gap.from(), gap.to(), gap.reason());
}

void BatchApplier::TellGap(Channel* channel, int64_t from, int64_t to, absl::string_view reason) {
  if (reason != "expired" && channel->gap == GapPolicy::kClose) return CloseSubscribers(channel);
  hub_->Deliver(channel, {.frame = Frame::Text(SkippedText(
                              channel->name, from, to, reason,
                              reason == kEpochChanged ? channel->epoch : "", absl::Now())),
                          .notice = true});
}  // NOLINT(clang-analyzer-cplusplus.NewDeleteLeaks): the last reference frees the frame

void BatchApplier::CloseSubscribers(Channel* channel) {
  hub_->CommitAll();
  hub_->Drain();
  std::vector<Session*> sessions;
  for (const Subscriber& subscriber : channel->subscribers.entries()) {
    sessions.push_back(subscriber.session);
  }
  for (const PatternTable* const pattern : channel->service->PatternsOf(channel)) {
    for (const Subscriber& subscriber : pattern->subscribers.entries()) {
      sessions.push_back(subscriber.session);
    }
  }
  for (Session* const session : sessions) session->CloseForGap();
}

void BatchApplier::Restart() {
  hub_->CommitAll();
  hub_->Drain();
  tracks_->Disown();
  handles_.clear();
  // All channels, not only those that had a handle: one may have waited for its handle in vain.
  std::vector<ChannelRef> channels;
  for (Service* const service : ports_->services()) {
    for (size_t d = 0; d < kDialects; ++d) {
      for (const auto& [name, channel] : service->channels(static_cast<Dialect>(d))) {
        channels.push_back(channel);
      }
    }
  }
  for (const ChannelRef& channel : channels) {
    channel->handle = 0;
    channel->epoch_told = false;
    LoseHandle(channel.get());
    channel->service->ForgetIfIdle(channel.get());
  }
  acknowledgements_->Restart();
}

}  // namespace fanwire::fanout
