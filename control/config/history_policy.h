// HistoryPolicy says how much of a channel is kept for recovery.
//
// Threading: a value.
#pragma once

#include <cstdint>

#include "absl/time/time.h"

namespace fanwire::control {

struct HistoryPolicy {
  uint32_t size = 0;  // publications; 0: none
  absl::Duration ttl = absl::InfiniteDuration();

  friend bool operator==(const HistoryPolicy&, const HistoryPolicy&) = default;
};

}  // namespace fanwire::control
