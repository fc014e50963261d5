#include "control/publish/stream_order.h"

#include "control/publish/publisher_seqs.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status.h"

namespace fanwire::control {

namespace {

constexpr auto kExists = absl::StatusCode::kAlreadyExists;

class StreamOrderTest : public ::testing::Test {
 protected:
  PublisherSeqs publishers_{10};
  StreamOrder order_{&publishers_};
};

TEST_F(StreamOrderTest, WithoutANameEverySeqIsTakenAndNothingIsRemembered) {
  EXPECT_EQ(order_.Begin(""), 0u);
  for (const uint64_t seq : {5, 5, 0, 3}) {
    EXPECT_OK(order_.Take(seq));
    order_.Accepted();
  }
  EXPECT_EQ(publishers_.LastAccepted(""), 0u);
}

TEST_F(StreamOrderTest, OfANamedPublisherEachSeqIsAboveTheOneBefore) {
  EXPECT_EQ(order_.Begin("p"), 0u);
  EXPECT_THAT(order_.Take(0), StatusIs(kExists,
                                       "seq 0: not above 0, the last one of this "
                                       "publisher_id"));
  EXPECT_OK(order_.Take(1));
  EXPECT_OK(order_.Take(7));
  EXPECT_THAT(order_.Take(7), StatusIs(kExists,
                                       "seq 7: not above 7, the last one of this "
                                       "publisher_id"));
  EXPECT_THAT(order_.Take(6), StatusIs(kExists, ::testing::HasSubstr("seq 6")));
  EXPECT_OK(order_.Take(8));
}

TEST_F(StreamOrderTest, TheNextStreamOfAPublisherBeginsWhereTheLastAcceptedSeqWas) {
  order_.Begin("p");
  ASSERT_OK(order_.Take(3));
  order_.Accepted();
  ASSERT_OK(order_.Take(4));  // refused: it may come again
  StreamOrder next(&publishers_);
  EXPECT_EQ(next.Begin("p"), 3u);
  EXPECT_THAT(next.Take(3), StatusIs(kExists, ::testing::HasSubstr("seq 3")));
  EXPECT_OK(next.Take(4));
  StreamOrder other(&publishers_);
  EXPECT_EQ(other.Begin("q"), 0u);
}

}  // namespace
}  // namespace fanwire::control
