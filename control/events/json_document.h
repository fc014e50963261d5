// JsonDocument reads few fields of an event's data, without making a tree of all of it.
//
// Threading: of one thread at a time.
// Ownership: copies the text; reading another one reuses the buffers.
// Cost:      Parse() some 0.2 us per 512 bytes; Find() and All() build only what they return.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace fanwire::control {

// Keeps the order in which publishers wrote their keys.
using OrderedJson = nlohmann::ordered_json;

// {"status", "state"}: field `state` of field `status`.
using FieldPath = std::vector<std::string>;

class JsonDocument {
 public:
  JsonDocument();
  ~JsonDocument();
  JsonDocument(const JsonDocument&) = delete;
  JsonDocument& operator=(const JsonDocument&) = delete;

  // Whether `text` is a JSON object; the calls below are about the last one that was.
  bool Parse(absl::string_view text);

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
