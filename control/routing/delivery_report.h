// DeliveryReport is what a worker says of a publication whose publisher waits for WRITTEN.
//
// Threading: a value.
#pragma once

#include <cstdint>

#include "control/events/delivery_counts.h"

namespace fanwire::control {

// Counts are cumulative; `final` ends this worker's part.
struct DeliveryReport {
  uint64_t tracking_id = 0;
  DeliveryCounts counts;         // workers_… unused
  int64_t first_written_us = 0;  // after the worker received it
  int64_t last_written_us = 0;
  bool final = false;
};

}  // namespace fanwire::control
