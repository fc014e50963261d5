#include "fanout/net/timer_wheel.h"

#include <functional>
#include <memory>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire::fanout {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class Alarm final : public Deadline {
 public:
  Alarm(int id, std::vector<int>* fired) : id_(id), fired_(fired) {}
  void OnDeadline() override {
    fired_->push_back(id_);
    if (then) then();
  }
  using Deadline::Disarm;
  std::function<void()> then;

 private:
  const int id_;
  std::vector<int>* const fired_;
};

class TimerWheelTest : public ::testing::Test {
 protected:
  std::vector<int> fired_;
  TimerWheel wheel_;
};

TEST_F(TimerWheelTest, FiresAtItsTickAndNotBefore) {
  Alarm alarm(1, &fired_);
  wheel_.Add(&alarm, 10);
  wheel_.Advance(9);
  EXPECT_THAT(fired_, IsEmpty());
  EXPECT_TRUE(alarm.armed());
  wheel_.Advance(10);
  EXPECT_THAT(fired_, ElementsAre(1));
  EXPECT_FALSE(alarm.armed());
  wheel_.Advance(2000);
  EXPECT_THAT(fired_, ElementsAre(1));
}

TEST_F(TimerWheelTest, FiresInOrderOfTicks) {
  Alarm first(1, &fired_), second(2, &fired_), third(3, &fired_);
  wheel_.Add(&third, 30);
  wheel_.Add(&first, 10);
  wheel_.Add(&second, 20);
  wheel_.Advance(100);
  EXPECT_THAT(fired_, ElementsAre(1, 2, 3));
}

TEST_F(TimerWheelTest, DeadlineFurtherThanOneRoundWaitsForItsRound) {
  Alarm far(1, &fired_);
  wheel_.Add(&far, 512 + 5);
  wheel_.Advance(5);
  wheel_.Advance(516);
  EXPECT_THAT(fired_, IsEmpty());
  wheel_.Advance(517);
  EXPECT_THAT(fired_, ElementsAre(1));
}

TEST_F(TimerWheelTest, JumpOverManyRoundsFiresAllThatIsDue) {
  Alarm near(1, &fired_), far(2, &fired_), later(3, &fired_);
  wheel_.Add(&near, 3);
  wheel_.Add(&far, 1500);
  wheel_.Add(&later, 9001);
  wheel_.Advance(9000);
  EXPECT_THAT(fired_, ElementsAre(1, 2));
  EXPECT_TRUE(later.armed());
}

TEST_F(TimerWheelTest, TickInThePastBecomesTheNextOne) {
  wheel_.Advance(100);
  Alarm alarm(1, &fired_);
  wheel_.Add(&alarm, 50);
  EXPECT_EQ(TimerWheel::TickOf(alarm), 101u);
  wheel_.Advance(101);
  EXPECT_THAT(fired_, ElementsAre(1));
}

TEST_F(TimerWheelTest, AddMovesAnArmedDeadline) {
  Alarm alarm(1, &fired_);
  wheel_.Add(&alarm, 10);
  wheel_.Add(&alarm, 20);
  wheel_.Advance(19);
  EXPECT_THAT(fired_, IsEmpty());
  wheel_.Advance(20);
  EXPECT_THAT(fired_, ElementsAre(1));
}

TEST_F(TimerWheelTest, DisarmedAndDestroyedOnesDoNotFire) {
  Alarm first(1, &fired_), last(3, &fired_);
  auto middle = std::make_unique<Alarm>(2, &fired_);
  wheel_.Add(&first, 10);
  wheel_.Add(middle.get(), 10);
  wheel_.Add(&last, 10);
  middle.reset();
  last.Disarm();
  wheel_.Advance(10);
  EXPECT_THAT(fired_, ElementsAre(1));
}

TEST_F(TimerWheelTest, FiringMayDestroyOthersOfTheSameTickAndArmItselfAgain) {
  Alarm first(1, &fired_);
  auto victim = std::make_unique<Alarm>(2, &fired_);
  wheel_.Add(&first, 10);
  wheel_.Add(victim.get(), 10);
  first.then = [&] {
    victim.reset();
    if (fired_.size() < 2) wheel_.Add(&first, 12);
  };
  wheel_.Advance(11);
  EXPECT_THAT(fired_, ElementsAre(1));
  wheel_.Advance(12);
  EXPECT_THAT(fired_, ElementsAre(1, 1));
}

TEST_F(TimerWheelTest, NextTickIsThatOfTheNearestSlot) {
  EXPECT_EQ(wheel_.NextTick(), TimerWheel::kNever);
  Alarm near(1, &fired_), far(2, &fired_);
  wheel_.Add(&far, 400);
  wheel_.Add(&near, 7);
  EXPECT_EQ(wheel_.NextTick(), 7u);
  wheel_.Advance(7);
  EXPECT_EQ(wheel_.NextTick(), 400u);
}

TEST_F(TimerWheelTest, DeadlineMayOutliveTheWheel) {
  auto wheel = std::make_unique<TimerWheel>();
  Alarm alarm(1, &fired_);
  wheel->Add(&alarm, 10);
  wheel.reset();
  EXPECT_FALSE(alarm.armed());
}

}  // namespace
}  // namespace fanwire::fanout
