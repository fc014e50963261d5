// Measures how deeply JSON is nested, before anything recurses into it.
//
// Threading: pure functions.
#pragma once

#include "absl/strings/string_view.h"

namespace fanwire {

// The deepest nesting that JSON from outside may have.  Code that parses or writes such JSON may
// recurse once for each level.
inline constexpr int kMaxJsonDepth = 64;

// The depth of nested brackets outside of strings; the outermost object has depth 1.  No parser
// goes deeper than this in `json`, even if it is not valid JSON.
int JsonDepth(absl::string_view json);

}  // namespace fanwire
