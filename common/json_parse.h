// Parses JSON from outside into nlohmann::json.  The library's own parse() ends at a NUL and skips
// a byte order mark, so it accepts texts that every other JSON parser refuses; and it refuses
// numbers beyond all doubles, such as 1e400, which JSON allows.
//
// Threading: pure functions.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "absl/strings/string_view.h"

namespace fanwire {

// Parses all of `text` as one JSON value (RFC 8259).  Returns a discarded value (is_discarded()) if
// it is not JSON.  Does not limit the nesting: see JsonDepth().  A number beyond all doubles is
// the largest double of its sign, which each check of a range refuses; JsonReader has its digits.
nlohmann::json ParseJson(absl::string_view text);

// As ParseJson(), but keeps the order of keys.
nlohmann::ordered_json ParseOrderedJson(absl::string_view text);

// Whether ParseJson() accepts `text`.  Builds no values.
bool IsJson(absl::string_view text);

}  // namespace fanwire
