// WebSocket close codes that Fanwire sends, with the reason texts that clients may compare.
// After 4000-4499 a client should reconnect, after 4500-4999 it should not.  An exception is 4001
// of session-buddy's dialect, after which it should not.
// Source: RFC 6455 section 7.4, docs/errors.md
#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"

namespace fanwire {

enum class CloseCode : uint16_t {
  kNormal = 1000,
  kGoingAway = 1001,
  kProtocolError = 1002,
  kInvalidPayload = 1007,   // not UTF-8
  kPolicyViolation = 1008,  // authentication missing or failed
  kMessageTooBig = 1009,
  kInternalError = 1011,   // also: no pong in time
  kServiceRestart = 1012,  // drain
  kTryAgainLater = 1013,   // at capacity
  kSlowSubscriber = 4000,
  kSessionBuddyAuthFailed = 4001,
  kGap = 4003,
  kTokenExpired = 4004,
  kDisconnectedByOperator = 4500,
};

// The reason text sent with `code` when nothing more specific is known; at most 123 bytes.
absl::string_view DefaultReason(CloseCode code);

// Whether a server may send `code` in a close frame (RFC 6455 section 7.4.1 and 7.4.2).
bool IsSendable(uint16_t code);

}  // namespace fanwire
