#include "proto/close_code.h"

#include "gtest/gtest.h"

namespace fanwire {
namespace {

TEST(CloseCodeTest, ReasonsAreTheTextsThatClientsCompare) {
  EXPECT_EQ(DefaultReason(CloseCode::kNormal), "");
  EXPECT_EQ(DefaultReason(CloseCode::kPolicyViolation), "Authentication failed");
  EXPECT_EQ(DefaultReason(CloseCode::kTryAgainLater), "Server at maximum capacity");
  EXPECT_EQ(DefaultReason(CloseCode::kInternalError), "keepalive ping timeout");
  EXPECT_EQ(DefaultReason(CloseCode::kSlowSubscriber), "slow subscriber");
  EXPECT_EQ(DefaultReason(CloseCode::kTokenExpired), "token expired");
  EXPECT_EQ(DefaultReason(CloseCode::kDisconnectedByOperator), "disconnected by operator");
}

TEST(CloseCodeTest, ReservedCodesAreNotSendable) {
  for (const int code : {0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535}) {
    EXPECT_FALSE(IsSendable(code)) << code;
  }
  for (const int code : {1000, 1003, 1007, 1011, 1012, 1014, 3000, 4500, 4999}) {
    EXPECT_TRUE(IsSendable(code)) << code;
  }
}

}  // namespace
}  // namespace fanwire
