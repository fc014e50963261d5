// Decides which columns of a table a terminal shows, and how wide each is.
//
// Threading: pure functions.
#pragma once

#include <vector>

namespace fanwire::cli {

struct ColumnSpace {
  int natural = 0;    // the width at which nothing is cut
  int least = 0;      // the width below which it is not cut; `natural` if it is never cut
  int rank = 0;       // 0: always shown; of the others the highest rank gives way first
  bool last = false;  // it is cut only when no other column can give way any more
};

// Returns the width of each column, or 0 for a column that is not shown.  With `gap` columns
// between them the shown ones fit into `width`, unless those of rank 0 are too wide at their least.
//
// First, columns give way until the rest fits where each that may be cut, except for a `last` one,
// has at most kComfortableWidth.  If that is not enough, the rest is cut further.  Room that is
// left goes to the columns that are cut.
std::vector<int> FitColumns(const std::vector<ColumnSpace>& columns, int width, int gap);

// Enough for most names.
inline constexpr int kComfortableWidth = 32;

}  // namespace fanwire::cli
