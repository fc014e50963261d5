// InterestHash is the hash of one channel or pattern that a worker wants.  A worker reports the
// number of its interests and the xor of their hashes in each heartbeat; control compares them with
// its own (worker.proto, Heartbeat.interest_hash).  Both ends must compute the same numbers.
//
// Threading: pure function.
#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"
#include "proto/policies.h"

namespace fanwire {

// FNV-1a, 64 bits, of "SERVICE\0DIALECT\0CHANNEL" with the dialect's number in decimal digits.
uint64_t InterestHash(absl::string_view service, Dialect dialect, absl::string_view channel);

}  // namespace fanwire
