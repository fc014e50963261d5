#include "fanout/buddy_dialect.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "fanout/reply.h"
#include "proto/channel_name.h"

namespace fanwire::fanout {

namespace {

constexpr absl::string_view kBuddyChannel = "metrics";

}  // namespace

void BuddyDialect::Welcome(bool authenticated) {
  host_->Reply(BuddyConnectedText(authenticated, clock_->WallNow()));
  MoveTo(kBuddyChannel);
}

void BuddyDialect::OnMessage(absl::string_view payload) {
  const BuddyMessage message = ParseBuddyMessage(payload);
  switch (message.kind) {
    case BuddyMessage::Kind::kSubscribe:
      MoveTo(message.skill.has_value() ? absl::StrCat(kBuddyChannel, ":", *message.skill)
                                       : std::string(kBuddyChannel));
      return host_->Reply(BuddyConfirmedText(message.skill, clock_->WallNow()));
    case BuddyMessage::Kind::kUnsubscribe:
      return MoveTo(kBuddyChannel);
    case BuddyMessage::Kind::kPing:
      return host_->Reply("{\"type\": \"pong\"}");
    case BuddyMessage::Kind::kToken:
    case BuddyMessage::Kind::kIgnored:
      return;
  }
}

void BuddyDialect::MoveTo(absl::string_view name) {
  if (!subscriptions_->empty()) {
    Channel* const left = subscriptions_->back().channel;
    if (left->name == name) return;
    output_->DropChannel(left, DropReason::kConflated);
    subscriptions_->Remove(&subscriptions_->back());
    upstream_->Unwant(left);
  }
  // A skill that makes no channel's name can never be among the top ten.
  if (!CheckChannelName(name).ok()) return;
  Channel* const channel = service_->FindOrMakeChannel(Dialect::kSessionBuddy, name);
  upstream_->Want(channel);
  host_->Subscribe(channel, nullptr, nullptr);
}

}  // namespace fanwire::fanout
