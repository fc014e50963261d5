#include "fanout/recovery_queue.h"

#include <algorithm>
#include <utility>

#include "fanout/reply.h"

namespace fanwire::fanout {

namespace {

// Pages of a recovery; smaller if the session's budget is.
constexpr uint64_t kMaxPageBytes = 256 << 10;

}  // namespace

uint64_t RecoveryQueue::page_bytes() const {
  return std::clamp<uint64_t>(settings().session_backlog_bytes / 2, 1, kMaxPageBytes);
}

void RecoveryQueue::Add(Recovery recovery) {
  recoveries_.push_back(std::move(recovery));
  context_->subscriptions->CountRecovering(1);
}

bool RecoveryQueue::OnReply(uint64_t ask, SubscribeReply* reply) {
  if (recoveries_.empty() || recoveries_.front().ask != ask) return false;
  OnPage(reply);
  return true;
}

void RecoveryQueue::OnPage(SubscribeReply* reply) {
  Recovery& recovery = recoveries_.front();
  recovery.ask = 0;
  const ChannelRef channel = recovery.channel;
  if (!reply->error_code.empty()) {
    // Control does not tell the position: what has passed here since is what is missing.
    reply->epoch = channel->epoch.empty() ? recovery.epoch : channel->epoch;
    reply->offset = std::max(channel->offset, recovery.offset);
    reply->recovered = false;
  }
  if (reply->recovered) {
    AppendPage(channel, recovery.filter.get(), reply);
  } else {
    // History has lost the rest meanwhile, or began anew: tell the client, and go on live.
    const bool same = reply->epoch == recovery.epoch;
    if (!same || reply->offset > recovery.offset) {
      AppendSkipped(channel, same ? recovery.offset + 1 : 1, reply->offset,
                    reply->reason.empty() ? "history_expired" : reply->reason,
                    same ? "" : reply->epoch);
    }
    reply->last_page = true;
  }
  if (reply->last_page) {
    std::shared_ptr<const EventFilter> filter = std::move(recovery.filter);
    recoveries_.pop_front();
    context_->subscriptions->CountRecovering(-1);
    // It has been a member since the confirmation, unless its channel is tracked only since then.
    context_->host->Join(channel.get(), /*info=*/nullptr);
    context_->host->Subscribe(channel.get(), nullptr, std::move(filter));
  } else {
    recovery.offset = reply->next_offset;
  }
  context_->host->Flush();
  OnProgress();
}

void RecoveryQueue::AppendPage(const ChannelRef& channel, const EventFilter* filter,
                               SubscribeReply* reply) {
  int64_t expired_from = 0, expired_to = 0;
  const auto tell_expired = [&] {
    if (expired_from != 0) AppendSkipped(channel, expired_from, expired_to, "expired");
    expired_from = 0;
  };
  for (RecoveredEvent& event : reply->events) {
    if (!event.frame) {
      if (expired_from == 0) expired_from = event.offset;
      expired_to = event.offset;
      continue;
    }
    if (!context_->host->Passes(filter, event)) continue;
    tell_expired();
    context_->host->Append({.frame = std::move(event.frame),
                            .channel = channel,
                            .offset = event.offset,
                            .kind = Backlog::Kind::kRecovered});
  }
  tell_expired();
}

void RecoveryQueue::AppendSkipped(const ChannelRef& channel, int64_t from, int64_t to,
                                  absl::string_view reason, absl::string_view epoch) {
  context_->host->Append({.frame = Frame::Text(SkippedText(channel->name, from, to, reason, epoch,
                                                           context_->clock->WallNow())),
                          .channel = channel,
                          .kind = Backlog::Kind::kNotice});
}

void RecoveryQueue::RequestNextPage() {
  if (recoveries_.empty() || recoveries_.front().ask != 0) return;
  if (context_->host->waiting_bytes() > settings().session_backlog_bytes / 2) return;
  Recovery& next = recoveries_.front();
  next.ask = context_->host->Ask({.channel = next.channel.get(),
                                  .recover = true,
                                  .epoch = next.epoch,
                                  .offset = next.offset,
                                  .page_bytes = page_bytes()});
}

void RecoveryQueue::OnProgress() {
  if (recoveries_.empty()) return;
  deadline_ = context_->loop->Now() + settings().recovery_timeout;
  sent_ = context_->host->bytes_sent();
}

absl::Duration RecoveryQueue::deadline() const {
  const bool waits_for_client = !recoveries_.empty() && recoveries_.front().ask == 0;
  return waits_for_client ? deadline_ : absl::InfiniteDuration();
}

bool RecoveryQueue::Stands(absl::Duration now) {
  if (now < deadline()) return false;
  // A page may be long, and its reader slow: what leaves of it is progress.
  if (context_->host->bytes_sent() == sent_) return true;
  OnProgress();
  return false;
}

const RecoveryQueue::Recovery* RecoveryQueue::Find(const Channel* channel) const {
  for (const Recovery& recovery : recoveries_) {
    if (recovery.channel.get() == channel) return &recovery;
  }
  return nullptr;
}

RecoveryQueue::Recovery* RecoveryQueue::Find(const Channel* channel) {
  return const_cast<Recovery*>(std::as_const(*this).Find(channel));
}

RecoveryQueue::Withheld RecoveryQueue::Cancel(const Channel* channel) {
  Withheld withheld;
  const size_t cancelled = std::erase_if(recoveries_, [&](Recovery& recovery) {
    if (recovery.channel.get() != channel) return false;
    withheld = std::move(recovery.withheld);
    if (recovery.ask != 0) context_->upstream->Forget(recovery.ask);
    context_->upstream->Unwant(recovery.channel.get());
    return true;
  });
  context_->subscriptions->CountRecovering(-static_cast<int>(cancelled));
  if (cancelled == 0) return withheld;
  // If the first recovery was cancelled, nobody has asked for the next one's page yet.  A client
  // that reads everything would never cause it: its queue is always empty.
  OnProgress();
  RequestNextPage();
  return withheld;
}

void RecoveryQueue::TellWithheld(const ChannelRef& channel, const Withheld& withheld,
                                 int64_t sent) {
  if (!withheld.any || !context_->subscriptions->MatchesByPattern(channel.get())) return;
  const bool same = withheld.epoch.empty() || withheld.epoch == channel->epoch;
  const int64_t from = same ? std::max(withheld.from, sent + 1) : 1;
  if (same && from > channel->offset) return;
  AppendSkipped(channel, from, channel->offset, same ? "recovery_ended" : "epoch_changed",
                same ? "" : channel->epoch);
  told_ = true;
}

void RecoveryQueue::CancelAll() {
  for (const Recovery& recovery : recoveries_) {
    if (recovery.ask != 0) context_->upstream->Forget(recovery.ask);
    context_->upstream->Unwant(recovery.channel.get());
    context_->subscriptions->CountRecovering(-1);
  }
  recoveries_.clear();
}

}  // namespace fanwire::fanout
