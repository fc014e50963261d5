#include "fanout/client_message.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/json_depth.h"
#include "common/json_parse.h"
#include "common/json_text.h"
#include "proto/channel_name.h"
#include "proto/event_name.h"

namespace fanwire::fanout {

namespace {

using Json = nlohmann::json;

constexpr const char* kTypes[] = {"request",     "response", "event", "error", "subscribe",
                                  "unsubscribe", "ping",     "pong",  "ack"};

// A text or null; false if it is anything else.
bool ReadOptional(const Json& object, const char* key, std::optional<std::string>* out) {
  const auto it = object.find(key);
  if (it == object.end() || it->is_null()) return true;
  if (!it->is_string()) return false;
  *out = it->get<std::string>();
  return true;
}

// What the object has under the key; null if that is missing or JSON's null.
const Json* Given(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

// A text if present at all.
bool ReadText(const Json& object, const char* key, std::optional<std::string>* out) {
  const auto it = object.find(key);
  if (it == object.end()) return true;
  if (!it->is_string()) return false;
  *out = it->get<std::string>();
  return true;
}

// Returns what is wrong with a list of event names; empty if nothing is.
std::string ReadEventNames(const Json& list, EventFilter* names) {
  constexpr absl::string_view kWanted = "a list of event names is wanted";
  if (!list.is_array()) return std::string(kWanted);
  for (size_t i = 0; i < list.size(); ++i) {
    if (!list[i].is_string()) return std::string(kWanted);
    const std::string& name = list[i].get_ref<const std::string&>();
    if (const absl::Status status = CheckEventName(name); !status.ok()) {
      return absl::StrCat("name ", i + 1, ": ", status.message());
    }
    names->insert(name);
  }
  return "";
}

void ReadChannelOptions(const Json& data, ChannelRequest* request) {
  if (const Json* const recover = Given(data, "recover"); recover != nullptr) {
    request->recover_is_bad = true;
    if (recover->is_object()) {
      const auto epoch = recover->find("epoch");
      const auto offset = recover->find("offset");
      if (epoch != recover->end() && epoch->is_string() && offset != recover->end() &&
          offset->is_number_integer() &&
          (!offset->is_number_unsigned() || offset->get<uint64_t>() <= INT64_MAX) &&
          offset->get<int64_t>() >= 0) {
        request->recover = {epoch->get<std::string>(), offset->get<int64_t>()};
        request->recover_is_bad = false;
      }
    }
  }
  if (const Json* const given = Given(data, "state"); given != nullptr) {
    request->state_is_bad = !given->is_boolean();
    request->state = request->state_is_bad || given->get<bool>();
  }
  if (const Json* const given = Given(data, "info"); given != nullptr) {
    request->info_is_bad = !given->is_object();
    if (given->is_object()) {
      request->info = std::make_shared<const std::string>(
          given->dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace));
    }
  }
  if (const Json* const given = Given(data, "events"); given != nullptr) {
    request->events_given = true;
    EventFilter events;
    request->events_fault = ReadEventNames(*given, &events);
    if (request->events_fault.empty() && !events.empty()) {
      request->events = std::make_shared<const EventFilter>(std::move(events));
    }
  }
}

ChannelRequest ReadSingle(const Json& data, bool component_id_is_channel) {
  ChannelRequest request;
  for (const char* key : {"channel", "room"}) {
    const Json* const given = Given(data, key);
    if (given == nullptr) continue;
    if (given->is_string()) {
      request.channel = given->get<std::string>();
      request.channel_is_text = true;
    }
    ReadChannelOptions(data, &request);
    return request;
  }
  if (component_id_is_channel) {
    if (const auto it = data.find("component_id"); it != data.end() && it->is_string()) {
      request.channel =
          absl::StrCat("component:", WithoutKind("component", it->get_ref<const std::string&>()));
      request.channel_is_text = true;
    }
  }
  ReadChannelOptions(data, &request);
  return request;
}

void ReadChannels(const Json& data, bool component_id_is_channel, ClientMessage* message) {
  const Json* const many = Given(data, "channels");
  if (many == nullptr) {
    message->channels.push_back(ReadSingle(data, component_id_is_channel));
    return;
  }
  message->many = true;
  if (!many->is_array() || many->size() > kMaxChannelsPerMessage) {
    message->channels_are_bad = true;
    return;
  }
  // The filter of those that have none of their own.
  ChannelRequest common;
  ReadChannelOptions(data, &common);
  for (const Json& item : *many) {
    ChannelRequest request;
    if (item.is_object()) {
      request = ReadSingle(item, component_id_is_channel);
    } else if (item.is_string()) {
      request.channel = item.get<std::string>();
      request.channel_is_text = true;
    }
    request.state |= common.state;  // and is refused
    if (request.info == nullptr && !request.info_is_bad) {
      request.info = common.info;
      request.info_is_bad = common.info_is_bad;
    }
    if (!request.events_given) {
      request.events = common.events;
      request.events_fault = common.events_fault;
    }
    message->channels.push_back(std::move(request));
  }
}

// The channel that a publication names: data.channel, else data.room where `data` is not the
// event's own, else the message's room.  Of another type than text, it names none.
std::optional<std::string> ReadPublishChannel(const Json& object, const Json& data, bool itself) {
  const Json* given = Given(data, "channel");
  if (given == nullptr && !itself) given = Given(data, "room");
  if (given == nullptr) given = Given(object, "room");
  if (given == nullptr || !given->is_string()) return std::nullopt;
  return given->get<std::string>();
}

// `data` is that of the message, and `text` what it is written as.
std::unique_ptr<ClientPublication> ReadPublication(const Json& object, const Json& data,
                                                   absl::string_view text, bool itself) {
  auto publication = std::make_unique<ClientPublication>();
  publication->itself = itself;
  publication->channel = ReadPublishChannel(object, data, itself);
  const Json* const echo = Given(data, "echo");
  if (echo != nullptr && echo->is_boolean()) publication->echo = echo->get<bool>();
  if (itself) {
    publication->event = object.at("event").get<std::string>();
    if (!text.empty()) publication->data = CompactJson(text);
    return publication;
  }
  if (echo != nullptr && !echo->is_boolean()) {
    publication->fault = "publish: data.echo is neither true nor false";
  }
  const Json* const event = Given(data, "event");
  if (event == nullptr || !event->is_string()) {
    publication->fault =
        absl::StrCat("publish: data.event is ", event == nullptr ? "missing" : "not a text");
  } else {
    publication->event = event->get<std::string>();
  }
  if (const Json* const inner = Given(data, "data"); inner != nullptr) {
    if (inner->is_object()) {
      publication->data = CompactJson(FindJsonMember(text, "data"));
    } else {
      publication->fault = "publish: data.data is not an object";
    }
  }
  return publication;
}

absl::Status Bad(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("message: ", what));
}

}  // namespace

size_t MemoryBytes(const std::vector<ChannelRequest>& channels) {
  size_t bytes = 0;
  const EventFilter* shared = nullptr;
  const std::string* shared_info = nullptr;
  for (const ChannelRequest& request : channels) {
    bytes += 2 * request.channel.size();
    if (request.info != nullptr && request.info.get() != shared_info) {
      if (request.info.use_count() > 1) shared_info = request.info.get();
      bytes += sizeof(std::string) + request.info->size();
    }
    if (request.recover.has_value()) bytes += request.recover->epoch.size();
    if (request.events == nullptr || request.events.get() == shared) continue;
    if (request.events.use_count() > 1) shared = request.events.get();
    for (const std::string& event : *request.events) bytes += sizeof(std::string) + event.size();
  }
  return bytes;
}

absl::StatusOr<ClientMessage> ParseClientMessage(absl::string_view text,
                                                 bool component_id_is_channel, bool publishing) {
  // Parsing does not recurse, writing a request's data again does.
  if (JsonDepth(text) > kMaxJsonDepth) {
    return Bad(absl::StrCat("nested deeper than ", kMaxJsonDepth));
  }
  const Json object = ParseJson(text);
  if (object.is_discarded()) return Bad("not JSON");
  if (!object.is_object()) return Bad("not a JSON object");
  const auto type_it = object.find("type");
  if (type_it == object.end()) return Bad("\"type\" is missing");
  if (!type_it->is_string()) return Bad("\"type\" is not a text");
  const std::string& type = type_it->get_ref<const std::string&>();
  bool known = false;
  for (const char* candidate : kTypes) known |= type == candidate;
  if (!known) return Bad("\"type\" is not a known message type");

  ClientMessage message;
  std::optional<std::string> unused;
  if (!ReadText(object, "id", &message.id)) return Bad("\"id\" is not a text");
  if (!ReadText(object, "timestamp", &unused)) return Bad("\"timestamp\" is not a text");
  if (!ReadOptional(object, "correlation_id", &message.correlation_id)) {
    return Bad("\"correlation_id\" is neither text nor null");
  }
  if (!ReadOptional(object, "event", &message.event)) {
    return Bad("\"event\" is neither text nor null");
  }
  for (const char* key : {"room", "error_code", "error_message"}) {
    unused.reset();
    if (!ReadOptional(object, key, &unused)) {
      return Bad(absl::StrCat("\"", key, "\" is neither text nor null"));
    }
  }
  static const Json kEmpty = Json::object();
  const auto data_it = object.find("data");
  if (data_it != object.end() && !data_it->is_object()) return Bad("\"data\" is not an object");
  const Json& data = data_it == object.end() ? kEmpty : *data_it;

  const bool command = type == "request" || type == "event";
  if (type == "subscribe" || (command && message.event == "subscribe")) {
    message.kind = ClientMessage::Kind::kSubscribe;
    ReadChannels(data, component_id_is_channel, &message);
  } else if (type == "unsubscribe" || (command && message.event == "unsubscribe")) {
    message.kind = ClientMessage::Kind::kUnsubscribe;
    ReadChannels(data, component_id_is_channel, &message);
  } else if (type == "ping" || (type == "request" && message.event == "ping")) {
    message.kind = ClientMessage::Kind::kPing;
  } else if (type == "request" && (message.event == "auth" || message.event == "refresh_token")) {
    message.kind =
        message.event == "auth" ? ClientMessage::Kind::kAuth : ClientMessage::Kind::kRefreshToken;
    if (const auto it = data.find("token"); it != data.end() && it->is_string()) {
      message.token = it->get<std::string>();
    }
  } else if (publishing && message.event.has_value() && command &&
             (type == "event" || message.event == "publish")) {
    message.kind = ClientMessage::Kind::kPublish;
    const absl::string_view written =
        data_it == object.end() ? absl::string_view() : FindJsonMember(text, "data");
    message.publication =
        ReadPublication(object, data, written, /*itself=*/message.event != "publish");
  } else if (type == "request") {
    message.kind = ClientMessage::Kind::kRequest;
    if (data_it != object.end()) message.data = CompactJson(FindJsonMember(text, "data"));
    if (const auto it = data.find("channel"); it != data.end() && it->is_string()) {
      message.channel = it->get<std::string>();
    }
  }
  return message;
}

}  // namespace fanwire::fanout
