// What a worker counts and measures per service, since it started.
//
//   matched = written + dropped{reason} + lost_connection + expired + queued
//
// Threading: loop-confined.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>

#include "common/metrics.h"
#include "proto/policies.h"

namespace fanwire::fanout {

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
  kOriginRefused,
};
inline constexpr size_t kCountedErrors = 10;
inline constexpr const char* kCountedErrorNames[kCountedErrors] = {
    "max_connections", "auth_missing", "auth_failed", "auth_required",    "auth_error",
    "decode_error",    "rate_limited", "send_failed", "handshake_failed", "origin_refused"};

// What became of an event that a client published.
enum class PublishResult : uint8_t {
  kPublished,
  kConflated,    // a newer one replaced it
  kForbidden,    // no rule, or no permission
  kInvalid,      // the request, the channel or the event is bad
  kRateLimited,  // over client_publish_rate
  kTooLarge,     // over max_client_event_bytes
  kLimited,      // too many without an answer, or the service has max_channels channels
  kUnavailable,  // control did not answer; it may have been published
  kFailed,
};
inline constexpr size_t kPublishResults = 9;
inline constexpr const char* kPublishResultNames[kPublishResults] = {
    "published", "conflated", "forbidden",   "invalid", "rate_limited",
    "too_large", "limited",   "unavailable", "failed"};

// Close codes that are counted by themselves, as CloseInfo has them; any other is the last.
inline constexpr uint16_t kCountedCodes[] = {1000, 1001, 1002, 1005, 1006, 1007, 1008, 1009,
                                             1011, 1012, 1013, 4000, 4001, 4003, 4004, 4500};
inline constexpr size_t kCodeCounts = std::size(kCountedCodes) + 1;

struct ServiceCounts {
  // The ledger.
  int64_t matched = 0;
  int64_t written = 0;
  std::array<int64_t, kDropReasons> dropped = {};
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
  std::array<int64_t, kPublishResults> client_publications = {};
  std::array<int64_t, kCodeCounts> disconnects = {};  // by place in kCountedCodes

  void Count(PublishResult result) { ++client_publications[static_cast<size_t>(result)]; }
  void Count(CountedError error) { ++errors[static_cast<size_t>(error)]; }
  void CountDisconnect(uint16_t code) {
    size_t i = 0;
    while (i < std::size(kCountedCodes) && kCountedCodes[i] != code) ++i;
    ++disconnects[i];
  }
};

// Upper bounds in seconds.  kBroadcastBounds and kLatencyBounds are those of existing dashboards;
// kFanoutBounds has all of the former.
inline constexpr double kBroadcastBounds[] = {0.001, 0.005, 0.01, 0.025, 0.05, 0.1,
                                              0.25,  0.5,   1,    2.5,   5};
inline constexpr double kLatencyBounds[] = {0.001, 0.005, 0.01, 0.025, 0.05, 0.1,
                                            0.25,  0.5,   1,    2.5,   5,    10};
inline constexpr double kFanoutBounds[] = {0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001,
                                           0.005,    0.01,    0.025,  0.05,    0.1,    0.25,
                                           0.5,      1,       2.5,    5};

// By kind of channel ("workflow" of "workflow:wf_1").
struct KindCounts {
  int64_t broadcasts = 0;           // publications that arrived
  Histogram fanout{kFanoutBounds};  // of a turn's publications of a channel: from its beginning
                                    // until it was offered to the last subscriber
};

struct Latencies {
  Histogram events{kLatencyBounds};    // from control's reception to the end of the fan-out
  Histogram requests{kLatencyBounds};  // subscribes and requests: until the answer
};

}  // namespace fanwire::fanout
