#include "common/edit_distance.h"

#include <algorithm>

namespace fanwire {

size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

std::string NearestName(absl::string_view given, const std::vector<std::string>& candidates,
                        size_t max_distance) {
  std::string nearest;
  size_t allowed = max_distance + 1;  // candidates must be nearer than this
  for (const std::string& candidate : candidates) {
    const size_t longer = std::max(given.size(), candidate.size());
    const size_t shorter = std::min(given.size(), candidate.size());
    if (longer - shorter >= allowed) continue;
    const size_t distance = EditDistance(given, candidate);
    if (distance >= allowed) continue;
    allowed = distance;
    nearest = candidate;
  }
  return nearest;
}

}  // namespace fanwire
