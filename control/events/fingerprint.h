// Fingerprint() tells an event from another one that has the same idempotency key or seq.
//
// Threading: a pure function.
// Cost:      some 0.05 us for 512 bytes of data.
#pragma once

#include <cstdint>

#include "absl/hash/hash.h"
#include "control/events/event.h"

namespace fanwire::control {

// A hash of channel, event name and payload as they were received.  It has a meaning only within
// this process.  The JSON of a typed payload does not count: protobuf writes the fields of equal
// payloads in different orders.
inline uint64_t Fingerprint(const Event& event) {
  const absl::string_view payload = event.typed_url.empty() ? event.json : event.typed_bytes;
  return absl::HashOf(event.channel, event.event, event.typed_url, payload);
}

}  // namespace fanwire::control
