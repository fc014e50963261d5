// Session's subscribing side: requests, control's answers, recovery.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "fanout/session.h"
#include "proto/channel_name.h"
#include "proto/policies.h"

namespace fanwire::fanout {

namespace {

// Subscribes of one session that wait for their turn, and the memory that they may take.
constexpr size_t kMaxOps = 10'000;
constexpr size_t kMaxOpBytes = 16 << 20;

// Pages of a recovery; smaller if the session's budget is.
constexpr uint64_t kMaxPageBytes = 256 << 10;

// What a text takes.
size_t Weight(absl::string_view text) { return sizeof(std::string) + text.size(); }

}  // namespace

size_t Session::subscription_count() const {
  size_t count = subscriptions_.size();
  if (pending_ == nullptr) return count;
  count += pending_->recoveries.size();
  if (!pending_->ops.empty()) count += pending_->ops.front().awaited;
  return count;
}

size_t Session::Waiting() const {
  return (out_ == nullptr ? 0 : out_->backlog_bytes()) + connection_->queued_bytes();
}

uint64_t Session::page_bytes() const {
  return std::clamp<uint64_t>(settings().session_backlog_bytes / 2, 1, kMaxPageBytes);
}

// ------------------------------------------------------------------------------- requests

void Session::OnSubscribe(ClientMessage message, ReplyContext context) {
  if (message.channels_are_bad) {
    return ReplyError(context, "INVALID_REQUEST",
                      absl::StrCat("channels: a list of at most ", kMaxChannelsPerMessage,
                                   " names or objects is wanted"));
  }
  size_t bytes = sizeof(SubscribeOp) + Weight(context.correlation.value_or("")) +
                 Weight(context.request_id.value_or("")) +
                 Weight(context.request_correlation_id.value_or(""));
  const EventFilter* shared = nullptr;  // counted once
  for (const ChannelRequest& request : message.channels) {
    bytes += sizeof(Target) + 2 * request.channel.size();
    if (request.recover.has_value()) bytes += request.recover->epoch.size();
    if (request.events == nullptr || request.events.get() == shared) continue;
    if (request.events.use_count() > 1) shared = request.events.get();
    for (const std::string& event : *request.events) bytes += Weight(event);
  }
  if (pending_ != nullptr && !pending_->ops.empty()) {
    if (pending_->ops.size() >= kMaxOps) {
      return ReplyError(context, "LIMIT_EXCEEDED",
                        absl::StrCat("more than ", kMaxOps, " subscribes wait"));
    }
    if (pending_->op_bytes + bytes > kMaxOpBytes) {
      return ReplyError(
          context, "LIMIT_EXCEEDED",
          absl::StrCat("the subscribes that wait would take more than ", kMaxOpBytes, " bytes"));
    }
  }
  SubscribeOp op;
  op.bytes = bytes;
  op.asked = Now();
  op.deadline = Now() + settings().control_wait;
  op.context = std::move(context);
  op.subscribe = message.kind == ClientMessage::Kind::kSubscribe;
  op.many = message.many;
  for (ChannelRequest& request : message.channels) {
    Target& target = op.targets.emplace_back();
    target.request = std::move(request);
    target.confirmation.subscribed = op.subscribe;
    target.confirmation.channel = target.request.channel;
  }
  pending().ops.push_back(std::move(op));
  pending_->op_bytes += bytes;
  if (pending_->ops.size() == 1) StartOp();
}

void Session::StartOp() {
  while (state_ == State::kActive && pending_ != nullptr && !pending_->ops.empty()) {
    if (pending_->ops.front().started) break;
    FlushTurn();  // it was gathered by the subscriptions as they are
    if (state_ != State::kActive) return;
    SubscribeOp& op = pending_->ops.front();
    op.started = true;
    for (Target& target : op.targets) {
      StartTarget(&op, &target);
      if (state_ != State::kActive) return;  // closed, and the op is gone with all else
    }
    if (op.awaited > 0) {
      // What the channels bring must come behind the one answer for all of them.
      if (op.many) out().SetPaused(true);
      break;
    }
    FinishOp();
  }
  if (state_ == State::kActive) Rearm();
}

void Session::Refuse(Target* target, absl::string_view code, std::string message) {
  target->confirmation.error_code = std::string(code);
  target->confirmation.error_message = std::move(message);
}

void Session::StartTarget(SubscribeOp* op, Target* target) {
  ChannelRequest& request = target->request;
  if (!request.channel_is_text) {
    return Refuse(target, "INVALID_CHANNEL", "channel: a text is wanted");
  }
  if (const absl::Status status =
          CheckChannelOrPattern(request.channel, settings().max_channel_bytes);
      !status.ok()) {
    return Refuse(target, "INVALID_CHANNEL", std::string(status.message()));
  }
  if (!op->subscribe) return Unsubscribe(request.channel);
  if (request.recover_is_bad) {
    return Refuse(target, "INVALID_REQUEST",
                  "recover: {\"epoch\": text, \"offset\": integer from 0} is wanted");
  }
  if (request.events_are_bad) {
    return Refuse(target, "INVALID_REQUEST", "events: a list of event names is wanted");
  }
  if (identity_ != nullptr && !settings().verifier.MaySubscribe(*identity_, request.channel)) {
    return Refuse(target, "FORBIDDEN",
                  absl::StrCat("Not authorized to subscribe to ", request.channel));
  }
  target->filter = request.events;
  Subscription* const known = Find(request.channel);
  // What is on its way to it goes as the subscription was; what a recovery will bring need not, but
  // for a pattern that would bring it instead.
  if (known != nullptr && known->channel != nullptr &&
      (request.recover.has_value()
           ? pattern_subscriptions_ > 0
           : known->channel->first_run != nullptr || !known->channel->arrived.empty())) {
    context_->hub->Settle(this);
    if (state_ != State::kActive) return;
  }
  if (known != nullptr && !request.recover.has_value()) {
    known->filter = std::move(target->filter);
    UpdateFlag(static_cast<uint32_t>(known - subscriptions_.data()));
    if (known->channel != nullptr && !known->channel->epoch.empty()) {
      target->confirmation.has_position = true;
      target->confirmation.epoch = known->channel->epoch;
      target->confirmation.offset = SentUpTo(*known->channel, known->channel->offset);
    }
    return;
  }
  const Channel* const recovered = service_->FindChannel(dialect_, request.channel);
  const bool recovering = known == nullptr && Recovers(recovered);
  if (recovering && !request.recover.has_value()) {
    if (Recovery* const recovery = FindRecovery(recovered); recovery != nullptr) {
      // It goes on.
      recovery->filter = std::move(target->filter);
      target->confirmation.has_position = true;
      target->confirmation.epoch = recovery->epoch;
      target->confirmation.offset = SentUpTo(*recovered, recovery->offset);
      return;
    }
  }
  if (known == nullptr && !recovering &&
      subscription_count() >= settings().max_channels_per_session) {
    return Refuse(
        target, "LIMIT_EXCEEDED",
        absl::StrCat("a session may have ", settings().max_channels_per_session, " subscriptions"));
  }
  SubscribeAsk ask;
  ask.page_bytes = op->many ? 1 : page_bytes();
  if (IsPattern(request.channel)) {
    const absl::StatusOr<ChannelPattern> pattern = ChannelPattern::Parse(request.channel);
    if (!pattern.ok()) {
      return Refuse(target, "INVALID_CHANNEL", std::string(pattern.status().message()));
    }
    request.recover.reset();  // for exact channels alone
    if (known != nullptr) {
      known->filter = std::move(target->filter);
      return UpdateFlag(static_cast<uint32_t>(known - subscriptions_.data()));
    }
    target->pattern = service_->FindOrMakePattern(dialect_, *pattern);
    ask.pattern = target->pattern;
    context_->upstream->Want(target->pattern);
  } else {
    Channel* const channel = service_->FindOrMakeChannel(dialect_, request.channel);
    context_->upstream->Want(channel);
    target->channel = ChannelRef(channel);
    ask.channel = channel;
    if (request.recover.has_value()) {
      ask.recover = true;
      ask.epoch = request.recover->epoch;
      ask.offset = request.recover->offset;
    }
    // It begins anew: what would come otherwise, by a pattern too, comes by the recovery.
    if (ask.recover || recovering) DropWaiting(channel);
    if (known != nullptr) {
      RemoveSubscription(known);
      context_->upstream->Unwant(channel);
    }
    CancelRecovery(channel);
  }
  target->ask = context_->upstream->Ask(this, ask);
  ++op->awaited;
  if (ask.recover) CountRecovering(1);
}

void Session::Unsubscribe(absl::string_view name) {
  if (pattern_subscriptions_ > 0 && Find(name) != nullptr) {
    context_->hub->Settle(this);
    if (state_ != State::kActive) return;  // it was too slow: `name` is gone as well
  }
  if (Subscription* const known = Find(name); known != nullptr) {
    Channel* const channel = known->channel;
    PatternTable* const pattern = known->pattern;
    RemoveSubscription(known);
    if (channel != nullptr) {
      // Nothing of it comes behind the answer, unless a pattern may have brought it.
      if (pattern_subscriptions_ == 0) DropWaiting(channel);
      context_->upstream->Unwant(channel);
    }
    if (pattern != nullptr) context_->upstream->Unwant(pattern);
    return;
  }
  const ChannelRef channel(service_->FindChannel(dialect_, name));
  if (channel && Recovers(channel.get())) {
    DropWaiting(channel.get());
    CancelRecovery(channel.get());
  }
}

int64_t Session::SentUpTo(const Channel& channel, int64_t offset) const {
  if (out_ == nullptr) return offset;
  const int64_t waits = out_->FirstOffset(&channel);
  return waits == 0 ? offset : std::min(offset, waits - 1);
}

void Session::DropWaiting(const Channel* channel) {
  if (out_ == nullptr) return;
  out_->DropChannel(channel, DropReason::kClosing);
  ReleaseOut();
}

void Session::ExpireOp() {
  SubscribeOp& op = pending_->ops.front();
  for (Target& target : op.targets) {
    if (target.ask == 0) continue;
    context_->upstream->Forget(std::exchange(target.ask, 0));
    if (target.request.recover.has_value()) CountRecovering(-1);
    Refuse(&target, "UNAVAILABLE", "control is out of reach: try again");
    if (target.channel) context_->upstream->Unwant(target.channel.get());
    if (target.pattern != nullptr) context_->upstream->Unwant(target.pattern);
    target.channel = ChannelRef();
    target.pattern = nullptr;
  }
  op.awaited = 0;
  FinishOp();
}

void Session::FinishOp() {
  SubscribeOp op = std::move(pending_->ops.front());
  pending_->ops.pop_front();
  pending_->op_bytes -= op.bytes;
  std::vector<Confirmation> confirmations;
  for (Target& target : op.targets) confirmations.push_back(std::move(target.confirmation));
  CountAnswered(op.asked);
  Reply(ConfirmationText(op.context, op.subscribe, op.many, confirmations, WallNow()));
  if (op.many) Unpause();
}

// ------------------------------------------------------------------------------- answers

void Session::OnSubscribeReply(uint64_t ask, SubscribeReply reply) {
  if (pending_ == nullptr || state_ != State::kActive) return;
  // What came before the answer goes by the subscriptions as they were, or is withheld.
  if (pattern_subscriptions_ > 0) {
    context_->hub->Settle(this);
  } else {
    FlushTurn();
  }
  if (pending_ == nullptr || state_ != State::kActive) return;
  // One page is under way at a time, that of the first.
  if (!pending_->recoveries.empty() && pending_->recoveries.front().ask == ask) {
    OnRecoveryReply(&pending_->recoveries.front(), std::move(reply));
    if (state_ == State::kActive) Rearm();
    return;
  }
  if (pending_->ops.empty()) return;
  SubscribeOp& op = pending_->ops.front();
  for (size_t i = 0; i < op.targets.size(); ++i) {
    // Answers come in the order of the asks.
    Target& target = op.targets[op.next_answer];
    op.next_answer = (op.next_answer + 1) % op.targets.size();
    if (target.ask != ask) continue;
    target.ask = 0;
    --op.awaited;
    if (target.request.recover.has_value()) CountRecovering(-1);
    OnTargetReply(&op, &target, std::move(reply));
    break;
  }
  if (state_ != State::kActive) return;
  // The front may be another by now: a single subscribe is confirmed before its events.
  if (!pending_->ops.empty() && pending_->ops.front().started &&
      pending_->ops.front().awaited == 0) {
    FinishOp();
  }
  if (state_ != State::kActive) return;
  // Control is there: the next one's wait begins now.
  if (!pending_->ops.empty() && !pending_->ops.front().started) {
    pending_->ops.front().deadline = Now() + settings().control_wait;
  }
  StartOp();
}

void Session::OnTargetReply(SubscribeOp* op, Target* target, SubscribeReply reply) {
  // What the op's end would destroy.
  const ChannelRef channel = target->channel;
  PatternTable* const pattern = target->pattern;
  std::shared_ptr<const Filter> filter = std::move(target->filter);
  Confirmation& confirmation = target->confirmation;
  if (!reply.error_code.empty()) {
    Refuse(target, reply.error_code, reply.error_message);
    if (!op->many) FinishOp();
    if (channel) context_->upstream->Unwant(channel.get());
    if (pattern != nullptr) context_->upstream->Unwant(pattern);
    return;
  }
  if (!reply.epoch.empty()) {
    confirmation.has_position = true;
    confirmation.epoch = reply.epoch;
    // What patterns have brought may wait.
    confirmation.offset = target->request.recover.has_value() || !channel
                              ? reply.offset
                              : SentUpTo(*channel, reply.offset);
  }
  confirmation.asked_recovery = target->request.recover.has_value();
  confirmation.recovered = reply.recovered;
  confirmation.recovered_count = reply.recovered ? reply.recover_count : 0;
  confirmation.reason = reply.reason;
  const int64_t asked_offset =
      target->request.recover.has_value() ? target->request.recover->offset : 0;
  // From here on the target is not used: the op may be over.
  if (!op->many) FinishOp();
  if (state_ != State::kActive) {
    if (channel) context_->upstream->Unwant(channel.get());
    if (pattern != nullptr) context_->upstream->Unwant(pattern);
    return;
  }
  const absl::string_view name =
      pattern != nullptr ? absl::string_view(pattern->pattern.text()) : channel->name;
  if (Subscription* const known = Find(name); known != nullptr) {
    // One request named it twice: the later filter holds.
    known->filter = std::move(filter);
    UpdateFlag(static_cast<uint32_t>(known - subscriptions_.data()));
    if (channel) context_->upstream->Unwant(channel.get());
    if (pattern != nullptr) context_->upstream->Unwant(pattern);
    return;
  }
  if (pattern != nullptr) return Subscribe(nullptr, pattern, std::move(filter));
  CancelRecovery(channel.get());
  // Behind much that waits nothing is kept: it is asked for again when there is room.
  const bool again = !reply.events.empty() && Waiting() > settings().session_backlog_bytes / 2;
  if (!again) AppendRecovered(channel, filter.get(), &reply);
  if (!again && reply.last_page) {
    Subscribe(channel.get(), nullptr, std::move(filter));
  } else {
    pending().recoveries.push_back({.channel = channel,
                                    .filter = std::move(filter),
                                    .ask = 0,
                                    .epoch = reply.epoch,
                                    .offset = again ? asked_offset : reply.next_offset});
    pending_->recovery_deadline = Now() + settings().recovery_timeout;
    CountRecovering(1);
  }
  Flush();
}

void Session::OnRecoveryReply(Recovery* recovery, SubscribeReply reply) {
  recovery->ask = 0;
  const ChannelRef channel = recovery->channel;
  if (!reply.error_code.empty()) {
    // Without control's word, what has passed here is what is missing.
    reply.epoch = channel->epoch.empty() ? recovery->epoch : channel->epoch;
    reply.offset = std::max(channel->offset, recovery->offset);
    reply.recovered = false;
  }
  if (!reply.recovered) {
    // History lost it meanwhile, or began anew: say so, and go on live.
    const int64_t from = reply.epoch == recovery->epoch ? recovery->offset + 1 : 1;
    const std::string epoch = reply.epoch == recovery->epoch ? "" : reply.epoch;
    const std::string reason = reply.reason.empty() ? "history_expired" : reply.reason;
    out().Append({.frame = Frame::Text(
                      SkippedText(channel->name, from, reply.offset, reason, epoch, WallNow())),
                  .channel = channel,
                  .kind = Backlog::Kind::kNotice});
    reply.last_page = true;
  } else {
    AppendRecovered(channel, recovery->filter.get(), &reply);
  }
  if (reply.last_page) {
    std::shared_ptr<const Filter> filter = std::move(recovery->filter);
    pending_->recoveries.erase(pending_->recoveries.begin());
    CountRecovering(-1);
    Subscribe(channel.get(), nullptr, std::move(filter));
  } else {
    recovery->offset = reply.next_offset;
  }
  if (pending_ != nullptr) pending_->recovery_deadline = Now() + settings().recovery_timeout;
  Flush();
}

void Session::AppendRecovered(const ChannelRef& channel, const Filter* filter,
                              SubscribeReply* reply) {
  int64_t expired_from = 0, expired_to = 0;
  const auto tell_expired = [&] {
    if (expired_from == 0) return;
    out().Append({.frame = Frame::Text(SkippedText(channel->name, expired_from, expired_to,
                                                   "expired", "", WallNow())),
                  .channel = channel,
                  .kind = Backlog::Kind::kNotice});
    expired_from = 0;
  };
  for (RecoveredEvent& event : reply->events) {
    if (!event.frame) {
      if (expired_from == 0) expired_from = event.offset;
      expired_to = event.offset;
      continue;
    }
    if (event.exclude_connection == id()) continue;
    if (filter != nullptr && !filter->contains(context_->hub->EventName(event.event))) continue;
    tell_expired();
    out().Append({.frame = std::move(event.frame),
                  .channel = channel,
                  .offset = event.offset,
                  .kind = Backlog::Kind::kRecovered});
  }
  tell_expired();
}

void Session::PumpRecoveries() {
  if (pending_ == nullptr || pending_->recoveries.empty()) return;
  if (Waiting() > settings().session_backlog_bytes / 2) return;
  Recovery& next = pending_->recoveries.front();
  if (next.ask != 0) return;  // one page at a time
  next.ask = context_->upstream->Ask(this, {.channel = next.channel.get(),
                                            .recover = true,
                                            .epoch = next.epoch,
                                            .offset = next.offset,
                                            .page_bytes = page_bytes()});
}

bool Session::Recovers(const Channel* channel, const Filter** filter) const {
  if (recovering_ == 0 || channel == nullptr || pending_ == nullptr) return false;
  for (const Recovery& recovery : pending_->recoveries) {
    if (recovery.channel.get() != channel) continue;
    if (filter != nullptr) *filter = recovery.filter.get();
    return true;
  }
  for (const SubscribeOp& op : pending_->ops) {
    for (const Target& target : op.targets) {
      if (target.ask != 0 && target.request.recover.has_value() &&
          target.channel.get() == channel) {
        if (filter != nullptr) *filter = target.filter.get();
        return true;
      }
    }
  }
  return false;
}

Session::Recovery* Session::FindRecovery(const Channel* channel) {
  if (pending_ == nullptr) return nullptr;
  for (Recovery& recovery : pending_->recoveries) {
    if (recovery.channel.get() == channel) return &recovery;
  }
  return nullptr;
}

void Session::CancelRecovery(const Channel* channel) {
  if (recovering_ == 0 || pending_ == nullptr) return;
  const size_t cancelled = std::erase_if(pending_->recoveries, [&](const Recovery& recovery) {
    if (recovery.channel.get() != channel) return false;
    if (recovery.ask != 0) context_->upstream->Forget(recovery.ask);
    context_->upstream->Unwant(recovery.channel.get());
    return true;
  });
  CountRecovering(-static_cast<int>(cancelled));
}

void Session::CountRecovering(int by) {
  recovering_ = static_cast<uint32_t>(static_cast<int>(recovering_) + by);
  // A session on one pattern alone must now withhold, or need not any more.
  if (by != 0 && subscriptions_.size() == 1) UpdateFlag(0);
}

// ------------------------------------------------------------------------------- tables

Session::Subscription* Session::Find(absl::string_view name) {
  // One search by name; the session's own, which may be long, by address.
  const Channel* const channel = service_->FindChannel(dialect_, name);
  const PatternTable* const pattern = service_->FindPattern(dialect_, name);
  if (channel == nullptr && pattern == nullptr) return nullptr;
  for (Subscription& subscription : subscriptions_) {
    if (subscription.channel != nullptr ? subscription.channel == channel
                                        : subscription.pattern == pattern) {
      return &subscription;
    }
  }
  return nullptr;
}

SubscriberTable& Session::TableOf(const Subscription& subscription) {
  if (subscription.pattern != nullptr) return subscription.pattern->subscribers;
  FANWIRE_CHECK(subscription.channel != nullptr);
  return subscription.channel->subscribers;
}

void Session::Subscribe(Channel* channel, PatternTable* pattern,
                        std::shared_ptr<const Filter> filter) {
  // What came before the answer is for those who were subscribers then.
  if (pattern != nullptr) {
    context_->hub->Settle(this);
    if (state_ != State::kActive) return context_->upstream->Unwant(pattern);
  } else {
    context_->hub->Commit(channel);
  }
  const auto number = static_cast<uint32_t>(subscriptions_.size());
  Subscription& subscription = subscriptions_.emplace_back();
  subscription.channel = channel;
  subscription.pattern = pattern;
  subscription.filter = std::move(filter);
  subscription.index =
      TableOf(subscription).Add({.session = this, .fd = connection_->fd(), .subscription = number});
  ++counts().subscriptions;
  if (pattern != nullptr && pattern_subscriptions_++ == 0) return UpdateFlags();
  UpdateFlag(number);
  if (subscriptions_.size() == 2) UpdateFlag(0);
}

void Session::RemoveSubscription(Subscription* subscription) {
  const auto number = static_cast<uint32_t>(subscription - subscriptions_.data());
  const bool last_pattern = subscription->pattern != nullptr && --pattern_subscriptions_ == 0;
  TableOf(*subscription).Remove(subscription->index);
  --counts().subscriptions;
  if (number + 1 < subscriptions_.size()) {
    *subscription = std::move(subscriptions_.back());
    TableOf(*subscription).at(subscription->index).subscription = number;
  }
  subscriptions_.pop_back();
  if (last_pattern) return UpdateFlags();
  if (subscriptions_.size() == 1) UpdateFlag(0);
}

void Session::UpdateFlag(uint32_t number) {
  const Subscription& subscription = subscriptions_[number];
  const bool several = subscriptions_.size() > 1;
  const bool decides = subscription.filter != nullptr ||
                       (pattern_subscriptions_ > 0 && (several || recovering_ > 0));
  const bool gathers = several || subscription.pattern != nullptr;
  TableOf(subscription).at(subscription.index).by_session =
      static_cast<uint8_t>((decides ? kSessionDecides : 0) | (gathers ? kSessionGathers : 0));
}

void Session::UpdateFlags() {
  for (uint32_t i = 0; i < subscriptions_.size(); ++i) UpdateFlag(i);
}

}  // namespace fanwire::fanout
