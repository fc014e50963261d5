#include "control/publish/stream_order.h"

#include <string>

#include "control/publish/publisher_seqs.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status.h"

namespace fanwire::control {

namespace {

using Claim = PublisherLog::Claim;

constexpr auto kExists = absl::StatusCode::kAlreadyExists;

class StreamOrderTest : public ::testing::Test {
 protected:
  static uint64_t Begin(StreamOrder* order, const std::string& publisher_id) {
    const absl::StatusOr<uint64_t> last_accepted = order->Begin(publisher_id);
    EXPECT_OK(last_accepted);
    return last_accepted.value_or(UINT64_MAX);
  }
  static Claim Take(StreamOrder* order, uint64_t seq) {
    PublisherLog::Earlier earlier;
    return order->Take(seq, 1, {}, &earlier);
  }

  PublisherSeqs publishers_{{.max_publishers = 10, .window = 10, .max_seqs = 1000}};
  StreamOrder order_{&publishers_};
};

TEST_F(StreamOrderTest, WithoutANameNothingIsRemembered) {
  EXPECT_EQ(Begin(&order_, ""), 0u);
  EXPECT_FALSE(order_.named());
  order_.End();
  EXPECT_EQ(publishers_.size(), 0u);
}

TEST_F(StreamOrderTest, TheNextStreamOfAPublisherBeginsWhereTheLastAcceptedSeqWas) {
  EXPECT_EQ(Begin(&order_, "p"), 0u);
  EXPECT_TRUE(order_.named());
  EXPECT_EQ(Take(&order_, 3), Claim::kNew);
  order_.Settle(3, {});
  EXPECT_EQ(Take(&order_, 4), Claim::kNew);
  PublishOutcome refused;
  refused.status = absl::UnavailableError("not now");
  order_.Settle(4, refused);
  StreamOrder next(&publishers_);
  EXPECT_EQ(Begin(&next, "p"), 3u);
  EXPECT_EQ(Take(&next, 3), Claim::kRepeated);
  EXPECT_EQ(Take(&next, 4), Claim::kNew);
  EXPECT_EQ(Take(&order_, 5), Claim::kStale);
  StreamOrder other(&publishers_);
  EXPECT_EQ(Begin(&other, "q"), 0u);
  order_.End();
  next.End();
  other.End();
}

TEST_F(StreamOrderTest, WhatIsSettledAfterTheStreamsEndCounts) {
  Begin(&order_, "p");
  EXPECT_EQ(Take(&order_, 1), Claim::kNew);
  order_.End();
  order_.Settle(1, {});
  StreamOrder next(&publishers_);
  EXPECT_EQ(Begin(&next, "p"), 1u);
  next.End();
}

TEST_F(StreamOrderTest, APublisherThatIsOneTooManyHasNoNameAndNothingToEnd) {
  PublisherSeqs one({.max_publishers = 1, .window = 10, .max_seqs = 1000});
  StreamOrder first(&one), second(&one);
  EXPECT_OK(first.Begin("p"));
  EXPECT_THAT(second.Begin("q"), StatusIs(absl::StatusCode::kResourceExhausted,
                                          ::testing::HasSubstr("control.max_publishers")));
  EXPECT_FALSE(second.named());
  second.End();
  first.End();
  StreamOrder third(&one);
  EXPECT_OK(third.Begin("q"));
  third.End();
}

TEST_F(StreamOrderTest, EveryRefusalSaysWhatIsWrong) {
  Begin(&order_, "p");
  EXPECT_EQ(Take(&order_, 7), Claim::kNew);
  EXPECT_THAT(order_.Refusal(Claim::kUnknown, 6),
              StatusIs(kExists, "seq 6: not above 7, the last one of this publisher_id"));
  EXPECT_THAT(
      order_.Refusal(Claim::kConflict, 7),
      StatusIs(kExists, "seq 7 belongs to another event of this publisher_id; count seq up"));
  EXPECT_THAT(order_.Refusal(Claim::kStale, 8),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       "publisher_id \"p\": another stream has said hello with it later; only that "
                       "one may publish"));
  order_.End();
}

}  // namespace
}  // namespace fanwire::control
