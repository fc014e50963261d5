// What the matchers of tests/testing/status.h print when an assertion fails.
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status.h"

namespace fanwire {

namespace {

// As large as a message: googletest would print its bytes.
struct Large {
  char bytes[64] = {};
};

using ::testing::DescribeMatcher;
using ::testing::HasSubstr;
using ::testing::PrintToString;

TEST(StatusMatchersTest, AFailureShowsTheStatusAndNotTheBytes) {
  const absl::StatusOr<Large> failed = absl::NotFoundError("no channel \"x\"");
  EXPECT_EQ(PrintToString(failed), "NOT_FOUND: no channel \"x\"");
  EXPECT_EQ(PrintToString(absl::StatusOr<Large>(Large())), "OK, with a value");
}

TEST(StatusMatchersTest, AMatcherExplainsWhatItFound) {
  const absl::StatusOr<Large> failed = absl::UnavailableError("gone");
  ::testing::StringMatchResultListener listener;
  EXPECT_FALSE(::testing::ExplainMatchResult(IsOk(), failed, &listener));
  EXPECT_EQ(listener.str(), "UNAVAILABLE: gone");
}

TEST(StatusMatchersTest, AFailureNamesTheExpectedCodeAndMessage) {
  const auto matcher = StatusIs(absl::StatusCode::kNotFound, HasSubstr("no channel"));
  EXPECT_EQ(DescribeMatcher<absl::Status>(matcher),
            "is NOT_FOUND with a message that has substring \"no channel\"");
  EXPECT_EQ(DescribeMatcher<absl::StatusOr<Large>>(matcher, /*negation=*/true),
            "is not NOT_FOUND, or has a message that has no substring \"no channel\"");
  EXPECT_EQ(DescribeMatcher<absl::Status>(StatusIs(absl::StatusCode::kAborted, "gone")),
            "is ABORTED with a message that is equal to \"gone\"");
}

}  // namespace
}  // namespace fanwire
