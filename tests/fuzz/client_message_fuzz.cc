// What clients say, in both dialects: any text gets a message or an error, and a reply to it is
// JSON again, whatever it repeats of the request.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/strings/string_view.h"
#include "common/json_parse.h"
#include "fanout/client_message.h"
#include "fanout/reply.h"

namespace fanwire::fanout {

namespace {

void MustBeJson(const std::string& text) {
  if (!IsJson(text)) abort();  // which, unlike the library's parser, takes 1e400
}

void Answer(const ClientMessage& message, CorrelationMode mode) {
  const ReplyContext context = ContextOf(message, mode);
  MustBeJson(PongText(context, absl::UnixEpoch()));
  MustBeJson(
      ErrorText(context, "UNKNOWN_REQUEST", message.event.value_or("None"), absl::UnixEpoch()));
  std::vector<Confirmation> confirmations;
  for (const ChannelRequest& request : message.channels) {
    Confirmation& confirmation = confirmations.emplace_back();
    confirmation.channel = request.channel;
    if (request.info != nullptr) MustBeJson(*request.info);
    if (request.recover.has_value()) {
      confirmation.has_position = confirmation.asked_recovery = true;
      confirmation.epoch = request.recover->epoch;
      confirmation.offset = request.recover->offset;
      if (confirmation.offset < 0) abort();
    }
  }
  if (message.many || !confirmations.empty()) {
    MustBeJson(ConfirmationText(context, true, message.many, confirmations, absl::UnixEpoch()));
  }
  MustBeJson(message.data);
  if (message.publication != nullptr) MustBeJson(message.publication->data);
}

}  // namespace
}  // namespace fanwire::fanout

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  for (const bool component : {false, true}) {
    const auto message =
        fanwire::fanout::ParseClientMessage(text, component, /*publishing=*/component);
    if (!message.ok()) continue;
    fanwire::fanout::Answer(*message, fanwire::fanout::CorrelationMode::kAuto);
    fanwire::fanout::Answer(*message, fanwire::fanout::CorrelationMode::kEcho);
  }
  const fanwire::fanout::BuddyMessage buddy = fanwire::fanout::ParseBuddyMessage(text);
  if (buddy.kind == fanwire::fanout::BuddyMessage::Kind::kSubscribe) {
    fanwire::fanout::MustBeJson(
        fanwire::fanout::BuddyConfirmedText(buddy.skill, absl::UnixEpoch()));
  }
  return 0;
}
