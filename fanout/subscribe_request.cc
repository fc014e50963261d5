#include "fanout/subscribe_request.h"

#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "proto/channel_name.h"

namespace fanwire::fanout {

namespace {

// Refuses the target unless it is well-formed and allowed.
void Check(bool subscribe, bool many, size_t max_channel_bytes,
           absl::FunctionRef<bool(absl::string_view name)> may_subscribe, SubscribeTarget* target) {
  const ChannelRequest& wanted = target->request;
  if (!wanted.channel_is_text) {
    return target->Refuse("INVALID_CHANNEL", "channel: a text is wanted");
  }
  if (const absl::Status status = CheckChannelOrPattern(wanted.channel, max_channel_bytes);
      !status.ok()) {
    return target->Refuse("INVALID_CHANNEL", std::string(status.message()));
  }
  if (!subscribe) return;
  if (wanted.recover_is_bad) {
    return target->Refuse("INVALID_REQUEST",
                          "recover: {\"epoch\": text, \"offset\": integer from 0} is wanted");
  }
  if (!wanted.events_fault.empty()) {
    return target->Refuse("INVALID_REQUEST", absl::StrCat("events: ", wanted.events_fault));
  }
  if (wanted.state_is_bad) {
    return target->Refuse("INVALID_REQUEST", "state: true or false is wanted");
  }
  if (wanted.state && (many || IsPattern(wanted.channel))) {
    return target->Refuse("INVALID_REQUEST",
                          many ? "state: comes with one \"channel\", not with \"channels\""
                               : "state: comes with a channel by name, not with a pattern");
  }
  if (!may_subscribe(wanted.channel)) target->RefuseForbidden();
}

}  // namespace

void SubscribeTarget::Refuse(absl::string_view code, std::string message) {
  confirmation.error_code = std::string(code);
  confirmation.error_message = std::move(message);
}

void SubscribeTarget::RefuseForbidden() {
  Refuse("FORBIDDEN", absl::StrCat("Not authorized to subscribe to ", request.channel));
}

size_t SubscribeRequest::BytesOf(const ClientMessage& message, const ReplyContext& context) {
  return sizeof(SubscribeRequest) + message.channels.size() * sizeof(SubscribeTarget) +
         MemoryBytes(context) + MemoryBytes(message.channels);
}

SubscribeRequest::SubscribeRequest(ClientMessage message, ReplyContext reply_to)
    : subscribe(message.kind == ClientMessage::Kind::kSubscribe),
      many(message.many),
      bytes(BytesOf(message, reply_to)) {
  context = std::move(reply_to);
  targets.reserve(message.channels.size());
  for (ChannelRequest& channel : message.channels) {
    SubscribeTarget& target = targets.emplace_back();
    target.request = std::move(channel);
    target.confirmation.subscribed = subscribe;
    target.confirmation.channel = target.request.channel;
  }
}

void SubscribeRequest::CheckAndMerge(
    size_t max_channel_bytes, absl::FunctionRef<bool(absl::string_view name)> may_subscribe) {
  absl::flat_hash_map<absl::string_view, size_t> first;  // by channel
  for (size_t i = 0; i < targets.size(); ++i) {
    SubscribeTarget& target = targets[i];
    Check(subscribe, many, max_channel_bytes, may_subscribe, &target);
    if (target.refused() || !many) continue;
    const auto [it, fresh] = first.emplace(target.confirmation.channel, i);
    if (fresh) continue;
    target.same_as = it->second;
    ChannelRequest& merged = targets[it->second].request;
    merged.events = target.request.events;
    if (target.request.info != nullptr || target.request.info_is_bad) {
      merged.info = target.request.info;
      merged.info_is_bad = target.request.info_is_bad;
    }
    if (target.request.recover.has_value()) merged.recover = target.request.recover;
  }
}

std::vector<Confirmation> SubscribeRequest::TakeConfirmations() {
  std::vector<Confirmation> confirmations;
  confirmations.reserve(targets.size());
  for (SubscribeTarget& target : targets) {
    if (target.same_as != SubscribeTarget::kItself && !target.refused()) {
      confirmations.push_back(confirmations[target.same_as]);
    } else {
      confirmations.push_back(std::move(target.confirmation));
    }
  }
  return confirmations;
}

}  // namespace fanwire::fanout
