// PublishCounts are the counts of one service's publications since this process started.
//
// Threading: a value.
#pragma once

#include <cstdint>

#include "common/metrics.h"
#include "control/routing/refusals.h"

namespace fanwire::control {

struct PublishCounts {
  int64_t accepted = 0;  // publications, without mirror copies
  int64_t mirrored = 0;  // mirror copies
  RefusalTotals refused;
  int64_t duplicates = 0;
  int64_t evicted_keys = 0;  // idempotency keys forgotten before their time
  int64_t catalog_warnings = 0;
  int64_t channels = 0;         // that have state now
  Histogram::Snapshot seconds;  // from receiving an accepted event to its answer
};

}  // namespace fanwire::control
