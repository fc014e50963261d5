#include "proto/interest_hash.h"

#include "gtest/gtest.h"
#include "proto/policies.h"

namespace fanwire {

namespace {

// The numbers are a wire contract: a worker and a control of different versions compare them.
// They were computed with another implementation of FNV-1a.
TEST(InterestHashTest, StaysAsItWasReleased) {
  EXPECT_EQ(InterestHash("mahavishnu", Dialect::kCommon, "workflow:wf_1"), 1976708943327244703u);
  EXPECT_EQ(InterestHash("session-buddy", Dialect::kSessionBuddy, "metrics:\xc3\xa9"),
            5448086507054806246u);
  EXPECT_EQ(InterestHash("s", Dialect::kCommon, "x"), 0xf1fc92fc0cde8bfau);
  EXPECT_EQ(InterestHash("", Dialect::kCommon, ""), 15673496577400201799u);
}

TEST(InterestHashTest, EachPartCounts) {
  const uint64_t hash = InterestHash("a", Dialect::kCommon, "b");
  EXPECT_NE(InterestHash("b", Dialect::kCommon, "b"), hash);
  EXPECT_NE(InterestHash("a", Dialect::kSessionBuddy, "b"), hash);
  EXPECT_NE(InterestHash("a", Dialect::kCommon, "a"), hash);
  EXPECT_NE(InterestHash("ab", Dialect::kCommon, ""), hash);
}

}  // namespace
}  // namespace fanwire
