// Text for people: widths on a terminal, sizes, ages.
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

// Columns that `text` takes: none for combining marks, two for East Asian wide letters and emoji.
// Close enough to align a table; broken UTF-8 counts a column a byte.
int DisplayWidth(absl::string_view text);

// At most `width` columns of `text`; what is cut is shown by a last "…".
std::string CutToWidth(absl::string_view text, int width);

// Control characters (C0, DEL, C1) as \n, \x1b …: what others wrote must not drive the terminal.
std::string EscapeControls(absl::string_view text);

// "0 B", "1.5 KiB", "3.2 GiB".
std::string HumanBytes(uint64_t bytes);

// "12s", "5m", "3h20m", "4d": the two largest units at most.
std::string HumanDuration(absl::Duration duration);

// "12s ago"; "in 5m" if it lies ahead.
std::string RelativeTime(absl::Time time, absl::Time now);

// The first `max` of `values`, then "+3".
std::string JoinSome(const std::vector<std::string>& values, size_t max);

// "250ms", "5s", "1h30m"; a bare number means seconds.
//   INVALID_ARGUMENT  no duration, or below zero
absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text);

}  // namespace fanwire::cli
