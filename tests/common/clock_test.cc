#include "common/clock.h"

#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_clock.h"

namespace fanwire {
namespace {

TEST(ClockTest, RealClockMovesForwardAndKnowsTheDate) {
  const absl::Duration first = Clock::Real()->Now();
  EXPECT_LE(first, Clock::Real()->Now());
  EXPECT_LT(absl::AbsDuration(Clock::Real()->WallNow() - absl::Now()), absl::Seconds(5));
}

TEST(ClockTest, FakeClockMovesWhenTold) {
  FakeClock clock;
  const absl::Duration before = clock.Now();
  clock.Advance(absl::Seconds(5));
  EXPECT_EQ(clock.Now() - before, absl::Seconds(5));
  clock.SetWall(absl::UnixEpoch());
  EXPECT_EQ(clock.WallNow(), absl::UnixEpoch());
  EXPECT_EQ(clock.Now() - before, absl::Seconds(5));
}

}  // namespace
}  // namespace fanwire
