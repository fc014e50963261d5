// RouterOptions holds Router's limits; all of them come from the configuration.
//
// Threading: a value.
#pragma once

#include <cstdint>

#include "absl/time/time.h"

namespace fanwire::control {

struct RouterOptions {
  absl::Duration idempotency_window = absl::Minutes(10);
  uint32_t idempotency_max_keys = 100000;  // per service
  absl::Duration max_receipt_wait = absl::Seconds(30);
  absl::Duration channel_idle_ttl = absl::Hours(24);
};

}  // namespace fanwire::control
