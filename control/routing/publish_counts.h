// PublishCounts says what was published to one service since this process started.
//
// Threading: a value.
#pragma once

#include <cstdint>

#include "common/metrics.h"
#include "control/routing/refusals.h"

namespace fanwire::control {

struct PublishCounts {
  int64_t accepted = 0;  // publications, mirror copies not counted
  int64_t mirrored = 0;  // copies
  RefusalTotals refused;
  int64_t duplicates = 0;
  int64_t evicted_keys = 0;  // idempotency keys forgotten before their time
  int64_t catalog_warnings = 0;
  int64_t channels = 0;         // with state, now
  Histogram::Snapshot seconds;  // that accepting took
};

}  // namespace fanwire::control
