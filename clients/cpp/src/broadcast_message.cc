#include "fanwire/broadcast_message.h"

#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <random>
#include <utility>

namespace fanwire::client {

namespace {

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

std::string_view Trim(std::string_view text) {
  while (!text.empty() && IsSpace(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsSpace(text.back())) text.remove_suffix(1);
  return text;
}

// The length of the text in quotes at the start of `json`; npos if it does not end.
size_t QuotedLength(std::string_view json) {
  for (size_t i = 1; i < json.size(); ++i) {
    if (json[i] == '\\') {
      ++i;
    } else if (json[i] == '"') {
      return i + 1;
    }
  }
  return std::string_view::npos;
}

// The length of the member at the start of an object's inside, up to its comma or the end; npos if
// it is malformed.  Control checks the rest.
size_t MemberLength(std::string_view json) {
  int depth = 0;
  for (size_t i = 0; i < json.size(); ++i) {
    switch (json[i]) {
      case '"': {
        const size_t length = QuotedLength(json.substr(i));
        if (length == std::string_view::npos) return length;
        i += length - 1;
        break;
      }
      case '{':
      case '[':
        ++depth;
        break;
      case '}':
      case ']':
        if (--depth < 0) return std::string_view::npos;
        break;
      case ',':
        if (depth == 0) return i;
        break;
      default:
        break;
    }
  }
  return depth == 0 ? json.size() : std::string_view::npos;
}

// "2026-02-10T20:00:00.123456+00:00"
std::string Now() {
  using std::chrono::microseconds;
  const int64_t us =
      std::chrono::duration_cast<microseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count();
  const time_t seconds = us / 1'000'000;
  tm parts = {};
  gmtime_r(&seconds, &parts);
  char text[64];
  const size_t size = std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text + size, sizeof(text) - size, ".%06d+00:00", static_cast<int>(us % 1'000'000));
  return text;
}

// A random UUID.
std::string MakeId() {
  thread_local std::mt19937_64 random{std::random_device{}()};
  const uint64_t high = random(), low = random();
  char text[37];
  std::snprintf(text, sizeof(text), "%08x-%04x-4%03x-%04x-%012llx",
                static_cast<unsigned>(high >> 32), static_cast<unsigned>(high >> 16 & 0xffff),
                static_cast<unsigned>(high & 0xfff),
                static_cast<unsigned>(low >> 48 & 0x3fff) | 0x8000,
                static_cast<unsigned long long>(low & 0xffffffffffff));
  return text;
}

}  // namespace

void JsonObject::AddKey(std::string_view key) {
  if (!text_.empty()) text_ += ',';
  keys_.push_back(key);
  Append(key);
  text_ += ':';
}

void JsonObject::Add(std::string_view key, std::string_view text) {
  AddKey(key);
  Append(text);
}

void JsonObject::Add(std::string_view key, double number) {
  AddKey(key);
  Append(number);
}

void JsonObject::Add(std::string_view key, const JsonObject& object) {
  AddKey(key);
  Append(object);
  malformed_ = malformed_ || object.malformed_;
}

void JsonObject::AddJson(std::string_view key, const Json& value, std::string_view empty) {
  AddKey(key);
  text_ += value.text.empty() ? empty : std::string_view(value.text);
}

void JsonObject::AddJsonList(std::string_view key, const std::vector<Json>& list,
                             std::string_view empty) {
  AddKey(key);
  text_ += '[';
  for (const Json& item : list) {
    if (&item != &list.front()) text_ += ',';
    text_ += item.text.empty() ? empty : std::string_view(item.text);
  }
  text_ += ']';
}

bool JsonObject::Has(std::string_view raw_key) const {
  for (const std::string_view key : keys_) {
    if (key == raw_key) return true;
  }
  return false;
}

void JsonObject::Spread(const Json& object) {
  std::string_view rest = Trim(object.text);
  if (rest.empty()) return;
  if (rest.size() < 2 || rest.front() != '{' || rest.back() != '}') {
    malformed_ = true;
    return;
  }
  rest = Trim(rest.substr(1, rest.size() - 2));
  while (!rest.empty()) {
    const size_t length = MemberLength(rest);
    const size_t key = rest.front() == '"' ? QuotedLength(rest) : std::string_view::npos;
    if (length == std::string_view::npos || key == std::string_view::npos) {
      malformed_ = true;
      return;
    }
    if (!Has(rest.substr(1, key - 2))) {
      if (!text_.empty()) text_ += ',';
      text_ += rest.substr(0, length);
    }
    rest = Trim(rest.substr(std::min(length + 1, rest.size())));
  }
}

void JsonObject::Append(std::string_view text) {
  static constexpr char kDigits[] = "0123456789abcdef";
  text_ += '"';
  for (const char c : text) {
    switch (c) {
      case '"':
        text_ += "\\\"";
        break;
      case '\\':
        text_ += "\\\\";
        break;
      case '\n':
        text_ += "\\n";
        break;
      case '\r':
        text_ += "\\r";
        break;
      case '\t':
        text_ += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) >= 0x20) {
          text_ += c;
        } else {
          text_ += "\\u00";
          text_ += kDigits[c >> 4];
          text_ += kDigits[c & 15];
        }
    }
  }
  text_ += '"';
}

void JsonObject::Append(double number) {
  if (!std::isfinite(number)) {  // JSON has no such number
    text_ += "null";
    return;
  }
  char text[32];
  const std::to_chars_result end = std::to_chars(text, text + sizeof(text), number);
  text_.append(text, static_cast<size_t>(end.ptr - text));
}

void BroadcastMessage::AddChannel(std::initializer_list<std::string_view> parts,
                                  std::initializer_list<std::string_view> fields) {
  Channel& channel = channels_.emplace_back();
  size_t at = 0;
  for (std::string_view part : parts) {
    // The field behind "pool:" may bring the kind itself, "pool:local", as with typed events.
    if (at == 1 && channel.name.find(':') + 1 == channel.name.size() &&
        part.substr(0, channel.name.size()) == channel.name) {
      part.remove_prefix(channel.name.size());
    }
    channel.name += part;
    if (at % 2 == 1 && part.empty()) channel.empty = fields.begin()[at / 2];
    ++at;
  }
}

void BroadcastMessage::AddTimestamp(std::string_view key,
                                    const std::optional<std::string>& timestamp) {
  if (timestamp.has_value()) {
    Add(key, *timestamp);
  } else {
    Add(key, Now());
  }
}

Status BroadcastMessage::Publish(Publisher* publisher, std::string_view service,
                                 std::string_view event, const EventExtras& extras) {
  if (malformed()) {
    return {Code::kInvalidArgument,
            std::string(event) + ": what adds further keys must be a JSON object"};
  }
  if (const std::string_view empty = channels_.front().empty; !empty.empty()) {
    return {Code::kInvalidArgument,
            std::string(event) + ": " + std::string(empty) + " is empty, but names the channel"};
  }
  const std::string json = Text();
  std::string id(extras.id);
  if (id.empty() && channels_.size() > 1) id = MakeId();
  Status status;
  for (const Channel& channel : channels_) {
    if (!channel.empty.empty()) continue;
    const bool first = &channel == &channels_.front();
    // The copies are other publications.
    const std::string key = extras.idempotency_key.empty() || first
                                ? std::string(extras.idempotency_key)
                                : std::string(extras.idempotency_key) + " " + channel.name;
    Status each = publisher->Publish({.service = service,
                                      .channel = channel.name,
                                      .event = event,
                                      .json = json,
                                      .id = id,
                                      .idempotency_key = key,
                                      .occurred_at = extras.occurred_at,
                                      .ttl = extras.ttl,
                                      .skip_history = extras.skip_history,
                                      .exclude_connection = extras.exclude_connection},
                                     first ? extras.done : nullptr);
    if (status.ok()) status = std::move(each);
  }
  return status;
}

}  // namespace fanwire::client
