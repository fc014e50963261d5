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

// Returns `text` with U+FFFD in place of each byte that belongs to no well-formed character, cut
// at the end of a character so that the result has at most `max_bytes`.  For texts from outside
// that nobody has checked, such as header values: protobuf refuses a whole message if one `string`
// in it is not UTF-8, and gRPC then ends the stream.
std::string ToUtf8(absl::string_view text, size_t max_bytes = absl::string_view::npos);

// `text` in quotes for an error message: escaped, so that it takes one line of UTF-8, and cut after
// 64 bytes.
std::string QuotedText(absl::string_view text);

}  // namespace fanwire
