// How many columns of a terminal a character takes.
//
// Threading: pure functions.
// Cost:      two binary searches in tables of some hundred ranges.
// Source:    Unicode Standard Annexes 11 (East Asian width) and 29 (grapheme clusters), simplified:
//            exact enough to align a table.
#pragma once

#include <cstddef>

#include "absl/strings/string_view.h"

namespace fanwire::cli {

// What a reader sees as one character: a letter with its accents, a joined emoji, a flag.
struct Glyph {
  size_t bytes = 0;
  int columns = 0;  // 0 for a mark without a letter, 2 for East Asian wide letters and for emoji
};

// Returns the first glyph of `text`, which is not empty.  A byte that is not UTF-8 takes a column.
Glyph FirstGlyph(absl::string_view text);

}  // namespace fanwire::cli
