#include "fanout/reply.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/json_parse.h"
#include "common/time_format.h"
#include "common/uuid.h"
#include "common/version.h"
#include "proto/event_name.h"

namespace fanwire::fanout {

namespace {

void AppendOptional(const std::optional<std::string>& text, std::string* out) {
  if (text) {
    AppendJsonText(*text, out);
  } else {
    out->append("null");
  }
}

void AppendTime(const std::optional<absl::Time>& time, std::string* out) {
  if (!time) return (void)out->append("null");
  out->push_back('"');
  AppendIso8601(*time, out);
  out->push_back('"');
}

// Members of the answer to a token.
std::string StatusAndUser(absl::string_view status, const std::string& user) {
  std::string members = absl::StrCat("\"status\":\"", status, "\",\"user_id\":");
  if (user.empty()) {
    members.append("null");
  } else {
    AppendJsonText(user, &members);
  }
  return members;
}

// All nine keys, without the closing brace.
struct Envelope {
  absl::string_view type;
  std::optional<absl::string_view> event;
  absl::string_view data = "{}";
  std::optional<absl::string_view> room;
  absl::string_view error_code;
  absl::string_view error_message;
};

std::string Begin(const Envelope& envelope, const std::optional<std::string>& correlation,
                  absl::Time now) {
  std::string out;
  out.reserve(320 + envelope.data.size());
  absl::StrAppend(&out, "{\"id\":\"", NewUuid(), "\",\"correlation_id\":");
  AppendOptional(correlation, &out);
  absl::StrAppend(&out, ",\"type\":\"", envelope.type, "\",\"event\":");
  if (envelope.event) {
    AppendJsonText(*envelope.event, &out);
  } else {
    out.append("null");
  }
  absl::StrAppend(&out, ",\"data\":", envelope.data, ",\"timestamp\":\"");
  AppendIso8601(now, &out);
  out.append("\",\"room\":");
  if (envelope.room) {
    AppendJsonText(*envelope.room, &out);
  } else {
    out.append("null");
  }
  if (envelope.error_code.empty()) {
    out.append(",\"error_code\":null,\"error_message\":null");
  } else {
    out.append(",\"error_code\":");
    AppendJsonText(envelope.error_code, &out);
    out.append(",\"error_message\":");
    AppendJsonText(envelope.error_message, &out);
  }
  return out;
}

void AppendRequestIds(const ReplyContext& context, std::string* out) {
  out->append(",\"request_id\":");
  AppendOptional(context.request_id, out);
  out->append(",\"request_correlation_id\":");
  AppendOptional(context.request_correlation_id, out);
}

// A number as JSON writes it: whole ones without a fraction.
std::string Number(double value) {
  if (value == std::floor(value) && std::abs(value) < 1e15) {
    return absl::StrCat(static_cast<int64_t>(value));
  }
  return absl::StrFormat("%.6g", value);
}

}  // namespace

size_t MemoryBytes(const ReplyContext& context) {
  size_t bytes = 0;
  for (const auto* text :
       {&context.correlation, &context.request_id, &context.request_correlation_id}) {
    bytes += sizeof(std::string) + (text->has_value() ? (*text)->size() : 0);
  }
  return bytes;
}

ReplyContext ContextOf(const ClientMessage& message, CorrelationMode mode) {
  ReplyContext context;
  context.request_id = message.id;
  context.request_correlation_id = message.correlation_id;
  switch (mode) {
    case CorrelationMode::kId:
      context.correlation = message.id;
      break;
    case CorrelationMode::kEcho:
      context.correlation = message.correlation_id;
      break;
    case CorrelationMode::kAuto:
      if (message.correlation_id && message.id && IsUuid4(*message.id) &&
          IsUuid4(*message.correlation_id)) {
        context.correlation = message.id;
      } else {
        context.correlation = message.correlation_id ? message.correlation_id : message.id;
      }
      break;
  }
  return context;
}

void AppendJsonText(absl::string_view text, std::string* out, bool ascii) {
  bool plain = true;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    plain &= byte >= 0x20 && byte < 0x80 && c != '"' && c != '\\';
  }
  if (plain) {
    out->push_back('"');
    out->append(text.data(), text.size());
    out->push_back('"');
    return;
  }
  out->append(nlohmann::json(std::string(text))
                  .dump(-1, ' ', ascii, nlohmann::json::error_handler_t::replace));
}

std::string ResponseText(const ReplyContext& context, absl::string_view event,
                         absl::string_view data, absl::Time now, absl::string_view more) {
  std::string out = Begin({.type = "response",
                           .event = event,
                           .data = data,
                           .room = {},
                           .error_code = {},
                           .error_message = {}},
                          context.correlation, now);
  AppendRequestIds(context, &out);
  absl::StrAppend(&out, more, "}");
  return out;
}

std::string ErrorText(const ReplyContext& context, absl::string_view code,
                      absl::string_view message, absl::Time now, absl::string_view reason) {
  std::string out = Begin({.type = "error",
                           .event = {},
                           .data = "{}",
                           .room = {},
                           .error_code = code,
                           .error_message = message},
                          context.correlation, now);
  AppendRequestIds(context, &out);
  if (!reason.empty()) {
    out.append(",\"reason\":");
    AppendJsonText(reason, &out);
  }
  out.push_back('}');
  return out;
}

std::string PongText(const ReplyContext& context, absl::Time now) {
  std::string out = Begin({.type = "pong",
                           .event = {},
                           .data = "{}",
                           .room = {},
                           .error_code = {},
                           .error_message = {}},
                          context.correlation, now);
  AppendRequestIds(context, &out);
  out.push_back('}');
  return out;
}

std::string NoticeText(absl::string_view event, absl::string_view data,
                       std::optional<absl::string_view> room, absl::Time now) {
  std::string out = Begin({.type = "event",
                           .event = event,
                           .data = data,
                           .room = room,
                           .error_code = {},
                           .error_message = {}},
                          std::nullopt, now);
  out.push_back('}');
  return out;
}

std::string ConfirmationData(const Confirmation& confirmation) {
  std::string out = "{";
  if (!confirmation.error_code.empty()) {
    out.append("\"channel\":");
    AppendJsonText(confirmation.channel, &out);
    out.append(",\"error_code\":");
    AppendJsonText(confirmation.error_code, &out);
    out.append(",\"error_message\":");
    AppendJsonText(confirmation.error_message, &out);
    out.push_back('}');
    return out;
  }
  absl::StrAppend(&out, "\"status\":\"", confirmation.subscribed ? "subscribed" : "unsubscribed",
                  "\",\"channel\":");
  AppendJsonText(confirmation.channel, &out);
  if (confirmation.has_position) {
    out.append(",\"epoch\":");
    AppendJsonText(confirmation.epoch, &out);
    absl::StrAppend(&out, ",\"offset\":", confirmation.offset);
  }
  if (confirmation.asked_recovery) {
    absl::StrAppend(&out, ",\"recovered\":", confirmation.recovered ? "true" : "false",
                    ",\"recovered_count\":", confirmation.recovered_count);
    if (!confirmation.recovered) {
      out.append(",\"reason\":");
      AppendJsonText(confirmation.reason, &out);
    }
  }
  if (const ConfirmedState* const state = confirmation.state.get(); state != nullptr) {
    if (state->json.empty()) {
      out.append(",\"state\":null,\"state_reason\":");
      AppendJsonText(state->reason, &out);
    } else {
      absl::StrAppend(&out, ",\"state\":", state->json, ",\"state_offset\":", confirmation.offset);
    }
  }
  out.push_back('}');
  return out;
}

std::string ConfirmationText(const ReplyContext& context, bool subscribed, bool many,
                             const std::vector<Confirmation>& confirmations, absl::Time now) {
  const absl::string_view event = subscribed ? "subscribe" : "unsubscribe";
  const absl::string_view status = subscribed ? "subscribed" : "unsubscribed";
  if (!many) {
    const Confirmation& only = confirmations.front();
    if (!only.error_code.empty()) {
      return ErrorText(context, only.error_code, only.error_message, now);
    }
    std::string more = absl::StrCat(",\"status\":\"", status, "\",\"channel\":");
    AppendJsonText(only.channel, &more);
    return ResponseText(context, event, ConfirmationData(only), now, more);
  }
  std::string data = absl::StrCat("{\"status\":\"", status, "\",\"results\":[");
  for (size_t i = 0; i < confirmations.size(); ++i) {
    if (i > 0) data.push_back(',');
    data += ConfirmationData(confirmations[i]);
  }
  data += "]}";
  return ResponseText(context, event, data, now, absl::StrCat(",\"status\":\"", status, "\""));
}

std::string WelcomeText(const WelcomeFacts& facts, absl::Time now) {
  std::string data = absl::StrCat("{\"connection_id\":\"", facts.connection_id, "\",\"server\":");
  AppendJsonText(facts.server, &data);
  data.append(",\"message\":");
  AppendJsonText(facts.message, &data);
  absl::StrAppend(&data, ",\"authenticated\":", facts.authenticated ? "true" : "false",
                  ",\"secure\":", facts.secure ? "true" : "false", ",\"tls_mode\":\"",
                  facts.secure ? "WSS" : "WS", "\",\"rate_limit\":", Number(facts.rate_limit),
                  ",\"limits\":{\"max_message_bytes\":", facts.max_message_bytes,
                  ",\"max_channels\":", facts.max_channels,
                  ",\"rate_limit\":", Number(facts.rate_limit), ",\"burst\":", Number(facts.burst),
                  "},\"session_expires_at\":");
  AppendTime(facts.expires_at, &data);
  data.append(facts.recoverable ? ",\"recoverable\":true}" : ",\"recoverable\":false}");
  std::string out = Begin({.type = "event",
                           .event = "session.created",
                           .data = data,
                           .room = {},
                           .error_code = {},
                           .error_message = {}},
                          std::nullopt, now);
  out.append(",\"message\":");
  AppendJsonText(facts.message, &out);
  absl::StrAppend(&out, ",\"version\":\"", kVersion,
                  "\",\"capabilities\":[\"subscribe\",\"patterns\",\"recover\",\"history\","
                  "\"filters\",\"many\",\"refresh_token\",\"state\"",
                  facts.publishing ? ",\"publish\"" : "", facts.presence ? ",\"presence\"" : "",
                  "]}");
  return out;
}

std::string AuthenticatedText(const ReplyContext& context, const std::string& user,
                              absl::Time now) {
  const std::string members = StatusAndUser("authenticated", user);
  return ResponseText(context, "auth", absl::StrCat("{", members, "}"), now,
                      absl::StrCat(",", members));
}

std::string RefreshedText(const ReplyContext& context, const std::string& user,
                          const std::optional<absl::Time>& expires_at, absl::Time now) {
  const std::string members = StatusAndUser("refreshed", user);
  std::string data = absl::StrCat("{", members, ",\"expires_at\":");
  AppendTime(expires_at, &data);
  data.push_back('}');
  return ResponseText(context, "refresh_token", data, now, absl::StrCat(",", members));
}

std::string ExpiringText(absl::Time expires_at, absl::Time now) {
  std::string data = "{\"expires_at\":";
  AppendTime(expires_at, &data);
  data.push_back('}');
  return NoticeText(kTokenExpiringEvent, data, std::nullopt, now);
}

std::string UnsubscribedText(absl::string_view channel, absl::string_view reason, absl::Time now) {
  std::string data = "{\"channel\":";
  AppendJsonText(channel, &data);
  data.append(",\"reason\":");
  AppendJsonText(reason, &data);
  data.push_back('}');
  return NoticeText(kChannelUnsubscribedEvent, data, channel, now);
}

std::string SkippedText(absl::string_view channel, int64_t from, int64_t to,
                        absl::string_view reason, absl::string_view epoch, absl::Time now) {
  if (from > to) from = to = 0;
  std::string data = "{\"channel\":";
  AppendJsonText(channel, &data);
  absl::StrAppend(&data, ",\"from\":", from, ",\"to\":", to, ",\"reason\":");
  AppendJsonText(reason, &data);
  if (!epoch.empty()) {
    data.append(",\"epoch\":");
    AppendJsonText(epoch, &data);
  }
  data.push_back('}');
  return NoticeText(kChannelSkippedEvent, data, channel, now);
}

std::string DrainingText(absl::Duration min, absl::Duration max, absl::string_view reason,
                         absl::Time now) {
  std::string data = absl::StrCat("{\"reconnect_after_ms\":[", absl::ToInt64Milliseconds(min), ",",
                                  absl::ToInt64Milliseconds(max), "],\"reason\":");
  AppendJsonText(reason, &data);
  data.push_back('}');
  return NoticeText(kServerDrainingEvent, data, std::nullopt, now);
}

// ------------------------------------------------------------------ session-buddy

std::string BuddyConnectedText(bool authenticated, absl::Time now) {
  return absl::StrCat(
      "{\"type\": \"connected\", \"message\": \"Connected to Session-Buddy real-time metrics\", "
      "\"authenticated\": ",
      authenticated ? "true" : "false", ", \"timestamp\": \"", FormatIso8601(now), "\"}");
}

std::string BuddyConfirmedText(const std::optional<std::string>& skill, absl::Time now) {
  std::string name = "null";
  if (skill) {
    name.clear();
    AppendJsonText(*skill, &name, /*ascii=*/true);
  }
  return absl::StrCat("{\"type\": \"subscription_confirmed\", \"skill\": ", name,
                      ", \"skill_name\": ", name, ", \"timestamp\": \"", FormatIso8601(now), "\"}");
}

BuddyMessage ParseBuddyMessage(absl::string_view text) {
  BuddyMessage message;
  const nlohmann::json object = ParseJson(text);
  if (!object.is_object()) return message;
  if (const auto it = object.find("token"); it != object.end() && it->is_string()) {
    message.kind = BuddyMessage::Kind::kToken;
    message.token = it->get<std::string>();
  }
  const auto type = object.find("type");
  if (type == object.end() || !type->is_string()) return message;
  if (*type == "ping") message.kind = BuddyMessage::Kind::kPing;
  if (*type == "unsubscribe") message.kind = BuddyMessage::Kind::kUnsubscribe;
  if (*type == "subscribe") {
    message.kind = BuddyMessage::Kind::kSubscribe;
    for (const char* key : {"skill", "skill_name"}) {
      const auto it = object.find(key);
      if (it != object.end() && it->is_string()) {
        message.skill = it->get<std::string>();
        break;
      }
    }
  }
  return message;
}

}  // namespace fanwire::fanout
