// Reads parts of a JSON text as they are written, without making values of them, so that numbers
// keep all their digits: nlohmann::json makes a double of 2^64, of 0.10 and of 1e400.
//
// All functions want text that a JSON parser has accepted.  Of other text they return parts that
// mean nothing, but they read nothing beyond its end.
//
// Threading: pure functions; a JsonReader is a value.
// Ownership: results are parts of the text, which must outlive them.
// Cost:      one pass over the text.
#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace fanwire {

// JsonReader walks over a JSON text, token by token or value by value.
class JsonReader {
 public:
  explicit JsonReader(absl::string_view text) : text_(text) {}

  // The first character of the next token; 0 at the end of the text.
  char Peek();
  // Goes past the next character if it is `c`; returns whether it was.
  bool Skip(char c);
  // Returns the next value, as it is written, and goes past it; empty if none comes.
  absl::string_view TakeValue();
  // In an object, behind its '{' or behind a member: takes the next member and the comma behind it.
  // `key` is the text with its quotes.  Returns false if there is no further member.
  bool TakeMember(absl::string_view* key, absl::string_view* value);

 private:
  absl::string_view text_;
  size_t at_ = 0;
};

// The characters that a JSON text, given with its quotes, stands for.
std::string JsonTextOf(absl::string_view text);

// Returns the value of the object's member called `name`; empty if it has none, or is no object.
// Of several members of one name it is the last one's, as with nlohmann::json.
absl::string_view FindJsonMember(absl::string_view object, absl::string_view name);
// The same with the first one's.
absl::string_view FindFirstJsonMember(absl::string_view object, absl::string_view name);

// Whether the value is a number without fraction and exponent: "-0", "18446744073709551616".
bool IsWholeJsonNumber(absl::string_view value);

// Returns what a value that is a text or a whole number names: the text, or the digits.
std::optional<std::string> JsonName(absl::string_view value);

// Returns the text without white space between its tokens.
std::string CompactJson(absl::string_view text);

}  // namespace fanwire
