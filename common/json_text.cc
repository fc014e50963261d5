#include "common/json_text.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/strip.h"
#include "common/json_parse.h"

namespace fanwire {

namespace {

constexpr auto kNone = absl::string_view::npos;

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// The index behind the JSON text that begins at `at` with its quote.
size_t EndOfText(absl::string_view json, size_t at) {
  for (++at; at < json.size(); ++at) {
    if (json[at] == '\\') {
      ++at;
    } else if (json[at] == '"') {
      return at + 1;
    }
  }
  return json.size();
}

// Whether the JSON text, given with its quotes, stands for `name`.
bool Means(absl::string_view text, absl::string_view name) {
  if (text.find('\\') != kNone) return JsonTextOf(text) == name;
  return text.size() >= 2 && text.substr(1, text.size() - 2) == name;
}

}  // namespace

char JsonReader::Peek() {
  while (at_ < text_.size() && IsBlank(text_[at_])) ++at_;
  return at_ < text_.size() ? text_[at_] : '\0';
}

bool JsonReader::Skip(char c) {
  if (Peek() != c || at_ == text_.size()) return false;
  ++at_;
  return true;
}

absl::string_view JsonReader::TakeValue() {
  const char first = Peek();
  const size_t begin = at_;
  if (first == '"') {
    at_ = EndOfText(text_, at_);
  } else if (first == '{' || first == '[') {
    int depth = 0;
    do {
      const char c = text_[at_];
      if (c == '"') {
        at_ = EndOfText(text_, at_);
        continue;
      }
      if (c == '{' || c == '[') ++depth;
      if (c == '}' || c == ']') --depth;
      ++at_;
    } while (depth > 0 && at_ < text_.size());
  } else {
    while (at_ < text_.size() && !IsBlank(text_[at_]) &&
           absl::string_view(",:]}[{\"").find(text_[at_]) == kNone) {
      ++at_;
    }
  }
  return text_.substr(begin, at_ - begin);
}

bool JsonReader::TakeMember(absl::string_view* key, absl::string_view* value) {
  if (Peek() != '"') return false;
  *key = TakeValue();
  if (!Skip(':')) return false;
  *value = TakeValue();
  if (value->empty()) return false;
  Skip(',');
  return true;
}

std::string JsonTextOf(absl::string_view text) {
  if (text.size() < 2) return "";
  if (text.find('\\') == kNone) return std::string(text.substr(1, text.size() - 2));
  const nlohmann::json value = ParseJson(text);
  return value.is_string() ? value.get<std::string>() : std::string();
}

absl::string_view FindJsonMember(absl::string_view object, absl::string_view name) {
  absl::string_view key, value, found;
  JsonReader reader(object);
  if (!reader.Skip('{')) return {};
  while (reader.TakeMember(&key, &value)) {
    if (Means(key, name)) found = value;
  }
  return found;
}

absl::string_view FindFirstJsonMember(absl::string_view object, absl::string_view name) {
  absl::string_view key, value;
  JsonReader reader(object);
  if (!reader.Skip('{')) return {};
  while (reader.TakeMember(&key, &value)) {
    if (Means(key, name)) return value;
  }
  return {};
}

bool IsWholeJsonNumber(absl::string_view value) {
  absl::ConsumePrefix(&value, "-");
  return !value.empty() && std::all_of(value.begin(), value.end(), [](char c) {
    return absl::ascii_isdigit(static_cast<unsigned char>(c));
  });
}

std::optional<std::string> JsonName(absl::string_view value) {
  if (!value.empty() && value[0] == '"') return JsonTextOf(value);
  if (IsWholeJsonNumber(value)) return std::string(value);
  return std::nullopt;
}

std::string CompactJson(absl::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const size_t end = text[i] == '"' ? EndOfText(text, i) : i + 1;
    if (!IsBlank(text[i])) out.append(text.data() + i, end - i);
    i = end;
  }
  return out;
}

}  // namespace fanwire
