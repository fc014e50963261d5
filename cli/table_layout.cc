#include "cli/table_layout.h"

#include <algorithm>
#include <cstddef>

namespace fanwire::cli {
namespace {

// The width of the shown columns with the gaps between them.
int Total(const std::vector<int>& widths, int gap) {
  int total = 0;
  for (const int width : widths) {
    if (width > 0) total += width + gap;
  }
  return std::max(0, total - gap);
}

}  // namespace

std::vector<int> FitColumns(const std::vector<ColumnSpace>& columns, int width, int gap) {
  std::vector<int> widths;
  widths.reserve(columns.size());
  for (const ColumnSpace& column : columns) {
    widths.push_back(column.last
                         ? column.natural
                         : std::min(column.natural, std::max(column.least, kComfortableWidth)));
  }
  while (Total(widths, gap) > width) {
    size_t last = columns.size();
    for (size_t i = 0; i < columns.size(); ++i) {
      if (widths[i] == 0 || columns[i].rank == 0) continue;
      if (last == columns.size() || columns[i].rank >= columns[last].rank) last = i;
    }
    if (last == columns.size()) break;
    widths[last] = 0;
  }
  // Each step gives a column to, or takes one from, the column that has the most or needs it most.
  const auto change = [&](int step, auto may_change) {
    size_t best = columns.size();
    for (size_t i = 0; i < columns.size(); ++i) {
      if (widths[i] == 0 || !may_change(i)) continue;
      if (best == columns.size() || widths[i] * step < widths[best] * step) best = i;
    }
    if (best < columns.size()) widths[best] += step;
    return best < columns.size();
  };
  while (Total(widths, gap) > width &&
         change(-1, [&](size_t i) { return widths[i] > columns[i].least; })) {
  }
  while (Total(widths, gap) < width &&
         change(1, [&](size_t i) { return widths[i] < columns[i].natural; })) {
  }
  return widths;
}

}  // namespace fanwire::cli
