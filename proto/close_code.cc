#include "proto/close_code.h"

namespace fanwire {

absl::string_view DefaultReason(CloseCode code) {
  switch (code) {
    case CloseCode::kNormal:
      return "";
    case CloseCode::kGoingAway:
      return "going away";
    case CloseCode::kProtocolError:
      return "protocol error";
    case CloseCode::kInvalidPayload:
      return "not UTF-8";
    case CloseCode::kPolicyViolation:
      return "Authentication failed";
    case CloseCode::kMessageTooBig:
      return "message too big";
    case CloseCode::kInternalError:
      return "keepalive ping timeout";
    case CloseCode::kServiceRestart:
      return "service restart";
    case CloseCode::kTryAgainLater:
      return "Server at maximum capacity";
    case CloseCode::kSlowSubscriber:
      return "slow subscriber";
    case CloseCode::kSessionBuddyAuthFailed:
      return "Authentication failed";
    case CloseCode::kGap:
      return "gap";
    case CloseCode::kTokenExpired:
      return "token expired";
    case CloseCode::kDisconnectedByOperator:
      return "disconnected by operator";
  }
  return "";
}

bool IsSendable(uint16_t code) {
  if (code >= 3000 && code <= 4999) return true;
  if (code < 1000 || code > 1014) return false;
  return code != 1004 && code != 1005 && code != 1006;
}

}  // namespace fanwire
