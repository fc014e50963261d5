#include "common/time_format.h"

#include <cstdint>

#include "absl/strings/str_cat.h"

namespace fanwire {
namespace {

void PutDigits(int64_t value, int digits, char* out) {
  for (int i = digits - 1; i >= 0; --i) {
    out[i] = static_cast<char>('0' + value % 10);
    value /= 10;
  }
}

// Writes "YYYY-MM-DDTHH:MM:SS" (19 characters); years 0 to 9999.
void PutSeconds(int64_t unix_seconds, char* out) {
  int64_t days = unix_seconds / 86400;
  int64_t rest = unix_seconds % 86400;
  if (rest < 0) {
    rest += 86400;
    --days;
  }
  // Convert days since 1970-01-01 to a civil date, in eras of 400 years that start at 0000-03-01.
  days += 719468;
  const int64_t era = (days >= 0 ? days : days - 146096) / 146097;
  const int64_t day_of_era = days - era * 146097;
  const int64_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const int64_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t shifted_month = (5 * day_of_year + 2) / 153;
  const int64_t day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
  const int64_t month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
  const int64_t year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
  PutDigits(year, 4, out);
  out[4] = '-';
  PutDigits(month, 2, out + 5);
  out[7] = '-';
  PutDigits(day, 2, out + 8);
  out[10] = 'T';
  PutDigits(rest / 3600, 2, out + 11);
  out[13] = ':';
  PutDigits(rest / 60 % 60, 2, out + 14);
  out[16] = ':';
  PutDigits(rest % 60, 2, out + 17);
}

}  // namespace

void AppendIso8601(absl::Time time, std::string* out) {
  const int64_t micros = absl::ToUnixMicros(time);
  const int64_t fraction = ((micros % 1'000'000) + 1'000'000) % 1'000'000;
  // Cache the text of the last second: consecutive calls are often within the same second.
  struct Second {
    int64_t unix_seconds = INT64_MIN;
    char text[19];
  };
  thread_local Second last;
  const int64_t seconds = (micros - fraction) / 1'000'000;
  if (last.unix_seconds != seconds) {
    PutSeconds(seconds, last.text);
    last.unix_seconds = seconds;
  }
  char text[7];
  text[0] = '.';
  PutDigits(fraction, 6, text + 1);
  out->append(last.text, sizeof(last.text));
  out->append(text, sizeof(text));
  out->append("+00:00");
}

std::string FormatIso8601(absl::Time time) {
  std::string text;
  text.reserve(32);
  AppendIso8601(time, &text);
  return text;
}

std::string FormatRfc3339(absl::Time time) {
  const int64_t millis = absl::ToUnixMillis(time);
  const int64_t fraction = ((millis % 1000) + 1000) % 1000;
  std::string text(24, 'Z');
  PutSeconds((millis - fraction) / 1000, text.data());
  text[19] = '.';
  PutDigits(fraction, 3, text.data() + 20);
  return text;
}

absl::StatusOr<absl::Time> ParseRfc3339(absl::string_view text) {
  absl::Time time;
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, text, &time, &error)) {
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\": not an RFC 3339 time"));
  }
  return time;
}

}  // namespace fanwire
