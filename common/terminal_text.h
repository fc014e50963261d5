// Makes text from others harmless on a terminal and in logs: such text must neither control the
// terminal nor change how the text around it reads.
//
// Threading: pure functions.
// Cost:      one pass over the text.  A caller that expects ASCII can check it first with
//            IsPrintableAscii().
// Source:    Unicode Technical Report 36, section 2.9 "Bidirectional text spoofing"
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace fanwire {

// A character at the beginning of a text.
struct Utf8Char {
  uint32_t value = 0;  // of a byte that is not UTF-8: the byte
  size_t bytes = 0;
  bool valid = false;  // false: the first byte does not begin valid UTF-8 (RFC 3629)
};

// Returns the first character of `text`, which is not empty.
Utf8Char FirstUtf8Char(absl::string_view text);

// Whether `code_point` must not reach a terminal as it is: control characters (C0, DEL, C1), line
// and paragraph separators, and invisible characters that reorder, join or hide text, such as
// U+202E.
bool IsUnsafeOnTerminal(uint32_t code_point);

// Replaces each unsafe character by an escape: \n, \t, \r, \x1b, \u202e, \U000e0041, and each byte
// that is not UTF-8 by \xe9.  The joiners U+200C and U+200D stay between letters and symbols that
// use them: in a family emoji or in a Persian word.
std::string EscapeControls(absl::string_view text);

// The same for JSON: unsafe characters become \u202e, or a pair of surrogates, and so the text
// keeps its meaning.  Control characters below 0x20, which valid JSON has only as white space,
// become spaces, and bytes that are not UTF-8 become U+FFFD.
std::string EscapeJsonControls(absl::string_view json);

}  // namespace fanwire
