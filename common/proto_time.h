// Durations and times to and from protobuf's messages.
//
// Protobuf's ranges are narrower than Abseil's: a Duration has at most 10,000 years either way, a
// Timestamp the years 1 to 9999.  What lies outside, infinite values too, is written as the nearest
// value that protobuf can express.
//
// Threading: pure functions.
// Cost:      no allocation.
#pragma once

#include "absl/time/time.h"

namespace google::protobuf {
class Duration;
class Timestamp;
}  // namespace google::protobuf

namespace fanwire {

// The sum of the seconds and the nanoseconds, even if the parts are out of range or have different
// signs.
absl::Duration ToDuration(const google::protobuf::Duration& proto);
absl::Time ToTime(const google::protobuf::Timestamp& proto);

// Both parts of a Duration have the same sign; the nanoseconds of a Timestamp are never negative.
// Fractions of a nanosecond are cut off: a Duration towards zero, a Timestamp towards the past.
void SetDuration(absl::Duration value, google::protobuf::Duration* out);
void SetTimestamp(absl::Time value, google::protobuf::Timestamp* out);

}  // namespace fanwire
