// Finds and replaces numbers in JSON texts that parsers refuse although JSON allows them
// (RFC 8259 section 6: a grammar sets no limit to a number's size).
//
// Threading: pure functions.
// Cost:      ReplaceJsonNumbers() is one pass over the text, and a copy of it.
#pragma once

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"

namespace fanwire {

// Whether JSON allows `number`, and its value is beyond every double: 1e400, 309 nines.
bool IsBeyondDoubles(absl::string_view number);

// Returns `json` with the numbers replaced for which `replacement` returns a text that is not
// empty.  What looks like a number within a text is left alone; `json` need not be valid.
std::string ReplaceJsonNumbers(
    absl::string_view json, absl::FunctionRef<std::string(absl::string_view number)> replacement);

}  // namespace fanwire
