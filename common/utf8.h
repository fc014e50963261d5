// UTF-8 texts (RFC 3629).
//
// Threading: pure functions.
#pragma once

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace fanwire {

// The index of the first byte of `text` that is not valid UTF-8, or npos.
size_t FirstBadUtf8(absl::string_view text);

// Why a setting cannot hold `text`, or an empty text: it is not UTF-8, or it has a NUL or one of
// Unicode's noncharacters, which no file can be written with.
//   "byte 0xE9 (byte 4 of the text) is not UTF-8"
std::string TextFault(absl::string_view text);

// `text` in quotes for an error message: escaped, so that it takes one line of UTF-8, and cut after
// 64 bytes.
std::string QuotedText(absl::string_view text);

}  // namespace fanwire
