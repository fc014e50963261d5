// Parses JSON from outside into nlohmann::json.  The library's own parse() ends at a NUL and skips
// a byte order mark, so it accepts texts that every other JSON parser refuses.
//
// Threading: pure functions.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "absl/strings/string_view.h"

namespace fanwire {

// Parses all of `text` as one JSON value (RFC 8259).  Returns a discarded value (is_discarded()) if
// it is not JSON.  Does not limit the nesting: see JsonDepth().
nlohmann::json ParseJson(absl::string_view text);

// As ParseJson(), but keeps the order of keys.
nlohmann::ordered_json ParseOrderedJson(absl::string_view text);

}  // namespace fanwire
