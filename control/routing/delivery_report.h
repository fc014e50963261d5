// DeliveryReport is a worker's report on a publication whose publisher waits for WRITTEN.
//
// Threading: a value.
#pragma once

#include <cstdint>

#include "control/events/delivery_counts.h"

namespace fanwire::control {

// Counts are cumulative.  After a report with `final` the worker sends no more for this id.
struct DeliveryReport {
  uint64_t tracking_id = 0;
  DeliveryCounts counts;         // workers_… unused
  int64_t first_written_us = 0;  // after the worker received it
  int64_t last_written_us = 0;
  bool final = false;
};

}  // namespace fanwire::control
