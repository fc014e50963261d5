#include "tests/bench/histogram.h"

#include <cmath>

namespace fanwire::bench {

int64_t Histogram::Quantile(double quantile) const {
  if (total_ == 0) return 0;
  const auto wanted = static_cast<int64_t>(std::ceil(quantile * static_cast<double>(total_)));
  int64_t seen = 0;
  for (int i = 0; i < kBuckets; ++i) {
    seen += counts_[i];
    if (seen >= wanted && seen > 0) {
      if (i < 2 * kSteps) return i;
      const int shift = i / kSteps - 1;
      return static_cast<int64_t>(i % kSteps + kSteps + 1) << shift;
    }
  }
  return INT64_MAX;
}

void Histogram::Clear() {
  counts_.fill(0);
  total_ = 0;
}

}  // namespace fanwire::bench
