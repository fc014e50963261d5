#include "fanout/subscribe_queue.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/channel_name.h"

namespace fanwire::fanout {

namespace {

// Requests of one session that wait for their turn, and the memory that they may take.
constexpr size_t kMaxRequests = 10'000;
constexpr size_t kMaxRequestBytes = 16 << 20;

// What the client is told of a state.
std::shared_ptr<const ConfirmedState> StateOf(const RequestReply& reply) {
  auto state = std::make_shared<ConfirmedState>();
  if (reply.error_code.empty()) {
    state->json = reply.data;
  } else if (reply.error_code == "LIMIT_EXCEEDED") {
    state->reason = "too_large";
  } else if (reply.error_code == "EVENTS_MISSED") {
    state->reason = "events_missed";
  } else {
    state->reason = "unavailable";
  }
  return state;
}

// Stands for a state that does not come.
const RequestReply kNoState{.data = {}, .error_code = "UNAVAILABLE", .error_message = {}};

}  // namespace

size_t SubscribeQueue::subscription_count() const {
  return context_.subscriptions->size() + recoveries_.size() +
         (requests_.empty() ? 0 : requests_.front().awaited);
}

Subscription* SubscribeQueue::Find(absl::string_view name) {
  return context_.subscriptions->Find(context_.service->FindChannel(kDialect, name),
                                      context_.service->FindPattern(kDialect, name));
}

void SubscribeQueue::Unwant(Channel* channel, PatternTable* pattern) {
  if (channel != nullptr) context_.upstream->Unwant(channel);
  if (pattern != nullptr) context_.upstream->Unwant(pattern);
}

int64_t SubscribeQueue::SentUpTo(const Channel& channel, int64_t offset) const {
  const int64_t waiting = context_.host->FirstWaiting(&channel);
  return waiting == 0 ? offset : std::min(offset, waiting - 1);
}

// ------------------------------------------------------------------------------- requests

void SubscribeQueue::Add(ClientMessage message, ReplyContext context) {
  const auto refuse = [&](absl::string_view code, const std::string& text) {
    context_.host->Reply(ErrorText(context, code, text, context_.clock->WallNow()));
  };
  if (message.channels_are_bad) {
    return refuse("INVALID_REQUEST",
                  absl::StrCat("channels: a list of at most ", kMaxChannelsPerMessage,
                               " names or objects is wanted"));
  }
  const size_t bytes = Request::BytesOf(message, context);
  if (requests_.size() >= kMaxRequests) {
    return refuse("LIMIT_EXCEEDED", absl::StrCat("more than ", kMaxRequests, " subscribes wait"));
  }
  if (!requests_.empty() && request_bytes_ + bytes > kMaxRequestBytes) {
    return refuse("LIMIT_EXCEEDED", absl::StrCat("the subscribes that wait would take more than ",
                                                 kMaxRequestBytes, " bytes"));
  }
  Request& request = requests_.emplace_back(std::move(message), std::move(context));
  request.asked = Now();
  request.deadline = Now() + settings().control_wait;
  request_bytes_ += bytes;
  if (requests_.size() == 1) StartRequests();
}

void SubscribeQueue::StartRequests() {
  while (context_.host->active() && !requests_.empty() && !requests_.front().started) {
    // What was gathered until now goes by the subscriptions as they are.
    context_.host->FlushTurn();
    if (!context_.host->active()) return;
    Request& request = requests_.front();
    request.started = true;
    request.CheckAndMerge(settings().max_channel_bytes, [this](absl::string_view name) {
      return context_.host->MaySubscribe(name);
    });
    for (Target& target : request.targets) {
      if (target.refused() || target.same_as != Target::kItself) continue;
      Start(&request, &target);
      if (!context_.host->active()) return;  // the request is gone
    }
    if (request.awaited > 0) {
      // Publications of the channels must come behind the one answer for all of them.
      if (request.pauses()) context_.host->SetPaused(true);
      return;
    }
    FinishFirst();
  }
}

void SubscribeQueue::Start(Request* request, Target* target) {
  ChannelRequest& wanted = target->request;
  if (!request->subscribe) return Unsubscribe(wanted.channel);
  if (wanted.recover.has_value() && IsPattern(wanted.channel)) {
    // Recovery is for channels by name.
    wanted.recover.reset();
    target->confirmation.asked_recovery = true;
    target->confirmation.reason = "pattern";
  }
  if ((wanted.info_is_bad || wanted.info != nullptr) && settings().TracksPresence(wanted.channel)) {
    const size_t limit = settings().presence_info_bytes;
    if (wanted.info_is_bad) return target->Refuse("INVALID_REQUEST", "info: an object is wanted");
    if (wanted.info->size() > limit) {
      return target->Refuse("INVALID_REQUEST", absl::StrCat("info: has ", wanted.info->size(),
                                                            " bytes, at most ", limit, " allowed"));
    }
  }
  const bool recover = wanted.recover.has_value();
  target->filter = wanted.events;
  Subscription* const known = Find(wanted.channel);
  // Publications on their way to the subscription are delivered as it was.  Those that a recovery
  // brings again may be missed, unless a pattern would bring them instead.
  if (known != nullptr && known->channel != nullptr &&
      (recover || wanted.state
           ? context_.subscriptions->has_patterns()
           : known->channel->first_run != nullptr || !known->channel->arrived.empty())) {
    context_.host->Settle();
    if (!context_.host->active()) return;
  }
  Confirmation& confirmation = target->confirmation;
  if (known != nullptr && !recover && !wanted.state) {
    context_.subscriptions->SetFilter(known, std::move(target->filter));
    if (known->channel != nullptr) context_.host->Join(known->channel, std::move(wanted.info));
    if (known->channel != nullptr && !known->channel->epoch.empty()) {
      confirmation.has_position = true;
      confirmation.epoch = known->channel->epoch;
      confirmation.offset = SentUpTo(*known->channel, known->channel->offset);
    }
    return;
  }
  Channel* const channel = context_.service->FindChannel(kDialect, wanted.channel);
  const bool recovering = known == nullptr && Recovers(channel);
  if (recovering && !recover && !wanted.state) {
    if (RecoveryQueue::Recovery* const recovery = recoveries_.Find(channel); recovery != nullptr) {
      // It goes on with the new filter.
      recovery->filter = std::move(target->filter);
      context_.host->Join(recovery->channel.get(), std::move(wanted.info));
      confirmation.has_position = true;
      confirmation.epoch = recovery->epoch;
      confirmation.offset = SentUpTo(*channel, recovery->offset);
      return;
    }
  }
  if (known == nullptr && !recovering &&
      subscription_count() >= settings().max_channels_per_session) {
    return target->Refuse(
        "LIMIT_EXCEEDED",
        absl::StrCat("a session may have ", settings().max_channels_per_session, " subscriptions"));
  }
  // What waits of the channel is in the state.  What patterns have brought comes before it.
  const bool begins_anew =
      recover || recovering ||
      (wanted.state && !(channel != nullptr && context_.subscriptions->MatchesByPattern(channel)));
  AskControl(request, target, known, begins_anew);
}

void SubscribeQueue::AskControl(Request* request, Target* target, Subscription* known,
                                bool begins_anew) {
  const ChannelRequest& wanted = target->request;
  SubscribeAsk ask;
  ask.page_bytes = request->many ? 1 : recoveries_.page_bytes();
  if (wanted.state) {
    absl::StatusOr<RequestAccess::StateRequest> state = context_.host->FindState(wanted.channel);
    if (!state.ok()) {
      return target->Refuse(
          absl::IsPermissionDenied(state.status()) ? "FORBIDDEN" : "INVALID_REQUEST",
          std::string(state.status().message()));
    }
    ask.state_request = std::move(state->name);
    ask.state_data = std::move(state->data);
  }
  if (IsPattern(wanted.channel)) {
    const absl::StatusOr<ChannelPattern> pattern = ChannelPattern::Parse(wanted.channel);
    if (!pattern.ok()) {
      return target->Refuse("INVALID_CHANNEL", std::string(pattern.status().message()));
    }
    target->pattern = context_.service->FindOrMakePattern(kDialect, *pattern);
    ask.pattern = target->pattern;
    context_.upstream->Want(target->pattern);
  } else {
    Channel* const channel = context_.service->FindOrMakeChannel(kDialect, wanted.channel);
    context_.upstream->Want(channel);
    target->channel = ChannelRef(channel);
    ask.channel = channel;
    if (wanted.recover.has_value()) {
      ask.recover = true;
      ask.epoch = wanted.recover->epoch;
      ask.offset = wanted.recover->offset;
    }
    // The recovery brings what waits, whether it came by name or by a pattern.
    const int64_t waiting = begins_anew ? context_.host->FirstWaiting(channel) : 0;
    if (begins_anew) context_.host->DropWaiting(channel);
    if (known != nullptr) {
      context_.subscriptions->Remove(known);
      context_.upstream->Unwant(channel);
    }
    RecoveryQueue::Withheld withheld = recoveries_.Cancel(channel);
    if (withheld.epoch.empty()) {
      withheld.epoch = channel->epoch;
      withheld.applied = channel->offset;
    }
    if (waiting != 0) withheld.Add(waiting);
    if (ask.recover || wanted.state) {
      target->withheld = std::move(withheld);
    } else {
      recoveries_.TellWithheld(target->channel, withheld, /*sent=*/0);
    }
  }
  target->ask = context_.host->Ask(ask);
  ++request->awaited;
  if (ask.recover) context_.subscriptions->CountRecovering(1);
}

void SubscribeQueue::Unsubscribe(absl::string_view name) {
  if (Channel* const channel = context_.service->FindChannel(kDialect, name); channel != nullptr) {
    context_.host->Leave(channel);
  }
  if (Subscription* const known = Find(name); known != nullptr) {
    if (context_.subscriptions->has_patterns()) {
      context_.host->Settle();
      if (!context_.host->active()) return;  // `name` is gone as well
    }
    Channel* const channel = known->channel;
    PatternTable* const pattern = known->pattern;
    context_.subscriptions->Remove(known);
    // No publication of the channel comes behind the answer, unless a pattern may have brought it.
    if (channel != nullptr && !context_.subscriptions->has_patterns())
      context_.host->DropWaiting(channel);
    return Unwant(channel, pattern);
  }
  const ChannelRef channel(context_.service->FindChannel(kDialect, name));
  if (channel && Recovers(channel.get()) && context_.subscriptions->has_patterns()) {
    context_.host->Settle();  // what is on its way is withheld as well
    if (!context_.host->active()) return;
  }
  if (RecoveryQueue::Recovery* const recovery = channel ? recoveries_.Find(channel.get()) : nullptr;
      recovery != nullptr) {
    const int64_t sent = SentUpTo(*channel, recovery->offset);
    // What waits goes as well, and patterns may have brought some of it.
    if (const int64_t waiting = context_.host->FirstWaiting(channel.get()); waiting != 0) {
      recovery->withheld.Add(waiting);
    }
    context_.host->DropWaiting(channel.get());
    recoveries_.TellWithheld(channel, recoveries_.Cancel(channel.get()), sent);
  }
}

void SubscribeQueue::FinishFirst() {
  Request request = std::move(requests_.front());
  requests_.pop_front();
  request_bytes_ -= request.bytes;
  context_.service->latencies().requests.Observe(absl::ToDoubleSeconds(Now() - request.asked));
  context_.host->Reply(ConfirmationText(request.context, request.subscribe, request.many,
                                        request.TakeConfirmations(), context_.clock->WallNow()));
  if (request.pauses()) context_.host->SetPaused(false);
  if (recoveries_.TakeTold() && context_.host->active()) context_.host->Flush();
}

void SubscribeQueue::Withdraw(Request* request, Target* target) {
  if (target->ask == 0) return;
  context_.upstream->Forget(std::exchange(target->ask, 0));
  --request->awaited;
  if (std::exchange(target->subscribed, false)) return;  // it stays subscribed
  if (target->request.recover.has_value()) context_.subscriptions->CountRecovering(-1);
  if (target->channel) context_.host->Leave(target->channel.get());
  Unwant(target->channel.get(), target->pattern);
  target->channel = ChannelRef();
  target->pattern = nullptr;
}

void SubscribeQueue::ExpireFirst() {
  if (context_.subscriptions->has_patterns() && context_.subscriptions->recovering()) {
    context_.host->Settle();  // what is on its way is withheld as well
    if (!context_.host->active()) return;
  }
  Request& request = requests_.front();
  for (Target& target : request.targets) {
    if (target.ask == 0) continue;
    if (target.subscribed) {
      target.confirmation.state = StateOf(kNoState);
      Withdraw(&request, &target);
      continue;
    }
    recoveries_.TellWithheld(target.channel, target.withheld, /*sent=*/0);
    target.Refuse("UNAVAILABLE", "control is out of reach: try again");
    Withdraw(&request, &target);
  }
  FinishFirst();
}

void SubscribeQueue::LeaveForbidden(absl::string_view reason) {
  // What was gathered until now was allowed.
  if (context_.subscriptions->has_patterns()) {
    context_.host->Settle();
  } else {
    context_.host->FlushTurn();
  }
  if (!context_.host->active()) return;
  std::vector<std::string> lost;
  const auto look_at = [&](absl::string_view name) {
    if (!context_.host->MaySubscribe(name)) lost.emplace_back(name);
  };
  for (const Subscription& subscription : context_.subscriptions->all())
    look_at(subscription.name());
  for (const RecoveryQueue::Recovery& recovery : recoveries_.all()) look_at(recovery.channel->name);
  Request* const request =
      requests_.empty() || !requests_.front().started ? nullptr : &requests_.front();
  if (request != nullptr && request->subscribe) {
    for (Target& target : request->targets) {
      if (target.refused() || context_.host->MaySubscribe(target.request.channel)) {
        continue;
      }
      Withdraw(request, &target);
      target.RefuseForbidden();
    }
  }
  for (const std::string& name : lost) {
    Unsubscribe(name);
    if (!context_.host->active()) return;
  }
  if (!lost.empty()) context_.host->DropForbidden();
  for (const std::string& name : lost) {
    context_.host->Reply(UnsubscribedText(name, reason, context_.clock->WallNow()));
    if (!context_.host->active()) return;
  }
  if (request == nullptr || request->awaited > 0) return;
  FinishFirst();
  StartRequests();
}

// ------------------------------------------------------------------------------- answers

void SubscribeQueue::OnReply(uint64_t ask, SubscribeReply reply) {
  if (empty()) return;
  // What came before the answer goes by the subscriptions as they were, or is withheld.
  if (context_.subscriptions->has_patterns()) {
    context_.host->Settle();
  } else {
    context_.host->FlushTurn();
  }
  if (!context_.host->active()) return;
  if (recoveries_.OnReply(ask, &reply) || requests_.empty()) return;
  Request& request = requests_.front();
  for (size_t i = 0; i < request.targets.size(); ++i) {
    // Answers come in the order of the asks.
    Target& target = request.targets[request.next_answer];
    request.next_answer = (request.next_answer + 1) % request.targets.size();
    if (target.ask != ask) continue;
    if (reply.state_follows) {
      target.subscribed = true;
    } else {
      target.ask = 0;
      --request.awaited;
    }
    if (target.request.recover.has_value()) context_.subscriptions->CountRecovering(-1);
    OnTargetReply(&request, &target, std::move(reply));
    break;
  }
  GoOn();
}

void SubscribeQueue::OnState(uint64_t ask, const RequestReply& reply) {
  if (requests_.empty()) return;
  Target& target = requests_.front().targets.front();
  if (target.ask != ask || !target.subscribed) return;
  context_.host->FlushTurn();
  if (!context_.host->active()) return;
  target.ask = 0;
  target.subscribed = false;
  --requests_.front().awaited;
  target.confirmation.state = StateOf(reply);
  GoOn();
}

void SubscribeQueue::GoOn() {
  if (!context_.host->active()) return;
  // A request for a single channel may be finished by now; the first is another then.
  if (!requests_.empty() && requests_.front().started && requests_.front().awaited == 0) {
    FinishFirst();
    if (!context_.host->active()) return;
  }
  // Control is there: the next one's wait begins now.
  if (!requests_.empty() && !requests_.front().started) {
    requests_.front().deadline = Now() + settings().control_wait;
  }
  StartRequests();
}

void SubscribeQueue::OnTargetReply(Request* request, Target* target, SubscribeReply reply) {
  // Copies: the end of the request destroys the target.
  const bool many = request->many;
  const ChannelRef channel = target->channel;
  PatternTable* const pattern = target->pattern;
  std::shared_ptr<const EventFilter> filter = std::move(target->filter);
  RecoveryQueue::Withheld withheld = std::move(target->withheld);
  if (!reply.error_code.empty()) {
    recoveries_.TellWithheld(channel, withheld, /*sent=*/0);
    target->Refuse(reply.error_code, reply.error_message);
    if (channel) context_.host->Leave(channel.get());  // what it had before has ended
    if (!many) FinishFirst();
    return Unwant(channel.get(), pattern);
  }
  if (channel) context_.host->Join(channel.get(), std::move(target->request.info));
  const bool recover = target->request.recover.has_value();
  const int64_t asked_offset = recover ? target->request.recover->offset : 0;
  Confirmation& confirmation = target->confirmation;
  if (!reply.epoch.empty()) {
    confirmation.has_position = true;
    confirmation.epoch = reply.epoch;
    // Publications that patterns have brought may wait.
    confirmation.offset = recover || !channel ? reply.offset : SentUpTo(*channel, reply.offset);
  }
  if (recover) {
    confirmation.asked_recovery = true;
    confirmation.recovered = reply.recovered;
    confirmation.recovered_count = reply.recovered ? reply.recover_count : 0;
    confirmation.reason = reply.reason;
    if (!reply.recovered && !target->request.state) {
      recoveries_.TellWithheld(channel, withheld, /*sent=*/0);
    }
  }
  if (target->request.state && !confirmation.recovered) {
    if (context_.subscriptions->MatchesByPattern(channel.get())) {
      // What patterns have brought until now is sent, as far as the client takes it.
      context_.host->SetPaused(false);
      if (!context_.host->active()) return Unwant(channel.get(), pattern);
      context_.host->SetPaused(true);
    }
    // All that still waits of the channel is in the state.
    if (const int64_t waiting = context_.host->FirstWaiting(channel.get()); waiting != 0) {
      withheld.Add(waiting);
    }
    context_.host->DropWaiting(channel.get());
    recoveries_.TellWithheld(channel, withheld, /*sent=*/0);
    confirmation.offset = reply.offset;
    if (reply.state_follows) {
      target->request.recover.reset();
      return context_.host->Subscribe(channel.get(), nullptr, std::move(filter));
    }
    confirmation.state = StateOf(reply.state.value_or(kNoState));
  }
  if (!many) FinishFirst();
  if (!context_.host->active()) return Unwant(channel.get(), pattern);
  if (pattern != nullptr) return context_.host->Subscribe(nullptr, pattern, std::move(filter));
  recoveries_.Cancel(channel.get());
  // Behind much that waits nothing is kept: it is asked for again when there is room.
  const bool again = !reply.events.empty() &&
                     context_.host->waiting_bytes() > settings().session_backlog_bytes / 2;
  if (!again) recoveries_.AppendPage(channel, filter.get(), &reply);
  if (!again && reply.last_page) {
    context_.host->Subscribe(channel.get(), nullptr, std::move(filter));
  } else {
    recoveries_.Add({.channel = channel,
                     .filter = std::move(filter),
                     .epoch = reply.epoch,
                     .offset = again ? asked_offset : reply.next_offset,
                     .withheld = withheld});
  }
  context_.host->Flush();
  OnProgress();
}

bool SubscribeQueue::Recovers(const Channel* channel, const EventFilter** filter) const {
  if (!context_.subscriptions->recovering() || channel == nullptr) return false;
  if (const RecoveryQueue::Recovery* const recovery = recoveries_.Find(channel);
      recovery != nullptr) {
    if (filter != nullptr) *filter = recovery->filter.get();
    return true;
  }
  if (requests_.empty()) return false;
  for (const Target& target : requests_.front().targets) {
    if (target.ask == 0 || !target.request.recover.has_value() || target.channel.get() != channel) {
      continue;
    }
    if (filter != nullptr) *filter = target.filter.get();
    return true;
  }
  return false;
}

void SubscribeQueue::Withhold(const Channel* channel, int64_t offset) {
  if (RecoveryQueue::Recovery* const recovery = recoveries_.Find(channel); recovery != nullptr) {
    return recovery->withheld.Add(offset);
  }
  if (requests_.empty()) return;
  for (Target& target : requests_.front().targets) {
    if (target.ask != 0 && target.request.recover.has_value() && target.channel.get() == channel) {
      target.withheld.Add(offset);
    }
  }
}

// ------------------------------------------------------------------------------- the end

absl::Duration SubscribeQueue::deadline() const {
  absl::Duration next = absl::InfiniteDuration();
  if (!requests_.empty()) next = requests_.front().deadline;
  return std::min(next, recoveries_.deadline());
}

SubscribeQueue::Expiry SubscribeQueue::OnDeadline(absl::Duration now) {
  if (recoveries_.Stands(now)) return Expiry::kNoProgress;
  while (context_.host->active() && !requests_.empty() && now >= requests_.front().deadline) {
    ExpireFirst();
    StartRequests();
  }
  return Expiry::kHandled;
}

void SubscribeQueue::Cancel() {
  for (Request& request : requests_) {
    for (Target& target : request.targets) {
      if (target.ask == 0) continue;
      context_.upstream->Forget(target.ask);
      if (target.subscribed) continue;
      if (target.request.recover.has_value()) context_.subscriptions->CountRecovering(-1);
      Unwant(target.channel.get(), target.pattern);
    }
  }
  requests_.clear();
  recoveries_.CancelAll();
  request_bytes_ = 0;
}

}  // namespace fanwire::fanout
