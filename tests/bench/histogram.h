// Histogram of latencies: fixed memory, under 1 % error, cheap enough for every delivery.
//
// Threading: none.
// Cost:      Add() is one array increment; 29 KiB.
#pragma once

#include <array>
#include <cstdint>

namespace fanwire::bench {

class Histogram {
 public:
  void Add(int64_t nanoseconds, int64_t times = 1) {
    counts_[Index(nanoseconds < 0 ? 0 : static_cast<uint64_t>(nanoseconds))] += times;
    total_ += times;
  }

  // The value, in nanoseconds, that a share of `quantile` (0 to 1) of all values does not exceed.
  int64_t Quantile(double quantile) const;

  int64_t total() const { return total_; }
  void Clear();

 private:
  // 128 steps in each power of two.
  static constexpr int kStepBits = 7;
  static constexpr int kSteps = 1 << kStepBits;

  static int Index(uint64_t value) {
    if (value < 2 * kSteps) return static_cast<int>(value);
    const int shift = 63 - __builtin_clzll(value) - kStepBits;
    const int index = (shift + 1) * kSteps + static_cast<int>((value >> shift) - kSteps);
    return index < kBuckets ? index : kBuckets - 1;
  }

  static constexpr int kBuckets = kSteps * 36;  // to 2^42 ns, more than an hour
  std::array<int64_t, kBuckets> counts_ = {};
  int64_t total_ = 0;
};

}  // namespace fanwire::bench
