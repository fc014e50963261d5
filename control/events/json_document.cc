#include "control/events/json_document.h"

#include <simdjson.h>

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "absl/hash/hash.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/check.h"
#include "common/json_depth.h"

namespace fanwire::control {

namespace {

// The parser's first buffers are for texts of this size.
constexpr size_t kFirstBytes = 1024;

// Larger buffers are given back when a small text follows.
constexpr size_t kKeptBytes = 128 << 10;

// Appended to a whole number it makes a floating-point number of the same value.
constexpr absl::string_view kNoExponent = "e0";

absl::Status DataError(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("data: ", what));
}

std::string_view ToStd(absl::string_view text) { return {text.data(), text.size()}; }

// Whether `number`, which consists of characters that numbers have, is a whole number that neither
// int64_t nor uint64_t holds.
bool IsBeyond64Bits(absl::string_view number) {
  const absl::string_view digits = absl::StripPrefix(number, "-");
  int64_t as_signed = 0;
  uint64_t as_unsigned = 0;
  return digits.size() >= 19 && std::all_of(digits.begin(), digits.end(), absl::ascii_isdigit) &&
         !absl::SimpleAtoi(number, &as_signed) && !absl::SimpleAtoi(number, &as_unsigned);
}

bool IsNumberCharacter(char c) {
  return absl::ascii_isdigit(static_cast<unsigned char>(c)) || c == '-' || c == '+' || c == '.' ||
         c == 'e' || c == 'E';
}

// `json` with kNoExponent behind every whole number beyond 64 bits: simdjson refuses those, but
// takes floating-point numbers of that size.
std::string WithExponents(absl::string_view json) {
  std::string out;
  out.reserve(json.size() + 64);
  size_t copied = 0;
  for (size_t i = 0; i < json.size();) {
    if (json[i] == '"') {
      for (++i; i < json.size() && json[i] != '"'; ++i) {
        if (json[i] == '\\') ++i;
      }
      ++i;
    } else if (IsNumberCharacter(json[i])) {
      const size_t begin = i;
      while (i < json.size() && IsNumberCharacter(json[i])) ++i;
      if (!IsBeyond64Bits(json.substr(begin, i - begin))) continue;
      absl::StrAppend(&out, json.substr(copied, i - copied), kNoExponent);
      copied = i;
    } else {
      ++i;
    }
  }
  absl::StrAppend(&out, json.substr(copied));
  return out;
}

// The element as a T; it is one.
template <typename T>
T As(const simdjson::dom::element& element) {
  T value{};
  FANWIRE_CHECK(element.get(value) == simdjson::SUCCESS);
  return value;
}

OrderedJson ToJson(const simdjson::dom::element& element) {
  using Type = simdjson::dom::element_type;
  switch (element.type()) {
    case Type::ARRAY: {
      OrderedJson list = OrderedJson::array();
      const auto array = As<simdjson::dom::array>(element);
      for (const simdjson::dom::element value : array) list.push_back(ToJson(value));
      return list;
    }
    case Type::OBJECT: {
      OrderedJson object = OrderedJson::object();
      const auto fields = As<simdjson::dom::object>(element);
      for (const auto& [key, value] : fields) object[std::string(key)] = ToJson(value);
      return object;
    }
    case Type::INT64:
      return As<int64_t>(element);
    case Type::UINT64:
      return As<uint64_t>(element);
    case Type::DOUBLE:
      return As<double>(element);
    case Type::STRING:
      return std::string(As<std::string_view>(element));
    case Type::BOOL:
      return As<bool>(element);
    case Type::NULL_VALUE:
      break;
  }
  return nullptr;
}

}  // namespace

struct JsonDocument::Parsed {
  simdjson::dom::parser parser;
  simdjson::dom::element root;  // an object, if `readable`
  std::vector<char> padded;     // the text; simdjson reads some bytes beyond its end
  size_t text_bytes = 0;
  bool readable = false;
  bool has_exponents = false;  // the text went through WithExponents()

  simdjson::error_code Read(absl::string_view text) {
    if (padded.size() > kKeptBytes && text.size() < kKeptBytes / 2) {
      parser = simdjson::dom::parser();
      std::vector<char>().swap(padded);
    }
    if (parser.capacity() == 0) {
      const simdjson::error_code error =
          parser.allocate(std::max(text.size(), kFirstBytes), kMaxJsonDepth + 1);
      if (error) return error;
    }
    if (padded.size() < text.size() + simdjson::SIMDJSON_PADDING) {
      padded.resize(text.size() + text.size() / 2 + simdjson::SIMDJSON_PADDING);
    }
    std::copy(text.begin(), text.end(), padded.begin());
    text_bytes = text.size();
    return parser.parse(padded.data(), text.size(), /*realloc_if_needed=*/false).get(root);
  }

  // Returns whether the object has the field.
  bool Get(absl::string_view name, simdjson::dom::element* value) const {
    return readable && root.at_key(ToStd(name)).get(*value) == simdjson::SUCCESS;
  }

  // The digits of a field that is a whole number beyond 64 bits; else empty.
  std::string LargeNumber(absl::string_view name) const {
    simdjson::ondemand::parser again;
    simdjson::ondemand::document document;
    std::string_view token;
    if (again.iterate(padded.data(), text_bytes, padded.size()).get(document) ||
        document.find_field_unordered(ToStd(name)).raw_json_token().get(token)) {
      return "";
    }
    absl::string_view number = absl::StripTrailingAsciiWhitespace({token.data(), token.size()});
    if (!absl::ConsumeSuffix(&number, kNoExponent) || !IsBeyond64Bits(number)) return "";
    return std::string(number);
  }
};

JsonDocument::JsonDocument() : parsed_(std::make_unique<Parsed>()) {}
JsonDocument::~JsonDocument() = default;

absl::Status JsonDocument::Parse(absl::string_view text) {
  Parsed& parsed = *parsed_;
  parsed.readable = parsed.has_exponents = false;
  simdjson::error_code error = parsed.Read(text);
  if (error == simdjson::NUMBER_ERROR) {
    parsed.has_exponents = true;
    error = parsed.Read(WithExponents(text));
  }
  switch (error) {
    case simdjson::SUCCESS:
      if (!parsed.root.is_object()) return DataError("not a JSON object");
      parsed.readable = true;
      return absl::OkStatus();
    case simdjson::NUMBER_ERROR:
      return DataError("malformed number");
    case simdjson::DEPTH_ERROR:
      return DataError("nested deeper than 64");
    case simdjson::UTF8_ERROR:
      return DataError("not UTF-8");
    case simdjson::EMPTY:
      return DataError("empty");
    default:
      return DataError(absl::StrCat("not valid JSON: ", simdjson::error_message(error)));
  }
}

std::optional<std::string> JsonDocument::TextField(absl::string_view name) const {
  simdjson::dom::element value;
  if (!parsed_->Get(name, &value)) return std::nullopt;
  switch (value.type()) {
    case simdjson::dom::element_type::STRING:
      return std::string(As<std::string_view>(value));
    case simdjson::dom::element_type::INT64:
      return std::to_string(As<int64_t>(value));
    case simdjson::dom::element_type::UINT64:
      return std::to_string(As<uint64_t>(value));
    default:
      return std::nullopt;
  }
}

uint64_t JsonDocument::FieldHash(absl::string_view name) const {
  simdjson::dom::element value;
  if (!parsed_->Get(name, &value)) return 0;
  std::string text;
  if (parsed_->has_exponents && value.is_double()) text = parsed_->LargeNumber(name);
  if (text.empty()) text = simdjson::minify(value);
  return absl::HashOf(text) | 1;
}

JsonType JsonDocument::TypeOf(absl::string_view name) const {
  using Type = simdjson::dom::element_type;
  simdjson::dom::element value;
  if (!parsed_->Get(name, &value)) return JsonType::kAbsent;
  switch (value.type()) {
    case Type::ARRAY:
      return JsonType::kList;
    case Type::OBJECT:
      return JsonType::kObject;
    case Type::INT64:
    case Type::UINT64:
      return JsonType::kWholeNumber;
    case Type::DOUBLE:
      return JsonType::kFraction;
    case Type::STRING:
      return JsonType::kText;
    case Type::BOOL:
      return JsonType::kBoolean;
    case Type::NULL_VALUE:
      break;
  }
  return JsonType::kNull;
}

OrderedJson JsonDocument::All() const {
  return parsed_->readable ? ToJson(parsed_->root) : OrderedJson::object();
}

std::optional<OrderedJson> JsonDocument::Find(const FieldPath& path) const {
  if (!parsed_->readable) return std::nullopt;
  simdjson::dom::element at = parsed_->root;
  for (const std::string& field : path) {
    simdjson::dom::element inner;
    if (at.at_key(field).get(inner) != simdjson::SUCCESS) return std::nullopt;
    at = inner;
  }
  return ToJson(at);
}

std::string ToText(const OrderedJson& json) {
  return json.dump(-1, ' ', /*ensure_ascii=*/false, OrderedJson::error_handler_t::replace);
}

size_t MemoryBytes(const OrderedJson& json) {
  size_t bytes = sizeof(OrderedJson);
  if (json.is_string()) {
    bytes += json.get_ref<const std::string&>().size();
  } else if (json.is_object()) {
    for (const auto& [key, value] : json.items()) {
      bytes += sizeof(std::string) + key.size() + MemoryBytes(value);
    }
  } else if (json.is_array()) {
    for (const OrderedJson& value : json) bytes += MemoryBytes(value);
  }
  return bytes;
}

}  // namespace fanwire::control
