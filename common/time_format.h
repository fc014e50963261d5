// Formats and parses times in fixed formats.  A call takes less than 100 ns.
//
// Threading: pure functions.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace fanwire {

// "2026-02-10T20:00:00.123456+00:00": UTC, always with six decimals.  Clients receive this format.
std::string FormatIso8601(absl::Time time);
// Appends the text of FormatIso8601() to `out`.
void AppendIso8601(absl::Time time, std::string* out);

// "2026-02-10T20:00:00.123Z": UTC, with milliseconds.  For logs and wsctl's output.
std::string FormatRfc3339(absl::Time time);

// Parses an RFC 3339 time with any offset and up to nine decimals.
//   INVALID_ARGUMENT  `"x": not an RFC 3339 time`
absl::StatusOr<absl::Time> ParseRfc3339(absl::string_view text);

}  // namespace fanwire
