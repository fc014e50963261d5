#include "control/events/envelope.h"

#include <simdjson.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <nlohmann/json.hpp>
#include <vector>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "common/json_parse.h"
#include "common/plain_text.h"

namespace fanwire::control {

namespace {

constexpr absl::string_view kBeforeId = "{\"id\":";
constexpr absl::string_view kBeforeEvent = ",\"correlation_id\":null,\"type\":\"event\",\"event\":";
constexpr absl::string_view kBeforeData = ",\"data\":";
constexpr absl::string_view kBeforeTimestamp = ",\"timestamp\":\"";
constexpr absl::string_view kBeforeRoom = "\",\"room\":";
constexpr absl::string_view kEnd = ",\"error_code\":null,\"error_message\":null}";

// Larger buffers are not kept after use.
constexpr size_t kKeptBytes = 128 << 10;

struct ThreadParser {
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  std::vector<char> padded;  // simdjson reads some bytes beyond the end
  nlohmann::json exotic;
  simdjson::error_code allocated = simdjson::SUCCESS;

  ThreadParser() { Reset(); }

  void Reset() {
    parser = simdjson::dom::parser();
    allocated = parser.allocate(4096, kMaxJsonDepth + 1);
    std::vector<char>().swap(padded);
  }

  simdjson::error_code Parse(absl::string_view json) {
    if (padded.size() > kKeptBytes && json.size() < kKeptBytes / 2) Reset();
    if (allocated) return allocated;
    if (padded.size() < json.size() + simdjson::SIMDJSON_PADDING) {
      padded.resize(json.size() + json.size() / 2 + simdjson::SIMDJSON_PADDING);
    }
    std::copy(json.begin(), json.end(), padded.begin());
    return parser.parse(padded.data(), json.size(), /*realloc_if_needed=*/false).get(root);
  }
};

ThreadParser& Parser() {
  thread_local ThreadParser parser;
  return parser;
}

absl::Status DataError(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("data: ", what));
}

// Numbers that simdjson will not hold are JSON all the same.
absl::Status ParseExotic(absl::string_view json, nlohmann::json* out) {
  if (JsonDepth(json) > kMaxJsonDepth) return DataError("nested deeper than 64");
  *out = ParseJson(json);
  if (out->is_discarded()) return DataError("malformed number");
  if (!out->is_object()) return DataError("not a JSON object");
  return absl::OkStatus();
}

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

absl::StatusOr<EventData> EventData::Parse(absl::string_view json) {
  ThreadParser& thread = Parser();
  const simdjson::error_code error = thread.Parse(json);
  switch (error) {
    case simdjson::SUCCESS:
      break;
    case simdjson::NUMBER_ERROR:
      if (absl::Status status = ParseExotic(json, &thread.exotic); !status.ok()) return status;
      return EventData(/*exotic=*/true);
    case simdjson::DEPTH_ERROR:
      return DataError("nested deeper than 64");
    case simdjson::UTF8_ERROR:
      return DataError("not UTF-8");
    case simdjson::EMPTY:
      return DataError("empty");
    default:
      return DataError(absl::StrCat("no JSON: ", simdjson::error_message(error)));
  }
  if (!thread.root.is_object()) return DataError("not a JSON object");
  return EventData(/*exotic=*/false);
}

std::optional<std::string> EventData::TextField(absl::string_view name) const {
  const ThreadParser& thread = Parser();
  if (exotic_) {
    const auto it = thread.exotic.find(std::string(name));
    if (it == thread.exotic.end()) return std::nullopt;
    if (it->is_string()) return it->get<std::string>();
    if (it->is_number_integer()) return it->dump();
    return std::nullopt;
  }
  simdjson::dom::element value;
  if (thread.root[std::string_view(name.data(), name.size())].get(value)) return std::nullopt;
  switch (value.type()) {
    case simdjson::dom::element_type::STRING:
      return std::string(std::string_view(value));
    case simdjson::dom::element_type::INT64:
      return std::to_string(int64_t(value));
    case simdjson::dom::element_type::UINT64:
      return std::to_string(uint64_t(value));
    default:
      return std::nullopt;
  }
}

uint64_t EventData::FieldHash(absl::string_view name) const {
  const ThreadParser& thread = Parser();
  std::string text;
  if (exotic_) {
    const auto it = thread.exotic.find(std::string(name));
    if (it == thread.exotic.end()) return 0;
    text = it->dump();
  } else {
    simdjson::dom::element value;
    if (thread.root[std::string_view(name.data(), name.size())].get(value)) return 0;
    text = simdjson::minify(value);
  }
  return absl::HashOf(text) | 1;
}

size_t MaxEnvelopeBytes(const EnvelopeParts& parts) {
  return kBeforeId.size() + JsonTextBytes(parts.id) + kBeforeEvent.size() +
         JsonTextBytes(parts.event) + kBeforeData.size() + parts.data.size() +
         kBeforeTimestamp.size() + parts.timestamp.size() + kBeforeRoom.size() +
         JsonTextBytes(parts.room) + kEnd.size() + Publication::kSealBytes;
}

void WriteEnvelope(const EnvelopeParts& parts, Publication* publication) {
  char* const begin = publication->buffer();
  char* out = PutJsonText(parts.id, Put(kBeforeId, begin));
  out = PutJsonText(parts.event, Put(kBeforeEvent, out));
  out = Put(kBeforeData, out);
  const auto data_begin = static_cast<size_t>(out - begin);
  out = Put(parts.timestamp, Put(kBeforeTimestamp, Put(parts.data, out)));
  out = Put(kEnd, PutJsonText(parts.room, Put(kBeforeRoom, out)));
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
