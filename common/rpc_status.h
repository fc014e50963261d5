// Converts between absl::Status and grpc::Status, which have the same codes and messages.  A
// message of more than 2,400 bytes is cut on its way to gRPC, whose peers refuse long ones.
#pragma once

#include "absl/status/status.h"

namespace grpc {
class Status;
}

namespace fanwire {

grpc::Status ToGrpcStatus(const absl::Status& status);
absl::Status FromGrpcStatus(const grpc::Status& status);

}  // namespace fanwire
