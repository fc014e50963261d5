#include "control/events/json_document.h"

#include <simdjson.h>

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/check.h"
#include "common/json_depth.h"
#include "common/json_number.h"
#include "common/json_text.h"
#include "common/plain_text.h"

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

// What simdjson reads instead of a number that it refuses although JSON allows it: a whole number
// beyond 64 bits, or one beyond all doubles.  Empty if it takes the number, or JSON does not.
std::string Readable(absl::string_view number) {
  if (IsBeyondDoubles(number)) return number[0] == '-' ? "-1e308" : "1e308";
  return IsBeyond64Bits(number) ? absl::StrCat(number, kNoExponent) : "";
}

// The element as a T; it is one.
template <typename T>
T As(const simdjson::dom::element& element) {
  T value{};
  FANWIRE_CHECK(element.get(value) == simdjson::SUCCESS);
  return value;
}

OrderedJson ExactNumber(absl::string_view digits) {
  int64_t as_signed = 0;
  uint64_t as_unsigned = 0;
  if (IsWholeJsonNumber(digits) && digits != "-0") {
    if (absl::SimpleAtoi(digits, &as_signed)) return as_signed;
    if (absl::SimpleAtoi(digits, &as_unsigned)) return as_unsigned;
  }
  return OrderedJson::binary(std::vector<uint8_t>(digits.begin(), digits.end()));
}

// The next value.  JSON's depth is bounded, and so is the recursion.
OrderedJson TakeExact(JsonReader* reader) {
  switch (reader->Peek()) {
    case '{': {
      OrderedJson object = OrderedJson::object();
      reader->Skip('{');
      while (reader->Peek() == '"') {
        const std::string key = JsonTextOf(reader->TakeValue());
        reader->Skip(':');
        object[key] = TakeExact(reader);
        reader->Skip(',');
      }
      reader->Skip('}');
      return object;
    }
    case '[': {
      OrderedJson list = OrderedJson::array();
      reader->Skip('[');
      while (reader->Peek() != ']' && reader->Peek() != '\0') {
        list.push_back(TakeExact(reader));
        reader->Skip(',');
      }
      reader->Skip(']');
      return list;
    }
    case '"':
      return JsonTextOf(reader->TakeValue());
    default: {
      const absl::string_view value = reader->TakeValue();
      if (value == "true" || value == "false") return value == "true";
      if (value.empty() || value == "null") {
        if (value.empty()) reader->Skip(reader->Peek());  // no JSON: go on nevertheless
        return nullptr;
      }
      return ExactNumber(value);
    }
  }
}

// The digits of a number that is kept as it was written; empty for other values.
absl::string_view DigitsOf(const OrderedJson& json) {
  if (!json.is_binary()) return {};
  const std::vector<uint8_t>& bytes = json.get_binary();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void AppendText(const OrderedJson& json, std::string* out) {
  const auto append = [out](const std::string& text) {
    if (IsPrintableAscii(text) && IsPlainJsonText(text)) {
      absl::StrAppend(out, "\"", text, "\"");
    } else {
      out->append(OrderedJson(text).dump(-1, ' ', /*ensure_ascii=*/false,
                                         OrderedJson::error_handler_t::replace));
    }
  };
  if (json.is_object()) {
    char before = '{';
    for (const auto& [key, value] : json.items()) {
      out->push_back(before);
      append(key);
      out->push_back(':');
      AppendText(value, out);
      before = ',';
    }
    out->append(before == '{' ? "{}" : "}");
  } else if (json.is_array()) {
    char before = '[';
    for (const OrderedJson& value : json) {
      out->push_back(before);
      AppendText(value, out);
      before = ',';
    }
    out->append(before == '[' ? "[]" : "]");
  } else if (json.is_string()) {
    append(json.get_ref<const std::string&>());
  } else if (json.is_binary()) {
    const absl::string_view digits = DigitsOf(json);
    out->append(digits.data(), digits.size());
  } else {
    out->append(json.dump());
  }
}

bool IsNumber(const OrderedJson& json) { return json.is_number() || json.is_binary(); }

double DoubleOf(const OrderedJson& json) {
  double value = 0;
  if (!json.is_binary()) return json.get<double>();
  return absl::SimpleAtod(DigitsOf(json), &value) ? value : 0;
}

// `whole` + `by`; `whole` are the digits of a whole number.  Nothing if it has too many.
std::optional<std::string> SumOfWhole(absl::string_view whole, int64_t by) {
  constexpr size_t kMostDigits = 37;  // of those that 128 bits hold
  const bool negative = absl::ConsumePrefix(&whole, "-");
  if (whole.size() > kMostDigits) return std::nullopt;
  __int128 sum = 0;
  for (const char digit : whole) sum = sum * 10 + (digit - '0');
  sum = (negative ? -sum : sum) + by;
  if (sum == 0) return "0";
  std::string digits;
  for (__int128 left = sum < 0 ? -sum : sum; left > 0; left /= 10) {
    digits.push_back(static_cast<char>('0' + static_cast<int>(left % 10)));
  }
  if (sum < 0) digits.push_back('-');
  std::reverse(digits.begin(), digits.end());
  return digits;
}

}  // namespace

struct JsonDocument::Parsed {
  simdjson::dom::parser parser;
  simdjson::dom::element root;  // an object, if `readable`
  std::vector<char> padded;     // the text; simdjson reads some bytes beyond its end
  size_t text_bytes = 0;
  bool readable = false;
  // The text as it came, if simdjson could not read all its numbers; else empty.
  std::string original;

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

  absl::string_view text() const {
    return original.empty() ? absl::string_view(padded.data(), text_bytes) : original;
  }
};

JsonDocument::JsonDocument() : parsed_(std::make_unique<Parsed>()) {}
JsonDocument::~JsonDocument() = default;

absl::Status JsonDocument::Parse(absl::string_view text) {
  Parsed& parsed = *parsed_;
  parsed.readable = false;
  parsed.original.clear();
  simdjson::error_code error = parsed.Read(text);
  if (error == simdjson::NUMBER_ERROR) {
    parsed.original = std::string(text);
    error = parsed.Read(ReplaceJsonNumbers(text, Readable));
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
  if (!parsed_->original.empty() && value.is_double()) {
    const absl::string_view digits = FindFirstJsonMember(parsed_->original, name);
    if (!Readable(digits).empty()) return absl::HashOf(digits) | 1;
  }
  return absl::HashOf(simdjson::minify(value)) | 1;
}

const simdjson::dom::element& JsonDocument::root() const { return parsed_->root; }

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
  return parsed_->readable ? ExactJson(parsed_->text()) : OrderedJson::object();
}

std::optional<OrderedJson> JsonDocument::Find(const FieldPath& path) const {
  if (!parsed_->readable) return std::nullopt;
  absl::string_view at = parsed_->text();
  for (const std::string& field : path) {
    at = FindFirstJsonMember(at, field);
    if (at.empty()) return std::nullopt;
  }
  return ExactJson(at);
}

OrderedJson ExactJson(absl::string_view text) {
  JsonReader reader(text);
  return TakeExact(&reader);
}

std::string ToText(const OrderedJson& json) {
  std::string out;
  AppendText(json, &out);
  return out;
}

std::optional<std::string> NameOf(const OrderedJson& json) {
  if (json.is_string()) return json.get<std::string>();
  if (json.is_number_integer()) return ToText(json);
  if (IsWholeJsonNumber(DigitsOf(json))) return std::string(DigitsOf(json));
  return std::nullopt;
}

bool SameValue(const OrderedJson& a, const OrderedJson& b) {
  if (!IsNumber(a) || !IsNumber(b)) return a == b;
  const bool whole = NameOf(a).has_value() && NameOf(b).has_value();
  // Large whole numbers that differ may have one nearest double.
  return whole ? ToText(a) == ToText(b) : DoubleOf(a) == DoubleOf(b);
}

OrderedJson Sum(const OrderedJson& json, int64_t by) {
  if (!IsNumber(json)) return by;
  const std::string digits = ToText(json);
  const size_t point = digits.find('.');
  const std::string whole = digits.substr(0, point);
  if (IsWholeJsonNumber(whole)) {
    const std::optional<std::string> sum = SumOfWhole(whole, by);
    if (point == std::string::npos) {
      if (sum.has_value()) return ExactNumber(*sum);
    } else if (sum.has_value() && whole[0] != '-' && (*sum)[0] != '-' &&
               digits.find_first_of("eE") == std::string::npos) {
      return ExactNumber(absl::StrCat(*sum, digits.substr(point)));
    }
  }
  return DoubleOf(json) + static_cast<double>(by);
}

size_t MemoryBytes(const OrderedJson& json) {
  size_t bytes = sizeof(OrderedJson);
  if (json.is_string()) {
    bytes += json.get_ref<const std::string&>().size();
  } else if (json.is_binary()) {
    bytes += json.get_binary().size();
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
