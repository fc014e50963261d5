// Checks whether a text is YAML that a configuration can be read from, before a tree is made of it.
//
// YAML can describe more than a tree: an alias inside of its own anchor is a loop, and a few lines
// of aliases to aliases stand for billions of values.  A configuration is one document, and with
// every alias replaced by what it stands for it is a tree within the limits below.
//
// Threading: pure functions.
// Cost:      one pass of yaml-cpp's parser, without a tree: about 1 s and at most 250 MB for the
//            worst text of kMaxConfigBytes.
#pragma once

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace fanwire {

// The longest text of a configuration, and how many bytes its texts may have with every alias and
// every variable replaced.
inline constexpr size_t kMaxConfigBytes = size_t{1} << 20;

// How many keys and values a configuration may have, and how deep lists and maps may lie in each
// other, with every alias replaced.
inline constexpr size_t kMaxConfigNodes = 100'000;
inline constexpr size_t kMaxConfigDepth = 64;

// The first byte of `text` that no configuration can have, as "FILE:LINE:COLUMN: byte 0xE9 is not
// UTF-8; …"; empty: there is none.  Columns are counted in bytes.
std::string ConfigTextFault(absl::string_view text, absl::string_view file);

// The first fault of `text`, with its place as above; empty: it is a tree within the limits.
std::string YamlFault(absl::string_view text, absl::string_view file);

}  // namespace fanwire
