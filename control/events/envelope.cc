#include "control/events/envelope.h"

#include <simdjson.h>

#include <algorithm>

#include "common/plain_text.h"

namespace fanwire::control {

namespace {

constexpr absl::string_view kBeforeId = "{\"id\":";
constexpr absl::string_view kBeforeEvent = ",\"correlation_id\":null,\"type\":\"event\",\"event\":";
constexpr absl::string_view kBeforeData = ",\"data\":";
constexpr absl::string_view kBeforeTimestamp = ",\"timestamp\":\"";
constexpr absl::string_view kBeforeRoom = "\",\"room\":";
constexpr absl::string_view kBeforePublisher = ",\"publisher\":";
constexpr absl::string_view kEnd = ",\"error_code\":null,\"error_message\":null}";

char* Put(absl::string_view text, char* out) { return std::copy(text.begin(), text.end(), out); }

bool NeedsEscape(char c) { return static_cast<unsigned char>(c) < 0x20 || c == '"' || c == '\\'; }

// With the quotes.
size_t JsonTextBytes(absl::string_view text) {
  size_t bytes = text.size() + 2;
  if (IsPlainJsonText(text)) return bytes;
  for (const char c : text) {
    if (NeedsEscape(c)) bytes += static_cast<unsigned char>(c) < 0x20 ? 5 : 1;
  }
  return bytes;
}

char* PutJsonText(absl::string_view text, char* out) {
  *out++ = '"';
  if (IsPlainJsonText(text)) {
    out = Put(text, out);
    *out++ = '"';
    return out;
  }
  constexpr char kDigits[] = "0123456789abcdef";
  for (const char c : text) {
    if (!NeedsEscape(c)) {
      *out++ = c;
      continue;
    }
    *out++ = '\\';
    switch (c) {
      case '"':
      case '\\':
        *out++ = c;
        break;
      case '\n':
        *out++ = 'n';
        break;
      case '\r':
        *out++ = 'r';
        break;
      case '\t':
        *out++ = 't';
        break;
      default:
        out = Put("u00", out);
        *out++ = kDigits[static_cast<unsigned char>(c) >> 4];
        *out++ = kDigits[static_cast<unsigned char>(c) & 0xf];
    }
  }
  *out++ = '"';
  return out;
}

}  // namespace

size_t MaxEnvelopeBytes(const EnvelopeParts& parts) {
  return kBeforeId.size() + JsonTextBytes(parts.id) + kBeforeEvent.size() +
         JsonTextBytes(parts.event) + kBeforeData.size() + parts.data.size() +
         kBeforeTimestamp.size() + parts.timestamp.size() + kBeforeRoom.size() +
         JsonTextBytes(parts.room) + kEnd.size() +
         (parts.publisher.empty() ? 0 : kBeforePublisher.size() + parts.publisher.size()) +
         Publication::kSealBytes;
}

void WriteEnvelope(const EnvelopeParts& parts, Publication* publication) {
  char* const begin = publication->buffer();
  char* out = PutJsonText(parts.id, Put(kBeforeId, begin));
  out = PutJsonText(parts.event, Put(kBeforeEvent, out));
  out = Put(kBeforeData, out);
  const auto data_begin = static_cast<size_t>(out - begin);
  out = Put(parts.timestamp, Put(kBeforeTimestamp, Put(parts.data, out)));
  out = Put(kEnd, PutJsonText(parts.room, Put(kBeforeRoom, out)));
  if (!parts.publisher.empty()) {
    out = Put(parts.publisher, Put(kBeforePublisher, out - 1));  // in place of the closing brace
    *out++ = '}';
  }
  publication->SetEnvelope(static_cast<size_t>(out - begin), data_begin, parts.data.size());
}

void AppendJsonText(absl::string_view text, std::string* out) {
  const size_t before = out->size();
  out->resize(before + JsonTextBytes(text));
  const char* const end = PutJsonText(text, out->data() + before);
  out->resize(static_cast<size_t>(end - out->data()));
}

bool IsUtf8(absl::string_view text) {
  if (IsPrintableAscii(text)) return true;
  return simdjson::validate_utf8(text.data(), text.size());
}

}  // namespace fanwire::control
