#include "proto/event_name.h"

#include "absl/strings/str_cat.h"
#include "common/plain_text.h"

namespace fanwire {

absl::Status CheckEventName(absl::string_view name) {
  if (name.empty()) return absl::InvalidArgumentError("empty");
  if (name.size() > kMaxEventNameBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(name.size(), " bytes, at most ", kMaxEventNameBytes, " allowed"));
  }
  if (!IsPrintableAscii(name)) {
    for (size_t i = 0; i < name.size(); ++i) {
      const auto byte = static_cast<unsigned char>(name[i]);
      if (byte < 0x20 || byte == 0x7f) {
        return absl::InvalidArgumentError(absl::StrCat("control character at byte ", i));
      }
    }
  }
  if (name.find('*') != absl::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", name, "\" has a '*', and no event's name can"));
  }
  return absl::OkStatus();
}

bool IsReservedEventName(absl::string_view name) {
  // Of most names the length alone decides.
  return name == kChannelSkippedEvent || name == kChannelUnsubscribedEvent ||
         name == kServerDrainingEvent || name == kTokenExpiringEvent ||
         name == kPresenceJoinedEvent || name == kPresenceLeftEvent;
}

}  // namespace fanwire
