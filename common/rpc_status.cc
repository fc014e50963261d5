#include "common/rpc_status.h"

#include <grpcpp/support/status.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace fanwire {
namespace {

// A peer takes 8 KB of trailers, in which a byte of the message takes up to three.
constexpr size_t kMaxMessageBytes = 2400;

// `message`, or its beginning if the peer would refuse it for its length.
std::string Sendable(absl::string_view message) {
  if (message.size() <= kMaxMessageBytes) return std::string(message);
  size_t cut = kMaxMessageBytes;
  while (cut > 0 && (message[cut] & 0xc0) == 0x80) --cut;  // not inside a character
  return absl::StrCat(message.substr(0, cut), "…");
}

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return grpc::Status(static_cast<grpc::StatusCode>(status.raw_code()), Sendable(status.message()));
}

absl::Status FromGrpcStatus(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

}  // namespace fanwire
