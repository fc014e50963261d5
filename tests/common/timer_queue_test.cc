#include "common/timer_queue.h"

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_clock.h"
#include "tests/testing/wait_for.h"

namespace fanwire {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class TimerQueueTest : public ::testing::Test {
 protected:
  void At(absl::Duration in, const std::string& name) {
    queue_.At(clock_.Now() + in, [this, name] { ran_.push_back(name); });
  }

  FakeClock clock_;
  TimerQueue queue_{&clock_};
  std::vector<std::string> ran_;
};

TEST_F(TimerQueueTest, TimersRunInTheOrderOfTheirTimeAndNotBefore) {
  At(absl::Seconds(3), "third");
  At(absl::Seconds(1), "first");
  At(absl::Seconds(2), "second");
  At(absl::Seconds(2), "second too");
  queue_.RunDue();
  EXPECT_THAT(ran_, IsEmpty());
  clock_.Advance(absl::Seconds(2) - absl::Nanoseconds(1));
  queue_.RunDue();
  EXPECT_THAT(ran_, ElementsAre("first"));
  clock_.Advance(absl::Nanoseconds(1));
  queue_.RunDue();
  EXPECT_THAT(ran_, ElementsAre("first", "second", "second too"));
  clock_.Advance(absl::Hours(1));
  queue_.RunDue();
  queue_.RunDue();
  EXPECT_THAT(ran_, ElementsAre("first", "second", "second too", "third"));
}

TEST_F(TimerQueueTest, AFunctionMaySetATimerThatIsDueAtOnce) {
  queue_.At(clock_.Now(), [this] {
    ran_.push_back("outer");
    At(absl::ZeroDuration(), "inner");
  });
  queue_.RunDue();
  EXPECT_THAT(ran_, ElementsAre("outer", "inner"));
}

TEST_F(TimerQueueTest, EveryRunsOncePerInterval) {
  queue_.Every(absl::Seconds(1), [this] { ran_.push_back("tick"); });
  queue_.RunDue();
  EXPECT_THAT(ran_, IsEmpty());
  for (int i = 0; i < 3; ++i) {
    clock_.Advance(absl::Seconds(1));
    queue_.RunDue();
    queue_.RunDue();
  }
  EXPECT_THAT(ran_, ElementsAre("tick", "tick", "tick"));
}

TEST_F(TimerQueueTest, EveryDoesNotMakeUpForWhatItMissed) {
  queue_.Every(absl::Seconds(1), [this] { ran_.push_back("tick"); });
  clock_.Advance(absl::Seconds(10));
  queue_.RunDue();
  EXPECT_THAT(ran_, ElementsAre("tick"));
}

TEST_F(TimerQueueTest, AfterStopNothingRuns) {
  At(absl::Seconds(1), "late");
  queue_.Stop();
  clock_.Advance(absl::Seconds(2));
  queue_.RunDue();
  EXPECT_THAT(ran_, IsEmpty());
  queue_.Stop();
}

TEST_F(TimerQueueTest, AStopLetsGoOfNothingButTheQueueDoes) {
  auto held = std::make_shared<int>(1);
  {
    TimerQueue queue(&clock_);
    queue.At(clock_.Now() + absl::Hours(1), [held] {});
    queue.Start();
  }
  EXPECT_EQ(held.use_count(), 1);
}

TEST(TimerQueueThreadTest, TheThreadRunsWhatIsDueAlsoIfItWasSetWhileItSlept) {
  std::atomic<int> ran{0};
  TimerQueue queue(Clock::Real());
  queue.Start();
  queue.At(Clock::Real()->Now() + absl::Hours(1), [&] { ran = 100; });
  queue.At(Clock::Real()->Now() + absl::Milliseconds(5), [&] { ++ran; });
  queue.At(Clock::Real()->Now() - absl::Seconds(1), [&] { ++ran; });
  EXPECT_TRUE(WaitFor([&] { return ran == 2; }));
  queue.Stop();
  EXPECT_EQ(ran, 2);
}

TEST(TimerQueueThreadTest, TimersOfManyThreadsAllRun) {
  std::atomic<int> ran{0};
  TimerQueue queue(Clock::Real());
  queue.Start();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        queue.At(Clock::Real()->Now() + absl::Microseconds(i * 7 % 50), [&] { ++ran; });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(WaitFor([&] { return ran == 800; }));
}

}  // namespace
}  // namespace fanwire
