#include "common/rpc_status.h"

#include <grpcpp/support/status.h>

#include <string>

#include "gtest/gtest.h"
#include "tests/testing/status.h"

namespace fanwire {
namespace {

TEST(RpcStatusTest, GoesThereAndBack) {
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
  EXPECT_OK(FromGrpcStatus(grpc::Status::OK));
  const grpc::Status rpc = ToGrpcStatus(absl::ResourceExhaustedError("full"));
  EXPECT_EQ(rpc.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(rpc.error_message(), "full");
  EXPECT_EQ(FromGrpcStatus(rpc), absl::ResourceExhaustedError("full"));
}

TEST(RpcStatusTest, AMessageThatNoPeerWouldTakeIsCut) {
  const std::string longest(2400, 'x');
  EXPECT_EQ(ToGrpcStatus(absl::InternalError(longest)).error_message(), longest);
  EXPECT_EQ(ToGrpcStatus(absl::InternalError(longest + "x")).error_message(), longest + "…");
  // Not inside a character.
  EXPECT_EQ(ToGrpcStatus(absl::InternalError(std::string(2399, 'x') + "é")).error_message(),
            std::string(2399, 'x') + "…");
}

}  // namespace
}  // namespace fanwire
