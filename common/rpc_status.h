// Converts between absl::Status and grpc::Status, which have the same codes and messages.
#pragma once

#include "absl/status/status.h"

namespace grpc {
class Status;
}

namespace fanwire {

grpc::Status ToGrpcStatus(const absl::Status& status);
absl::Status FromGrpcStatus(const grpc::Status& status);

}  // namespace fanwire
