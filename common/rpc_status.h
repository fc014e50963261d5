// absl::Status <-> grpc::Status: same numbers, same text.
#pragma once

#include "absl/status/status.h"

namespace grpc {
class Status;
}

namespace fanwire {

grpc::Status ToGrpcStatus(const absl::Status& status);
absl::Status FromGrpcStatus(const grpc::Status& status);

}  // namespace fanwire
