// How deep JSON is nested, before anything recurses into it.
//
// Threading: pure functions.
#pragma once

#include "absl/strings/string_view.h"

namespace fanwire {

// Deepest nesting of JSON that is taken from outside.  What parses it or writes it again may
// recurse once a level.
inline constexpr int kMaxJsonDepth = 64;

// The depth that brackets outside of texts reach; the outermost object is 1.  No parser of the text
// goes deeper, be it JSON or not.
int JsonDepth(absl::string_view json);

}  // namespace fanwire
