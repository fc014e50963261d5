// Formats values for people: text on a terminal, sizes, durations and ages.
//
// Threading: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace fanwire::cli {

// The number of terminal columns that `text` takes: none for combining marks, two for East Asian
// wide letters and emoji, one for each byte of broken UTF-8.  Exact enough to align a table.
int DisplayWidth(absl::string_view text);

// The first `width` columns of `text`.  If something is cut, the result ends with "…".
std::string CutToWidth(absl::string_view text, int width);

// Replaces control characters (C0, DEL, C1) by \n, \x1b …, so that text from others cannot
// control the terminal.
std::string EscapeControls(absl::string_view text);

// "0 B", "1.5 KiB", "3.2 GiB".
std::string HumanBytes(uint64_t bytes);

// "12s", "5m", "3h20m", "4d": at most the two largest units.
std::string HumanDuration(absl::Duration duration);

// "12s ago"; "in 5m" if `time` is in the future.
std::string RelativeTime(absl::Time time, absl::Time now);

// The first `max` of `values`, then the number of the others: "a b +3".
std::string JoinSome(const std::vector<std::string>& values, size_t max);

// Parses "250ms", "5s", "1h30m"; a bare number means seconds.
//   INVALID_ARGUMENT  not a duration, or negative
absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text);

}  // namespace fanwire::cli
