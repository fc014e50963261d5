// Times as text, without the weight of general formatting.
//
// Threading: pure functions.  Cost: under 100 ns.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace fanwire {

// "2026-02-10T20:00:00.123456+00:00": UTC, always six decimals; what clients get.
std::string FormatIso8601(absl::Time time);
// Appends the same to `out`.
void AppendIso8601(absl::Time time, std::string* out);

// "2026-02-10T20:00:00.123Z": UTC, milliseconds; logs and command output.
std::string FormatRfc3339(absl::Time time);

// Takes RFC 3339 with any offset and up to nine decimals.
//   INVALID_ARGUMENT  `"x": no RFC 3339 time`
absl::StatusOr<absl::Time> ParseRfc3339(absl::string_view text);

}  // namespace fanwire
