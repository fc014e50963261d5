// DeliveryCounts says what became of one publication at the workers.
//
// Threading: a value.
#pragma once

#include <array>
#include <cstdint>

#include "proto/policies.h"

namespace fanwire::control {

// Counts in sessions, over all workers and over the publication's mirrors.
struct DeliveryCounts {
  int64_t matched = 0;
  int64_t written = 0;
  std::array<int64_t, kDropReasons> dropped = {};
  int64_t lost_connection = 0;
  int64_t expired = 0;
  int32_t workers_total = 0;
  int32_t workers_reported = 0;
};

}  // namespace fanwire::control
