// Writes log lines for operators to stderr: one event a line, as key=value pairs or JSON.
//
//   LogInfo("session.open", {{"service", name}, {"session", id}});
//   I 2026-02-10T12:00:00.123Z session.open service=mahavishnu session=1f190019
//
// Levels: error, an operator must act; warning, degraded but serving; info, lifecycle; debug,
// details of sessions.  Log lines never contain payloads or tokens.
//
// Threading: safe from every thread; lines are not interleaved.
// Cost:      one relaxed load if the level is disabled.  The field values are computed even then,
//            so guard expensive ones with LogEnabled().
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/mutex.h"

namespace fanwire {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarning, kError };
enum class LogFormat : uint8_t { kText, kJson };

// One key=value pair.  It may refer to its arguments, so it must not outlive the call of Log().
class LogField {
 public:
  LogField(absl::string_view key, absl::string_view value) : key_(key), value_(value) {}
  LogField(absl::string_view key, const char* value) : key_(key), value_(value) {}
  LogField(absl::string_view key, const std::string& value) : key_(key), value_(value) {}
  LogField(absl::string_view key, const absl::Status& status)
      : key_(key), text_(status.ToString()), owned_(true) {}
  LogField(absl::string_view key, absl::Duration duration)
      : key_(key), text_(absl::FormatDuration(duration)), owned_(true) {}
  LogField(absl::string_view key, bool value) : key_(key), value_(value ? "true" : "false") {}
  LogField(absl::string_view key, double value)
      : key_(key), text_(std::to_string(value)), owned_(true), number_(true) {}
  template <typename T,
            std::enable_if_t<std::is_integral_v<T> && !std::is_same_v<T, bool>, int> = 0>
  LogField(absl::string_view key, T value)
      : key_(key), text_(std::to_string(value)), owned_(true), number_(true) {}

  absl::string_view key() const { return key_; }
  absl::string_view value() const { return owned_ ? absl::string_view(text_) : value_; }
  bool is_number() const { return number_; }

 private:
  absl::string_view key_;
  absl::string_view value_;
  std::string text_;
  bool owned_ = false;
  bool number_ = false;
};

using LogFields = std::initializer_list<LogField>;

bool LogEnabled(LogLevel level);
void Log(LogLevel level, absl::string_view event, LogFields fields);

inline void LogDebug(absl::string_view event, LogFields fields = {}) {
  if (LogEnabled(LogLevel::kDebug)) Log(LogLevel::kDebug, event, fields);
}
inline void LogInfo(absl::string_view event, LogFields fields = {}) {
  if (LogEnabled(LogLevel::kInfo)) Log(LogLevel::kInfo, event, fields);
}
inline void LogWarning(absl::string_view event, LogFields fields = {}) {
  Log(LogLevel::kWarning, event, fields);
}
inline void LogError(absl::string_view event, LogFields fields = {}) {
  Log(LogLevel::kError, event, fields);
}

// The level and format may be set at any time.
void SetLogLevel(LogLevel level);
LogLevel GetLogLevel();
void SetLogFormat(LogFormat format);

// Parses "debug", "info", "warning" or "error".  Returns false if `text` is none of these.
bool ParseLogLevel(absl::string_view text, LogLevel* level);
absl::string_view LogLevelName(LogLevel level);

// Returns the line that Log() writes, without the newline.  For tests.
std::string FormatLogLine(LogLevel level, LogFormat format, absl::Time time,
                          absl::string_view event, LogFields fields);

// Limits the log lines of a repeated failure to one per interval, and counts those left out.
//
//   static LogLimiter limiter(absl::Seconds(10));
//   if (int64_t left_out; limiter.Admit(&left_out)) LogWarning(…, {{"left_out", left_out}});
class LogLimiter {
 public:
  explicit LogLimiter(absl::Duration interval) : interval_(interval) {}

  bool Admit(int64_t* left_out);

 private:
  const absl::Duration interval_;
  Mutex mu_{LockRank::kLog};
  absl::Duration next_ ABSL_GUARDED_BY(mu_) = -absl::InfiniteDuration();
  int64_t left_out_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace fanwire
