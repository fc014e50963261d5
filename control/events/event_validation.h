// CheckEvent() decides whether an event may be published, and reads from its data what publishing
// needs: the channels of its mirror copies and the conflate key.
//
// Threading: safe from every thread; each thread has a JSON parser of its own.
// Cost:      some 0.3 us for 512 bytes of data where the catalog check is off.  The data is parsed
//            once.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "control/config/service_table.h"
#include "control/events/event.h"

namespace fanwire::control {

// Longest id, idempotency key and excluded connection, in bytes.
inline constexpr size_t kMaxEventIdBytes = 256;
inline constexpr size_t kMaxIdempotencyKeyBytes = 256;
inline constexpr size_t kMaxConnectionIdBytes = 256;
// Copies that one event may have.
inline constexpr size_t kMaxMirrors = 15;

struct CheckedEvent {
  absl::string_view data;             // one JSON object; borrowed from the event
  std::vector<std::string> mirrors;   // channels of the copies; no name twice
  std::vector<std::string> warnings;  // what a stricter catalog would refuse
  uint64_t conflate_key = 0;
};

// Fills `checked`, which may be reused.
//   INVALID_ARGUMENT  names the part and the limit; also: only Fanwire sends events of this name
absl::Status CheckEvent(const Event& event, const ServiceSpec& service, CheckedEvent* checked);

}  // namespace fanwire::control
