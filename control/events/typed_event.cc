#include "control/events/typed_event.h"

#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/utf8.h"
#include "control/events/envelope.h"
#include "control/events/message_json.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "proto/channel_name.h"

namespace fanwire::control {

namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

absl::Status Refusal(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("typed: ", what));
}

// What a field puts into a channel's name; empty: nothing.
std::string NameIn(const Message& message, const Catalog::Message& type, absl::string_view key) {
  const Reflection& reflection = *message.GetReflection();
  for (const auto& [field, rules] : type.fields) {
    if (rules.key != key) continue;
    if (rules.optional && !reflection.HasField(message, field)) return "";
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_STRING:
        return reflection.GetString(message, field);
      case FieldDescriptor::CPPTYPE_INT32:
        return absl::StrCat(reflection.GetInt32(message, field));
      case FieldDescriptor::CPPTYPE_INT64:
        return absl::StrCat(reflection.GetInt64(message, field));
      case FieldDescriptor::CPPTYPE_UINT32:
        return absl::StrCat(reflection.GetUInt32(message, field));
      case FieldDescriptor::CPPTYPE_UINT64:
        return absl::StrCat(reflection.GetUInt64(message, field));
      default:
        return "";
    }
  }
  return "";
}

// The template with its fields filled in.  The one behind "KIND:" may bring the kind itself.
// Nothing if a field is empty, which is then in `missing`.
std::optional<std::string> ChannelOf(const std::string& channel_template, const Message& message,
                                     const Catalog::Message& type, std::string* missing) {
  std::string channel;
  absl::string_view rest = channel_template;
  while (true) {
    const size_t open = rest.find('{');
    if (open == absl::string_view::npos) {
      absl::StrAppend(&channel, rest);
      return channel;
    }
    const size_t close = rest.find('}', open);
    const absl::string_view key = rest.substr(open + 1, close - open - 1);
    const std::string value = NameIn(message, type, key);
    absl::StrAppend(&channel, rest.substr(0, open));
    const absl::string_view kind = ChannelKind(channel);
    const bool first = channel.size() == kind.size() + 1;
    const absl::string_view id = first ? WithoutKind(kind, value) : absl::string_view(value);
    if (id.empty()) {
      *missing = std::string(key);
      return std::nullopt;
    }
    absl::StrAppend(&channel, id);
    rest.remove_prefix(close + 1);
  }
}

// Fills in the channels of `out`.
absl::Status Route(const Event& event, const Message& message, const Catalog::Message& type,
                   TypedEvent* out) {
  const std::vector<std::string>& templates = type.event->channels;
  out->channel.assign(event.channel.data(), event.channel.size());
  std::vector<std::string> channels;
  std::string missing;
  for (size_t i = 0; i < templates.size(); ++i) {
    std::optional<std::string> channel = ChannelOf(templates[i], message, type, &missing);
    if (channel.has_value()) {
      channels.push_back(*std::move(channel));
    } else if (i == 0 && event.channel.empty()) {
      return Refusal(absl::StrCat(type.event->message, ": field ", missing,
                                  " is empty, and the channel ", templates[0], " needs it"));
    }
  }
  if (!event.channel.empty()) {
    // Published where the publisher says, and only there.
    for (const std::string& channel : channels) {
      if (channel == event.channel) return absl::OkStatus();
    }
    if (templates.empty()) return absl::OkStatus();
    return Refusal(absl::StrCat(
        type.event->message, " belongs on ",
        channels.empty() ? absl::StrJoin(templates, " or ") : absl::StrJoin(channels, " or "),
        ", not on ", QuotedText(event.channel), "; leave the channel out, or correct it"));
  }
  if (channels.empty()) {
    return Refusal(
        absl::StrCat(type.event->message, " has no channel of its own: the event must name one"));
  }
  out->channel = std::move(channels.front());
  for (size_t i = 1; i < channels.size(); ++i) {
    if (channels[i] != out->channel) out->copies.push_back(std::move(channels[i]));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status MakeTypedEvent(const Catalog& catalog, const Event& event, absl::string_view timestamp,
                            TypedEvent* out) {
  out->json.clear();
  out->copies.clear();
  out->warnings.clear();
  const absl::string_view name = event.typed_url.substr(event.typed_url.rfind('/') + 1);
  const Catalog::Message* const type = catalog.FindMessage(name);
  if (type == nullptr) {
    return Refusal(absl::StrCat("the catalog of service \"", event.service, "\" has no message ",
                                QuotedText(name),
                                "; google.protobuf.Struct takes data of any event"));
  }
  if (!event.event.empty() && event.event != type->event->name) {
    return Refusal(absl::StrCat(type->event->message, " is event \"", type->event->name, "\", not ",
                                QuotedText(event.event)));
  }
  out->event = type->event->name;
  const auto& prototype = *type->prototype;
  if (!IsSmallMessage(*prototype.GetDescriptor(), event.typed_bytes, kMaxEnvelopeBytes)) {
    return Refusal(absl::StrCat("more fields or text than an event of ", kMaxEnvelopeBytes,
                                " bytes can hold"));
  }
  const std::unique_ptr<Message> message(prototype.New());
  if (!message->ParseFromArray(event.typed_bytes.data(),
                               static_cast<int>(event.typed_bytes.size()))) {
    return Refusal(absl::StrCat("malformed ", type->event->message,
                                ": the bytes are not such a message, or a text is not UTF-8"));
  }
  if (absl::Status status = Route(event, *message, *type, out); !status.ok()) return status;
  MessageJson json(&out->json);
  if (!json.WriteEvent(*message, *type, timestamp)) return Refusal(json.error());
  for (const std::string& field : json.left_out()) {
    out->warnings.push_back(
        absl::StrCat("event \"", out->event, "\": field ", field,
                     " is not known here and was left out: is the publisher's catalog newer?"));
  }
  return absl::OkStatus();
}

Event AsPublished(const Event& event, const TypedEvent& typed) {
  Event published = event;
  published.typed_message = false;
  published.event = typed.event;
  published.channel = typed.channel;
  published.json = typed.json;
  published.copies = typed.copies;
  published.warnings = typed.warnings;
  return published;
}

}  // namespace fanwire::control
