#include "control/routing/waiting_interest.h"

#include "control/links/worker_link.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_clock.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class WaitingInterestTest : public ::testing::Test {
 protected:
  FakeClock clock_;
  const std::shared_ptr<WorkerLink> one_ =
      std::make_shared<WorkerLink>(1, WorkerLink::Options(), &clock_, nullptr, nullptr);
  const std::shared_ptr<WorkerLink> two_ =
      std::make_shared<WorkerLink>(2, WorkerLink::Options(), &clock_, nullptr, nullptr);
  WaitingInterest waiting_;
};

TEST_F(WaitingInterestTest, WhoMakesTheStateTakesTheLinksOnce) {
  EXPECT_TRUE(waiting_.empty());
  EXPECT_TRUE(waiting_.Add("a", one_));
  EXPECT_FALSE(waiting_.Add("a", one_));
  EXPECT_TRUE(waiting_.Add("a", two_));
  EXPECT_FALSE(waiting_.empty());
  EXPECT_TRUE(waiting_.Contains("a", one_.get()));
  EXPECT_FALSE(waiting_.Contains("b", one_.get()));
  EXPECT_THAT(waiting_.Take("a"), ElementsAre(one_, two_));
  EXPECT_THAT(waiting_.Take("a"), IsEmpty());
  EXPECT_TRUE(waiting_.empty());
}

TEST_F(WaitingInterestTest, InterestEndsByNameOrWithItsLink) {
  waiting_.Add("a", one_);
  waiting_.Add("a", two_);
  waiting_.Add("b", one_);
  EXPECT_TRUE(waiting_.Remove("a", one_.get()));
  EXPECT_FALSE(waiting_.Remove("a", one_.get()));
  EXPECT_FALSE(waiting_.Remove("c", one_.get()));
  waiting_.RemoveAll(one_.get());
  EXPECT_FALSE(waiting_.Contains("b", one_.get()));
  EXPECT_THAT(waiting_.Take("a"), ElementsAre(two_));
  EXPECT_TRUE(waiting_.empty());
}

}  // namespace
}  // namespace fanwire::control
