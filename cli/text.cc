#include "cli/text.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "cli/char_width.h"
#include "common/plain_text.h"
#include "common/utf8.h"

namespace fanwire::cli {
namespace {

// The columns that the last glyphs of `text` may take, and how many bytes they have.
size_t BytesOfEnd(absl::string_view text, int width) {
  int left = DisplayWidth(text);
  absl::string_view rest = text;
  while (left > width && !rest.empty()) {
    const Glyph glyph = FirstGlyph(rest);
    left -= glyph.columns;
    rest.remove_prefix(glyph.bytes);
  }
  return rest.size();
}

// How many bytes the first glyphs of `text` have that fit into `width` columns.
size_t BytesOfBeginning(absl::string_view text, int width) {
  int taken = 0;
  size_t bytes = 0;
  while (bytes < text.size()) {
    const Glyph glyph = FirstGlyph(text.substr(bytes));
    if (taken + glyph.columns > width) break;
    taken += glyph.columns;
    bytes += glyph.bytes;
  }
  return bytes;
}

}  // namespace

bool IsUtf8(absl::string_view text) { return FirstBadUtf8(text) == absl::string_view::npos; }

absl::Status CheckUtf8(absl::string_view text, absl::string_view name) {
  const size_t bad = FirstBadUtf8(text);
  if (bad == absl::string_view::npos) return absl::OkStatus();
  const absl::string_view before = text.substr(0, bad);
  const size_t newline = before.rfind('\n');  // npos + 1 is 0
  return absl::InvalidArgumentError(
      absl::StrFormat("%s:%d:%d: byte 0x%02X is not UTF-8", name,
                      1 + std::count(before.begin(), before.end(), '\n'), bad - newline,
                      static_cast<unsigned char>(text[bad])));
}

int DisplayWidth(absl::string_view text) {
  if (IsPrintableAscii(text)) return static_cast<int>(text.size());
  int width = 0;
  while (!text.empty()) {
    const Glyph glyph = FirstGlyph(text);
    width += glyph.columns;
    text.remove_prefix(glyph.bytes);
  }
  return width;
}

std::string CutToWidth(absl::string_view text, int width) {
  if (DisplayWidth(text) <= width) return std::string(text);
  if (width <= 0) return "";
  return absl::StrCat(text.substr(0, BytesOfBeginning(text, width - 1)), "…");
}

std::string CutMiddle(absl::string_view text, int width) {
  if (DisplayWidth(text) <= width) return std::string(text);
  if (width <= 0) return "";
  const int beginning = (width - 1) / 3;
  const size_t end = BytesOfEnd(text, width - 1 - beginning);
  return absl::StrCat(text.substr(0, BytesOfBeginning(text, beginning)), "…",
                      text.substr(text.size() - end));
}

std::string EscapeLines(absl::string_view text) {
  return absl::StrJoin(
      absl::StrSplit(text, '\n'), "\n",
      [](std::string* out, absl::string_view line) { absl::StrAppend(out, EscapeControls(line)); });
}

std::string HumanBytes(uint64_t bytes) {
  if (bytes < 1024) return absl::StrCat(bytes, " B");
  double value = static_cast<double>(bytes);
  const char* unit = "";
  for (const char* next : {"KiB", "MiB", "GiB", "TiB"}) {
    if (value < 1024) break;
    value /= 1024;
    unit = next;
  }
  return value < 9.95 ? absl::StrFormat("%.1f %s", value, unit)
                      : absl::StrFormat("%.0f %s", value, unit);
}

std::string HumanDuration(absl::Duration duration) {
  const int64_t seconds = std::max<int64_t>(0, absl::ToInt64Seconds(duration));
  const int64_t minutes = seconds / 60, hours = minutes / 60, days = hours / 24;
  const auto two = [](int64_t big, const char* big_unit, int64_t small, const char* small_unit) {
    return small == 0 ? absl::StrCat(big, big_unit)
                      : absl::StrCat(big, big_unit, small, small_unit);
  };
  if (seconds < 60) return absl::StrCat(seconds, "s");
  if (minutes < 60) return two(minutes, "m", minutes < 10 ? seconds % 60 : 0, "s");
  if (hours < 24) return two(hours, "h", minutes % 60, "m");
  return two(days, "d", days < 10 ? hours % 24 : 0, "h");
}

std::string RelativeTime(absl::Time time, absl::Time now) {
  // Clocks differ a little; a recent event must not appear to be in the future.
  if (time > now + absl::Seconds(5)) return absl::StrCat("in ", HumanDuration(time - now));
  return absl::StrCat(HumanDuration(now - time), " ago");
}

std::string JoinSome(const std::vector<std::string>& values, size_t max) {
  if (values.size() <= max) return absl::StrJoin(values, " ");
  return absl::StrCat(
      absl::StrJoin(values.begin(), values.begin() + static_cast<int64_t>(max), " "), " +",
      values.size() - max);
}

absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text) {
  absl::Duration duration;
  double seconds = 0;
  const bool number = absl::SimpleAtod(text, &seconds) && std::isfinite(seconds);
  if (number) duration = absl::Seconds(seconds);
  if ((!number && !absl::ParseDuration(text, &duration)) || duration == absl::InfiniteDuration()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", EscapeControls(text), "\" is not a duration; write 250ms, 5s, 10m or 24h"));
  }
  if (duration < absl::ZeroDuration()) {
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is negative"));
  }
  return duration;
}

}  // namespace fanwire::cli
