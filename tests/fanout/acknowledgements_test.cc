// When control hears how much was applied.
#include "fanout/acknowledgements.h"

#include <functional>
#include <vector>

#include "fanwire/v1/worker.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_link.h"

namespace fanwire::fanout {

namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

class AcknowledgementsTest : public ::testing::Test {
 protected:
  AcknowledgementsTest() : acknowledgements_(&loop_, &link_, [this] { return pending_; }) {}

  void Count(int items, uint64_t bytes = 0) {
    for (int i = 0; i < items; ++i) acknowledgements_.Count(bytes);
  }
  // Runs turns until something was sent; false after 20 s.
  bool RunUntilSent() {
    const absl::Time give_up = absl::Now() + absl::Seconds(20);
    while (link_.sent.empty()) {
      if (absl::Now() > give_up) return false;
      loop_.RunTurn(absl::Milliseconds(10));
    }
    return true;
  }
  void ExpectSent(uint64_t items, uint64_t bytes) {
    const std::vector<v1::WorkerItem> sent = link_.Take();
    ASSERT_THAT(sent, SizeIs(1));
    EXPECT_EQ(sent[0].ack().seq(), items);
    EXPECT_EQ(sent[0].ack().bytes(), bytes);
  }

  static constexpr size_t kTooMuch = (4 << 20) + 1;

  EventLoop loop_;
  FakeLink link_;
  size_t pending_ = 0;
  Acknowledgements acknowledgements_;
};

TEST_F(AcknowledgementsTest, ManyItemsAreAcknowledgedInTheirTurn) {
  Count(127);
  acknowledgements_.OnTurn();
  EXPECT_THAT(link_.sent, IsEmpty());
  Count(1);
  acknowledgements_.OnTurn();
  ExpectSent(128, 0);
  acknowledgements_.OnTurn();
  EXPECT_THAT(link_.sent, IsEmpty());
}

TEST_F(AcknowledgementsTest, ManyBytesAreAcknowledgedInTheirTurn) {
  Count(1, (256 << 10) - 1);
  acknowledgements_.OnTurn();
  EXPECT_THAT(link_.sent, IsEmpty());
  acknowledgements_.CountBytes(1);
  acknowledgements_.OnTurn();
  ExpectSent(1, 256 << 10);
}

TEST_F(AcknowledgementsTest, FewItemsAreAcknowledgedTogetherALittleLater) {
  Count(1, 10);
  acknowledgements_.OnTurn();
  Count(2, 10);
  acknowledgements_.OnTurn();
  EXPECT_THAT(link_.sent, IsEmpty());
  ASSERT_TRUE(RunUntilSent());
  ExpectSent(3, 30);
}

TEST_F(AcknowledgementsTest, WhileTooMuchIsOnItsWayNothingIsAcknowledged) {
  pending_ = kTooMuch;
  Count(1000);
  acknowledgements_.OnTurn();
  for (int i = 0; i < 10; ++i) loop_.RunTurn(absl::Milliseconds(2));
  EXPECT_THAT(link_.sent, IsEmpty());
  pending_ = kTooMuch - 1;
  ASSERT_TRUE(RunUntilSent());
  ExpectSent(1000, 0);
}

TEST_F(AcknowledgementsTest, FewItemsAreHeldBackAsWell) {
  pending_ = kTooMuch;
  Count(1);
  acknowledgements_.OnTurn();
  bool late = false;
  loop_.RunAfter(absl::Milliseconds(80), [&] { late = true; });
  while (!late) loop_.RunTurn(absl::Milliseconds(10));
  EXPECT_THAT(link_.sent, IsEmpty());
  pending_ = 0;
  ASSERT_TRUE(RunUntilSent());
  ExpectSent(1, 0);
}

TEST_F(AcknowledgementsTest, WhileDrainingEachTurnIsAcknowledged) {
  acknowledgements_.AcknowledgeEachTurn();
  acknowledgements_.OnTurn();
  EXPECT_THAT(link_.sent, IsEmpty());
  Count(1, 5);
  acknowledgements_.OnTurn();
  ExpectSent(1, 5);
}

TEST_F(AcknowledgementsTest, CountsBeginAgainWithAnAttachment) {
  Count(200, 1);
  acknowledgements_.OnTurn();
  ExpectSent(200, 200);
  acknowledgements_.Restart();
  acknowledgements_.OnTurn();
  EXPECT_THAT(link_.sent, IsEmpty());
  Count(128, 2);
  acknowledgements_.OnTurn();
  ExpectSent(128, 256);
}

TEST_F(AcknowledgementsTest, WhatWasCountedBeforeARestartIsNotAcknowledgedAfterIt) {
  Count(1);
  acknowledgements_.OnTurn();  // a timer is set
  acknowledgements_.Restart();
  bool late = false;
  loop_.RunAfter(absl::Milliseconds(80), [&] { late = true; });
  while (!late) loop_.RunTurn(absl::Milliseconds(10));
  EXPECT_THAT(link_.sent, IsEmpty());
}

}  // namespace
}  // namespace fanwire::fanout
