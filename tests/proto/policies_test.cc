#include "proto/policies.h"

#include "fanwire/v1/config.pb.h"
#include "fanwire/v1/types.pb.h"
#include "gtest/gtest.h"

namespace fanwire {

namespace {

TEST(PoliciesTest, NumbersAreThoseOfTheProtocol) {
  EXPECT_EQ(static_cast<int>(Dialect::kCommon), v1::DIALECT_COMMON);
  EXPECT_EQ(static_cast<int>(Dialect::kSessionBuddy), v1::DIALECT_SESSION_BUDDY);
  EXPECT_EQ(kDialects, v1::Dialect_ARRAYSIZE);
  EXPECT_EQ(static_cast<int>(BacklogPolicy::kClose), v1::BACKLOG_POLICY_CLOSE);
  EXPECT_EQ(static_cast<int>(BacklogPolicy::kDropOldest), v1::BACKLOG_POLICY_DROP_OLDEST);
  EXPECT_EQ(static_cast<int>(BacklogPolicy::kLatest), v1::BACKLOG_POLICY_LATEST);
  EXPECT_EQ(static_cast<int>(GapPolicy::kNotify), v1::GAP_POLICY_NOTIFY);
  EXPECT_EQ(static_cast<int>(GapPolicy::kClose), v1::GAP_POLICY_CLOSE);
  EXPECT_EQ(static_cast<int>(DropReason::kDropOldest), v1::DROP_REASON_DROP_OLDEST);
  EXPECT_EQ(static_cast<int>(DropReason::kConflated), v1::DROP_REASON_CONFLATED);
  EXPECT_EQ(static_cast<int>(DropReason::kSlowClosed), v1::DROP_REASON_SLOW_CLOSED);
  EXPECT_EQ(static_cast<int>(DropReason::kClosing), v1::DROP_REASON_CLOSING);
  EXPECT_EQ(kDropReasons, v1::DropReason_ARRAYSIZE);
}

TEST(PoliciesTest, DropReasonsAreNamedAsInJsonAndMetrics) {
  EXPECT_EQ(DropReasonName(1), "drop_oldest");
  EXPECT_EQ(DropReasonName(2), "conflated");
  EXPECT_EQ(DropReasonName(3), "slow_closed");
  EXPECT_EQ(DropReasonName(4), "closing");
  EXPECT_EQ(DropReasonName(0), "other");
  EXPECT_EQ(DropReasonName(kDropReasons), "other");
}

}  // namespace
}  // namespace fanwire
