// JsonDocument reads an event's data: it checks that a text is one JSON object and then answers
// questions about its fields.  It is the only reader of events' data in control.
//
// The text is parsed once, and a field becomes a value only when it is asked for.  Numbers of any
// size are accepted; TextField() and TypeOf() treat those beyond 64 bits as floating-point numbers.
// If several fields have one name, Find(), TextField(), FieldHash() and TypeOf() mean the first.
//
// Threading: of one thread at a time.
// Ownership: copies the text; parsing another one reuses the buffers, unless they are very large.
// Cost:      Parse() takes some 0.2 us for 512 bytes.  TextField(), FieldHash() and TypeOf()
//            compare with the object's keys in turn; Find() and All() walk over the text and build
//            what they return.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace simdjson::dom {
class element;
}

namespace fanwire::control {

// Keeps the order in which publishers wrote their keys.
//
// Numbers keep all their digits.  A whole number of 64 bits is one of the library's own numbers.
// Any other number that was read (1.0, -0, 1e400, 2^64) is kept as it was written, as a value of
// the library's binary type, which JSON texts do not have.  ToText() writes it as it was; the
// library's dump() does not.
using OrderedJson = nlohmann::ordered_json;

// {"status", "state"}: field `state` of field `status`.
using FieldPath = std::vector<std::string>;

enum class JsonType : uint8_t {
  kAbsent,
  kNull,
  kBoolean,
  kWholeNumber,
  kFraction,  // any other number
  kText,
  kObject,
  kList,
};

class JsonDocument {
 public:
  JsonDocument();
  ~JsonDocument();
  JsonDocument(const JsonDocument&) = delete;
  JsonDocument& operator=(const JsonDocument&) = delete;

  // Reads `text`, which must be one JSON object in UTF-8, nested at most kMaxJsonDepth deep, with
  // nothing but white space around it.  After an error, and before the first call, the document is
  // an empty object.
  //   INVALID_ARGUMENT  `data: …`: what is wrong
  absl::Status Parse(absl::string_view text);

  // A top-level field as a text: texts themselves, whole numbers as written out.  Nothing if the
  // field is absent or of another type.
  std::optional<std::string> TextField(absl::string_view name) const;

  // A hash of a top-level field's value, whatever its type; 0 if the field is absent.  White space
  // in the value does not count.
  uint64_t FieldHash(absl::string_view name) const;

  // The whole object as the parser has read it, for what includes the parser (catalog_check.cc).
  // Whole numbers beyond 64 bits are floating-point ones in it.  Valid until the next Parse(), and
  // only after one that succeeded.
  const simdjson::dom::element& root() const;

  // The type of a top-level field.
  JsonType TypeOf(absl::string_view name) const;

  // The whole object.  Of several fields with one name the last one's value is in it.
  OrderedJson All() const;

  // Nothing if one of the path's fields is absent.
  std::optional<OrderedJson> Find(const FieldPath& path) const;

 private:
  struct Parsed;

  const std::unique_ptr<Parsed> parsed_;
};

// The value of a JSON text that was accepted by a parser, with exact numbers.
OrderedJson ExactJson(absl::string_view text);

// Compact, non-ASCII raw; numbers as they were read.
std::string ToText(const OrderedJson& json);

// The text by which a value names something: a text, or the digits of a whole number of any size.
// Nothing for other values.
std::optional<std::string> NameOf(const OrderedJson& json);

// Whether two values are the same.  Numbers are the same if their values are: 1, 1.0 and 1e0.
bool SameValue(const OrderedJson& a, const OrderedJson& b);

// The sum of a number and `by`; `by` if `json` is no number.  Exact for whole numbers below 10^37
// and for those with a fraction; of other numbers it is the nearest double.
OrderedJson Sum(const OrderedJson& json, int64_t by);

// Roughly the memory that `json` takes.
size_t MemoryBytes(const OrderedJson& json);

}  // namespace fanwire::control
