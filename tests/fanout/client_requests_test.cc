#include "fanout/client_requests.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire::fanout {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

ClientRequests::Request Request(absl::Duration deadline, size_t bytes = 2) {
  return {.context = {},
          .event = "history",
          .bytes = bytes,
          .asked = absl::ZeroDuration(),
          .deadline = deadline};
}

TEST(ClientRequestsTest, EachRequestIsTakenOnce) {
  ClientRequests requests;
  requests.Add(7, Request(absl::Seconds(1)));
  EXPECT_FALSE(requests.Take(8).has_value());
  const auto taken = requests.Take(7);
  ASSERT_TRUE(taken.has_value());
  EXPECT_EQ(taken->event, "history");
  EXPECT_FALSE(requests.Take(7).has_value());
  EXPECT_TRUE(requests.empty());
}

TEST(ClientRequestsTest, ThoseWhoseDeadlineHasComeAreLate) {
  ClientRequests requests;
  EXPECT_EQ(requests.deadline(), absl::InfiniteDuration());
  requests.Add(1, Request(absl::Seconds(3)));
  requests.Add(2, Request(absl::Seconds(2)));
  requests.Add(3, Request(absl::Seconds(5)));
  EXPECT_EQ(requests.deadline(), absl::Seconds(2));
  EXPECT_THAT(requests.Late(absl::Milliseconds(1999)), IsEmpty());
  EXPECT_THAT(requests.Late(absl::Seconds(2)), ElementsAre(2u));
  EXPECT_THAT(requests.Late(absl::Seconds(4)), UnorderedElementsAre(1u, 2u));
  EXPECT_THAT(requests.All(), UnorderedElementsAre(1u, 2u, 3u));
}

TEST(ClientRequestsTest, TheNumberOfRequestsIsBounded) {
  ClientRequests requests;
  for (uint64_t ask = 1; ask <= 256; ++ask) {
    ASSERT_TRUE(requests.CheckRoom(2).ok());
    requests.Add(ask, Request(absl::Seconds(1)));
  }
  EXPECT_EQ(requests.CheckRoom(0).message(), "more than 256 requests without an answer");
  requests.Take(9);
  EXPECT_TRUE(requests.CheckRoom(0).ok());
}

TEST(ClientRequestsTest, TheirBytesAreBoundedButASingleRequestMayBeLarger) {
  ClientRequests requests;
  EXPECT_TRUE(requests.CheckRoom(2 << 20).ok());
  requests.Add(1, Request(absl::Seconds(1), (1 << 20) - 10));
  EXPECT_TRUE(requests.CheckRoom(10).ok());
  EXPECT_EQ(requests.CheckRoom(11).message(),
            "requests without an answer have more than 1048576 bytes");
  requests.Take(1);
  EXPECT_TRUE(requests.CheckRoom(11).ok());
}

}  // namespace
}  // namespace fanwire::fanout
