// JsonDocument reads an event's data: it checks that a text is one JSON object and then answers
// questions about its fields.  It is the only reader of events' data in control.
//
// The text is parsed once, and a field becomes a value only when it is asked for.  A whole number
// beyond 64 bits is accepted; TextField() and TypeOf() treat it as a floating-point number.  If
// several fields have one name, Find(), TextField(), FieldHash() and TypeOf() mean the first.
//
// Threading: of one thread at a time.
// Ownership: copies the text; parsing another one reuses the buffers, unless they are very large.
// Cost:      Parse() takes some 0.2 us for 512 bytes.  TextField(), FieldHash() and TypeOf()
//            compare with the object's keys in turn; Find() and All() build what they return.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace fanwire::control {

// Keeps the order in which publishers wrote their keys.
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

// Compact, non-ASCII raw.
std::string ToText(const OrderedJson& json);

// Roughly the memory that `json` takes.
size_t MemoryBytes(const OrderedJson& json);

}  // namespace fanwire::control
