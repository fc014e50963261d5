// JSON from outside as a nlohmann::json.  That library's own parse() takes a NUL for the end of the
// text and skips a byte order mark, so that it would call JSON what every other parser refuses.
//
// Threading: pure functions.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "absl/strings/string_view.h"

namespace fanwire {

// The value that the whole of `text` is (RFC 8259), or a discarded one (is_discarded()).  Nesting
// is not bounded: see JsonDepth().
nlohmann::json ParseJson(absl::string_view text);

// The same with the order of keys kept.
nlohmann::ordered_json ParseOrderedJson(absl::string_view text);

}  // namespace fanwire
