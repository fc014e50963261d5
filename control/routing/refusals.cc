#include "control/routing/refusals.h"

namespace fanwire::control {

absl::string_view RefusalReasonName(RefusalReason reason) {
  switch (reason) {
    case RefusalReason::kInvalid:
      return "invalid";
    case RefusalReason::kUnknownService:
      return "unknown_service";
    case RefusalReason::kConflict:
      return "conflict";
    case RefusalReason::kLimit:
      return "limit";
    case RefusalReason::kUnavailable:
      return "unavailable";
    case RefusalReason::kOther:
      break;
  }
  return "other";
}

RefusalReason RefusalReasonOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return RefusalReason::kInvalid;
    case absl::StatusCode::kNotFound:
      return RefusalReason::kUnknownService;
    case absl::StatusCode::kAlreadyExists:
      return RefusalReason::kConflict;
    case absl::StatusCode::kResourceExhausted:
      return RefusalReason::kLimit;
    case absl::StatusCode::kUnavailable:
      return RefusalReason::kUnavailable;
    default:
      return RefusalReason::kOther;
  }
}

}  // namespace fanwire::control
