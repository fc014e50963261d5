#include "fanout/buddy_dialect.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "fanout/reply.h"
#include "fanout/service.h"
#include "fanout/subscription_set.h"
#include "fanout/upstream.h"
#include "proto/channel_name.h"

namespace fanwire::fanout {

namespace {

constexpr absl::string_view kBuddyChannel = "metrics";

}  // namespace

void BuddyDialect::Welcome(bool authenticated) {
  context_.host->Reply(BuddyConnectedText(authenticated, context_.clock->WallNow()));
  MoveTo(kBuddyChannel);
}

void BuddyDialect::OnMessage(absl::string_view payload) {
  const BuddyMessage message = ParseBuddyMessage(payload);
  switch (message.kind) {
    case BuddyMessage::Kind::kSubscribe:
      MoveTo(message.skill.has_value() ? absl::StrCat(kBuddyChannel, ":", *message.skill)
                                       : std::string(kBuddyChannel));
      return context_.host->Reply(BuddyConfirmedText(message.skill, context_.clock->WallNow()));
    case BuddyMessage::Kind::kUnsubscribe:
      return MoveTo(kBuddyChannel);
    case BuddyMessage::Kind::kPing:
      return context_.host->Reply("{\"type\": \"pong\"}");
    case BuddyMessage::Kind::kToken:
    case BuddyMessage::Kind::kIgnored:
      return;
  }
}

void BuddyDialect::MoveTo(absl::string_view name) {
  if (!context_.subscriptions->empty()) {
    Channel* const left = context_.subscriptions->back().channel;
    if (left->name == name) return;
    output_->DropChannel(left, DropReason::kConflated);
    context_.subscriptions->Remove(&context_.subscriptions->back());
    context_.upstream->Unwant(left);
  }
  // A skill that makes no channel's name can never be among the top ten.
  if (!CheckChannelName(name).ok()) return;
  Channel* const channel = context_.service->FindOrMakeChannel(Dialect::kSessionBuddy, name);
  context_.upstream->Want(channel);
  context_.host->Subscribe(channel, nullptr, nullptr);
}

}  // namespace fanwire::fanout
