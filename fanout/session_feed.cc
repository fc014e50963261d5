#include "fanout/session_feed.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "fanout/presence_tracker.h"
#include "fanout/session.h"

namespace fanwire::fanout {

namespace {

// Channels that Describe() lists.
constexpr size_t kListedChannels = 1000;

}  // namespace

// ------------------------------------------------------------------------------- publications

bool SessionFeed::Passes(const EventFilter* filter, const Delivery& delivery) const {
  return filter == nullptr || delivery.notice ||
         filter->contains(context().hub->EventName(delivery.event));
}

bool SessionFeed::PassesAny(const SubscriptionSet::Filters& filters,
                            const Delivery& delivery) const {
  return filters.empty() ||
         std::any_of(filters.begin(), filters.end(),
                     [&](const EventFilter* filter) { return Passes(filter, delivery); });
}

void SessionFeed::Deliver(const ChannelRef& channel, PatternTable* pattern, uint32_t subscription,
                          absl::Span<const Delivery> deliveries) {
  SubscriptionSet::Filters filters;
  if (!subscriptions_.Brings(subscription, channel.get(), pattern, &filters)) return;
  const EventFilter* recovered = nullptr;  // what a recovery of the channel lets through
  const bool recovers =
      pattern != nullptr && queue_ != nullptr && queue_->Recovers(channel.get(), &recovered);
  for (const Delivery& delivery : deliveries) {
    // What a recovery will bring does not come by a pattern as well.
    if (recovers && (delivery.notice || delivery.offset > 0) && Passes(recovered, delivery)) {
      queue_->Withhold(channel.get(), delivery.offset);
      continue;
    }
    if (!PassesAny(filters, delivery)) continue;
    switch (
        output_.Add({.frame = delivery.frame,
                     .channel = channel,
                     .offset = delivery.offset,
                     .conflate_key = delivery.conflate_key,
                     .expires_at = delivery.expires_at,
                     .track = delivery.track,
                     .kind = delivery.notice ? Backlog::Kind::kNotice : Backlog::Kind::kEvent})) {
      case OutQueue::Added::kGathered:
        context().hub->MarkDirty(session_);
        break;
      case OutQueue::Added::kDone:
        ReleaseOutput();
        break;
      case OutQueue::Added::kTooSlow:
        return session_->CloseSlow();
    }
  }
}

void SessionFeed::OnPartlySent(absl::Span<const Delivery> deliveries, const FramePtr& joined,
                               ssize_t taken) {
  output_.TakeOver(deliveries, joined, taken);
  ReleaseOutput();
}

void SessionFeed::FlushTurn() {
  if (output_.FlushTurn() == OutQueue::Outcome::kTooSlow) return session_->CloseSlow();
  ReleaseOutput();
}

void SessionFeed::OnDrained() {
  output_.OnDrained();
  Flush();
  if (queue_ != nullptr) queue_->OnProgress();
}

// ------------------------------------------------------------------------------- subscribes

const SessionContext& SessionFeed::context() const { return session_->context(); }

SubscribeContext SessionFeed::subscribe_context() {
  return {.host = this,
          .subscriptions = &subscriptions_,
          .service = session_->service(),
          .upstream = context().upstream,
          .loop = context().loop,
          .clock = context().clock};
}

SubscribeQueue& SessionFeed::queue() {
  if (queue_ == nullptr) queue_ = std::make_unique<SubscribeQueue>(subscribe_context());
  return *queue_;
}

void SessionFeed::OnReply(uint64_t ask, SubscribeReply reply) {
  if (queue_ != nullptr) queue_->OnReply(ask, std::move(reply));
}

void SessionFeed::OnState(uint64_t ask, const RequestReply& reply) {
  if (queue_ != nullptr) queue_->OnState(ask, reply);
}

void SessionFeed::LeaveForbidden(absl::string_view reason) {
  if (subscriptions_.empty() && queue_ == nullptr) return;
  queue().LeaveForbidden(reason);
}

absl::Duration SessionFeed::Deadline() {
  if (queue_ == nullptr) return absl::InfiniteDuration();
  const absl::Duration deadline = queue_->deadline();
  if (queue_->empty()) queue_ = nullptr;
  return deadline;
}

void SessionFeed::OnDeadline(absl::Duration now) {
  if (queue_ != nullptr && active() &&
      queue_->OnDeadline(now) == SubscribeQueue::Expiry::kNoProgress) {
    session_->CloseSlow();
  }
}

void SessionFeed::LeaveEverything() {
  if (queue_ != nullptr) queue_->Cancel();
  while (!subscriptions_.empty()) {
    Subscription& last = subscriptions_.back();
    Channel* const channel = last.channel;
    PatternTable* const pattern = last.pattern;
    subscriptions_.Remove(&last);
    if (channel != nullptr) context().upstream->Unwant(channel);
    if (pattern != nullptr) context().upstream->Unwant(pattern);
  }
}

bool SessionFeed::SubscribesTo(absl::string_view name) const {
  const std::vector<Subscription>& all = subscriptions_.all();
  return std::any_of(all.begin(), all.end(),
                     [&](const Subscription& one) { return one.name() == name; });
}

void SessionFeed::Describe(SessionInfo* info) const {
  for (const Subscription& subscription : subscriptions_.all()) {
    if (info->channels.size() == kListedChannels) break;
    info->channels.emplace_back(subscription.name());
  }
  info->channel_count = static_cast<int64_t>(subscriptions_.size());
  output_.Describe(info);
}

// ------------------------------------------------------------------------------- SubscribeHost

bool SessionFeed::active() const { return session_->active(); }

bool SessionFeed::MaySubscribe(absl::string_view name) const {
  return session_->MaySubscribe(name);
}

absl::StatusOr<RequestAccess::StateRequest> SessionFeed::FindState(
    absl::string_view channel) const {
  return session_->FindState(channel);
}

bool SessionFeed::Passes(const EventFilter* filter, const RecoveredEvent& event) const {
  return event.exclude_connection != session_->id() &&
         (filter == nullptr || filter->contains(context().hub->EventName(event.event)));
}

uint64_t SessionFeed::bytes_sent() const { return session_->connection()->bytes_sent(); }

uint64_t SessionFeed::Ask(const SubscribeAsk& ask) {
  return context().upstream->Ask(session_, ask);
}

void SessionFeed::Subscribe(Channel* channel, PatternTable* pattern,
                            std::shared_ptr<const EventFilter> filter) {
  // Publications that came before are for those who were subscribers then.
  if (pattern != nullptr) {
    context().hub->Settle(session_);
    if (!active()) return context().upstream->Unwant(pattern);
  } else {
    context().hub->Commit(channel);
  }
  subscriptions_.Add(session_, session_->connection()->fd(), channel, pattern, std::move(filter));
}

void SessionFeed::Join(Channel* channel, std::shared_ptr<const std::string> info) {
  if (context().presence != nullptr) context().presence->Join(session_, channel, std::move(info));
}

void SessionFeed::Leave(Channel* channel) {
  if (context().presence != nullptr) context().presence->Leave(session_, channel);
}

void SessionFeed::Reply(const std::string& text) {
  if (!session_->open()) return;
  if (output_.Reply(text) == OutQueue::Outcome::kTooSlow) session_->CloseSlow();
}

void SessionFeed::Settle() { context().hub->Settle(session_); }

void SessionFeed::SetPaused(bool paused) {
  if (output_.SetPaused(paused)) Flush();
}

void SessionFeed::Flush() {
  if (active()) output_.Flush();
  ReleaseOutput();
  if (queue_ != nullptr && active()) queue_->RequestNextPage();
}

void SessionFeed::DropWaiting(const Channel* channel) {
  output_.DropChannel(channel, DropReason::kClosing);
  ReleaseOutput();
}

void SessionFeed::DropForbidden() {
  for (const ChannelRef& channel : output_.WaitingChannels()) {
    if (!MaySubscribe(channel->name)) output_.DropChannel(channel.get(), DropReason::kClosing);
  }
  ReleaseOutput();
}

}  // namespace fanwire::fanout
