#include "control/links/pattern_times.h"

#include "gtest/gtest.h"

namespace fanwire::control {

namespace {

constexpr absl::Duration kAt1 = absl::Seconds(1), kAt2 = absl::Seconds(2), kAt3 = absl::Seconds(3);

TEST(PatternTimesTest, APatternIsWantedSinceItWasAddedUntilItIsRemoved) {
  PatternTimes times;
  EXPECT_EQ(times.Add(7, kAt1), kAt1);
  EXPECT_EQ(times.Add(7, kAt2), kAt1);
  times.Remove(7);
  EXPECT_EQ(times.Add(7, kAt3), kAt3);
}

TEST(PatternTimesTest, ASnapshotKeepsTheTimesOfWhatItTells) {
  PatternTimes times;
  times.Add(7, kAt1);
  times.Add(8, kAt1);
  times.BeginSnapshot();
  EXPECT_EQ(times.Add(7, kAt3), kAt1);
  EXPECT_EQ(times.Add(9, kAt3), kAt3);
  times.EndSnapshot();
  EXPECT_EQ(times.Add(8, kAt3), kAt3);
}

TEST(PatternTimesTest, ASnapshotThatNeverEndedForgetsNothing) {
  PatternTimes times;
  times.Add(7, kAt1);
  times.Add(8, kAt1);
  times.BeginSnapshot();
  times.Add(7, kAt2);
  times.BeginSnapshot();
  EXPECT_EQ(times.Add(8, kAt3), kAt1);
  EXPECT_EQ(times.Add(7, kAt3), kAt1);
}

}  // namespace
}  // namespace fanwire::control
