// Formats values for people: text on a terminal, sizes, durations and ages.
//
// Threading: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/terminal_text.h"

namespace fanwire::cli {

bool IsUtf8(absl::string_view text);

// Whether `text`, which comes from `name`, is UTF-8.
//   INVALID_ARGUMENT  "NAME:LINE:COLUMN: byte 0xE9 is not UTF-8"; columns count bytes
absl::Status CheckUtf8(absl::string_view text, absl::string_view name);

// The number of terminal columns that `text` takes (cli/char_width.h).
int DisplayWidth(absl::string_view text);

// The first `width` columns of `text`.  If something is cut, the result ends with "…".
std::string CutToWidth(absl::string_view text, int width);

// `text` without as much of its middle as `width` columns require: "workfl…wf_12345".  Of names and
// addresses the end tells more than the beginning, so twice as much of it stays.
std::string CutMiddle(absl::string_view text, int width);

// As EscapeControls(), but keeps the line breaks of a text of several lines.
std::string EscapeLines(absl::string_view text);

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
