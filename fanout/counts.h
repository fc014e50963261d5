// What a worker counts per service, since it started.
//
//   matched = written + dropped{reason} + lost_connection + expired + queued
//
// Threading: loop-confined.
#pragma once

#include <array>
#include <cstdint>

namespace fanwire {

// Numbers as in types.proto.
enum class DropReason : uint8_t { kDropOldest = 1, kConflated = 2, kSlowClosed = 3, kClosing = 4 };
inline constexpr size_t kDropReasonCount = 5;  // by number; 0 is none

// Errors by name, as worker.proto has them.
enum class CountedError : uint8_t {
  kMaxConnections,
  kAuthMissing,
  kAuthFailed,
  kAuthRequired,
  kAuthError,
  kDecodeError,
  kRateLimited,
  kSendFailed,
  kHandshakeFailed,
};
inline constexpr size_t kCountedErrors = 9;
inline constexpr const char* kCountedErrorNames[kCountedErrors] = {
    "max_connections", "auth_missing", "auth_failed", "auth_required",   "auth_error",
    "decode_error",    "rate_limited", "send_failed", "handshake_failed"};

struct ServiceCounts {
  // The ledger.
  int64_t matched = 0;
  int64_t written = 0;
  std::array<int64_t, kDropReasonCount> dropped = {};
  int64_t lost_connection = 0;
  int64_t expired = 0;
  int64_t queued = 0;  // now

  int64_t recovered = 0;
  int64_t publications = 0;  // that arrived, per channel
  int64_t sessions_opened = 0;
  int64_t sessions_closed = 0;
  int64_t peak_sessions = 0;
  int64_t subscriptions = 0;  // now
  int64_t slow_sessions = 0;  // now
  int64_t backlog_bytes = 0;  // now, in sessions' backlogs
  int64_t messages_received = 0;
  int64_t replies = 0;  // messages sent that are no publications
  std::array<int64_t, kCountedErrors> errors = {};

  void Count(CountedError error) { ++errors[static_cast<size_t>(error)]; }
};

}  // namespace fanwire
