#include "cli/text.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace fanwire::cli {
namespace {

struct CodePoint {
  uint32_t value;
  size_t bytes;
  bool valid;
};

// Decodes the first code point of `text`, which is not empty.
CodePoint Decode(absl::string_view text) {
  const auto byte = [&](size_t at) { return static_cast<unsigned char>(text[at]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return {first, 1, true};
  const size_t length = first >= 0xf0 && first < 0xf5   ? 4
                        : first >= 0xe0 && first < 0xf0 ? 3
                        : first >= 0xc2 && first < 0xe0 ? 2
                                                        : 0;
  if (length == 0 || text.size() < length) return {first, 1, false};
  uint32_t value = first & (0xffu >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {first, 1, false};
    value = value << 6 | (byte(i) & 0x3fu);
  }
  return {value, length, true};
}

int WidthOf(const CodePoint& point) {
  if (!point.valid) return 1;
  struct Range {
    uint32_t from, to;
  };
  static constexpr std::array<Range, 5> kNone = {
      {{0x0300, 0x036f}, {0x200b, 0x200f}, {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}}};
  static constexpr std::array<Range, 9> kWide = {{{0x1100, 0x115f},
                                                  {0x2e80, 0x303e},
                                                  {0x3041, 0xa4cf},
                                                  {0xac00, 0xd7a3},
                                                  {0xf900, 0xfaff},
                                                  {0xfe30, 0xfe6f},
                                                  {0xff00, 0xff60},
                                                  {0x1f300, 0x1faff},
                                                  {0x20000, 0x3fffd}}};
  const auto holds = [&](const Range& range) {
    return point.value >= range.from && point.value <= range.to;
  };
  if (std::any_of(kNone.begin(), kNone.end(), holds)) return 0;
  return std::any_of(kWide.begin(), kWide.end(), holds) ? 2 : 1;
}

}  // namespace

int DisplayWidth(absl::string_view text) {
  int width = 0;
  while (!text.empty()) {
    const CodePoint point = Decode(text);
    width += WidthOf(point);
    text.remove_prefix(point.bytes);
  }
  return width;
}

std::string CutToWidth(absl::string_view text, int width) {
  if (DisplayWidth(text) <= width) return std::string(text);
  if (width <= 0) return "";
  int taken = 0;
  size_t bytes = 0;
  while (bytes < text.size()) {
    const CodePoint point = Decode(text.substr(bytes));
    if (taken + WidthOf(point) > width - 1) break;
    taken += WidthOf(point);
    bytes += point.bytes;
  }
  return absl::StrCat(text.substr(0, bytes), "…");
}

std::string EscapeControls(absl::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const CodePoint point = Decode(text);
    const bool control = point.value < 0x20 || (point.value >= 0x7f && point.value < 0xa0);
    if (!control || !point.valid) {
      if (point.valid) {
        out.append(text.data(), point.bytes);
      } else {
        absl::StrAppendFormat(&out, "\\x%02x", point.value);
      }
    } else if (point.value == '\n') {
      out += "\\n";
    } else if (point.value == '\t') {
      out += "\\t";
    } else if (point.value == '\r') {
      out += "\\r";
    } else {
      absl::StrAppendFormat(&out, "\\x%02x", point.value);
    }
    text.remove_prefix(point.bytes);
  }
  return out;
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
