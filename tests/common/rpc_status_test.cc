#include "common/rpc_status.h"

#include <grpcpp/support/status.h>

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

}  // namespace
}  // namespace fanwire
