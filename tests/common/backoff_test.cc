#include "common/backoff.h"

#include <cstdint>

#include "gtest/gtest.h"

namespace fanwire {
namespace {

TEST(BackoffTest, DoublesUpToTheCap) {
  Backoff backoff(absl::Milliseconds(100), absl::Seconds(1), [] { return UINT64_MAX; });
  EXPECT_NEAR(absl::ToDoubleMilliseconds(backoff.Next()), 100, 0.1);
  EXPECT_NEAR(absl::ToDoubleMilliseconds(backoff.Next()), 200, 0.1);
  EXPECT_NEAR(absl::ToDoubleMilliseconds(backoff.Next()), 400, 0.1);
  EXPECT_NEAR(absl::ToDoubleMilliseconds(backoff.Next()), 800, 0.1);
  EXPECT_NEAR(absl::ToDoubleMilliseconds(backoff.Next()), 1000, 0.1);
  for (int i = 0; i < 100; ++i) EXPECT_LE(backoff.Next(), absl::Seconds(1));
}

TEST(BackoffTest, JitterReachesDownToZero) {
  Backoff backoff(absl::Seconds(1), absl::Seconds(9), [] { return uint64_t{0}; });
  EXPECT_EQ(backoff.Next(), absl::ZeroDuration());
}

TEST(BackoffTest, ResetBeginsAnew) {
  Backoff backoff(absl::Milliseconds(100), absl::Seconds(9), [] { return UINT64_MAX; });
  backoff.Next();
  backoff.Next();
  EXPECT_EQ(backoff.tries(), 2);
  backoff.Reset();
  EXPECT_EQ(backoff.tries(), 0);
  EXPECT_NEAR(absl::ToDoubleMilliseconds(backoff.Next()), 100, 0.1);
}

}  // namespace
}  // namespace fanwire
