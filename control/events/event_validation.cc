#include "control/events/event_validation.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/plain_text.h"
#include "control/events/catalog_check.h"
#include "control/events/envelope.h"
#include "control/events/json_document.h"
#include "proto/channel_name.h"
#include "proto/event_name.h"

namespace fanwire::control {

namespace {

absl::Status CheckText(absl::string_view what, absl::string_view text, size_t max_bytes) {
  if (text.size() > max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, ": ", text.size(), " bytes, at most ", max_bytes, " allowed"));
  }
  if (IsPrintableAscii(text)) return absl::OkStatus();
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x20 || byte == 0x7f) {
      return absl::InvalidArgumentError(absl::StrCat(what, ": control character at byte ", i));
    }
  }
  if (!IsUtf8(text)) return absl::InvalidArgumentError(absl::StrCat(what, ": not UTF-8"));
  return absl::OkStatus();
}

// A name that was accepted.
struct AcceptedName {
  size_t bytes = 0;  // 0: none yet
  char text[kMaxEventNameBytes] = {};

  bool Is(absl::string_view name) const {
    return name.size() == bytes && bytes > 0 && std::memcmp(text, name.data(), bytes) == 0;
  }
  void Set(absl::string_view name) {
    bytes = name.size();
    std::memcpy(text, name.data(), bytes);
  }
};

absl::Status CheckName(absl::string_view name) {
  // Most events have the name of the one before, which need not be looked at four times again.
  thread_local constinit AcceptedName last;
  if (last.Is(name)) return absl::OkStatus();
  if (const absl::Status status = CheckEventName(name); !status.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("event: ", status.message()));
  }
  if (IsReservedEventName(name)) {
    return absl::InvalidArgumentError(
        absl::StrCat("event: \"", name, "\" is reserved: only Fanwire itself sends it"));
  }
  if (!IsPrintableAscii(name) && !IsUtf8(name)) {
    return absl::InvalidArgumentError("event: not UTF-8");
  }
  last.Set(name);
  return absl::OkStatus();
}

// `rule.to` with its "{field}" parts taken from data; nothing if one is missing.  The one behind
// "KIND:" may bring the kind itself.
std::optional<std::string> MirrorChannel(const MirrorRule& rule, const JsonDocument& data) {
  std::string channel;
  absl::string_view rest = rule.to;
  while (true) {
    const size_t open = rest.find('{');
    const size_t close = open == absl::string_view::npos ? open : rest.find('}', open);
    if (close == absl::string_view::npos) {
      absl::StrAppend(&channel, rest);
      return channel;
    }
    const std::optional<std::string> value =
        data.TextField(rest.substr(open + 1, close - open - 1));
    if (!value.has_value()) return std::nullopt;
    absl::StrAppend(&channel, rest.substr(0, open));
    const absl::string_view kind = ChannelKind(channel);
    const bool first = channel.size() == kind.size() + 1;
    absl::StrAppend(&channel, first ? WithoutKind(kind, *value) : absl::string_view(*value));
    rest.remove_prefix(close + 1);
  }
}

void FindMirrors(const Event& event, const ServiceSpec& service, const JsonDocument& data,
                 std::vector<std::string>* mirrors) {
  for (const MirrorRule& rule : service.mirrors) {
    if (std::none_of(rule.events.begin(), rule.events.end(), [&](const std::string& pattern) {
          return EventMatches(pattern, event.event);
        })) {
      continue;
    }
    if (!rule.if_field.empty() && !data.TextField(rule.if_field).has_value()) continue;
    std::optional<std::string> channel = MirrorChannel(rule, data);
    // A field's text need not make a channel's name: then there is no such copy.
    if (!channel.has_value() || *channel == event.channel || mirrors->size() == kMaxMirrors ||
        std::find(mirrors->begin(), mirrors->end(), *channel) != mirrors->end() ||
        !CheckChannelName(*channel, service.max_channel_bytes).ok()) {
      continue;
    }
    mirrors->push_back(*std::move(channel));
  }
}

}  // namespace

absl::Status CheckEvent(const Event& event, const ServiceSpec& service, CheckedEvent* checked) {
  checked->mirrors.clear();
  checked->warnings.clear();
  if (absl::Status status = CheckChannelName(event.channel, service.max_channel_bytes);
      !status.ok()) {
    return status;
  }
  if (absl::Status status = CheckName(event.event); !status.ok()) return status;
  if (absl::Status status = CheckText("id", event.id, kMaxEventIdBytes); !status.ok()) {
    return status;
  }
  if (event.idempotency_key.size() > kMaxIdempotencyKeyBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("idempotency_key: ", event.idempotency_key.size(), " bytes, at most ",
                     kMaxIdempotencyKeyBytes, " allowed"));
  }
  if (absl::Status status =
          CheckText("exclude_connection", event.exclude_connection, kMaxConnectionIdBytes);
      !status.ok()) {
    return status;
  }
  if (event.ttl <= absl::ZeroDuration()) return absl::InvalidArgumentError("ttl: not positive");
  checked->data = event.json.empty() ? absl::string_view("{}") : event.json;
  if (checked->data.size() > service.max_event_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "data: ", checked->data.size(), " bytes, at most ", service.max_event_bytes, " allowed"));
  }
  thread_local JsonDocument data;
  if (absl::Status status = data.Parse(checked->data); !status.ok()) return status;

  if (service.catalog.check() != Catalog::Check::kOff) {
    checked->warnings = CatalogFaults(service.catalog, event, data);
    checked->warnings.insert(checked->warnings.end(), event.warnings.begin(), event.warnings.end());
    if (!checked->warnings.empty() && service.catalog.check() == Catalog::Check::kEnforce) {
      return absl::InvalidArgumentError(absl::StrJoin(checked->warnings, "; "));
    }
  }
  checked->conflate_key = absl::HashOf(event.event) | 1;
  if (service.conflates) {
    const std::string field = service.PolicyFor(event.channel).conflate_field;
    if (!field.empty()) {
      checked->conflate_key = absl::HashOf(event.event, data.FieldHash(field)) | 1;
    }
  }
  for (const std::string& copy : event.copies) {
    if (absl::Status status = CheckChannelName(copy, service.max_channel_bytes); !status.ok()) {
      return status;
    }
    checked->mirrors.push_back(copy);
  }
  if (!service.mirrors.empty()) FindMirrors(event, service, data, &checked->mirrors);
  return absl::OkStatus();
}

}  // namespace fanwire::control
