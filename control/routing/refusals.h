// Counts the publications that were refused, by reason.
//
// Threading: RefusalCounts is safe from every thread; the functions are pure.
// Cost:      one relaxed addition a refusal.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <numeric>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace fanwire::control {

// A small closed set: metrics have a series for each reason of each service.
enum class RefusalReason : uint8_t {
  kInvalid,         // the event, or the message that held it, breaks a rule
  kUnknownService,  // it names a service that is not configured
  kConflict,        // its idempotency key or seq belongs to another event
  kLimit,           // the service has as many channels as it may
  kUnavailable,     // control is stopping, or the engine cannot take it
  kOther,
};
inline constexpr size_t kRefusalReasons = 6;

// The label's value: "invalid", "unknown_service", "conflict", "limit", "unavailable", "other".
absl::string_view RefusalReasonName(RefusalReason reason);

// The reason of a refusal with this status.
RefusalReason RefusalReasonOf(const absl::Status& status);

// What RefusalCounts has counted, by reason.
struct RefusalTotals {
  std::array<int64_t, kRefusalReasons> by_reason = {};

  int64_t of(RefusalReason reason) const { return by_reason[static_cast<size_t>(reason)]; }
  void Add(const RefusalTotals& other) {
    for (size_t i = 0; i < kRefusalReasons; ++i) by_reason[i] += other.by_reason[i];
  }
  int64_t total() const { return std::accumulate(by_reason.begin(), by_reason.end(), int64_t{0}); }
};

class RefusalCounts {
 public:
  void Add(const absl::Status& status) {
    counts_[static_cast<size_t>(RefusalReasonOf(status))].fetch_add(1, std::memory_order_relaxed);
  }

  RefusalTotals Get() const {
    RefusalTotals refusals;
    for (size_t i = 0; i < kRefusalReasons; ++i) {
      refusals.by_reason[i] = counts_[i].load(std::memory_order_relaxed);
    }
    return refusals;
  }

 private:
  std::array<std::atomic<int64_t>, kRefusalReasons> counts_ = {};
};

}  // namespace fanwire::control
