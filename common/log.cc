#include "common/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/clock.h"
#include "common/plain_text.h"
#include "common/terminal_text.h"
#include "common/time_format.h"

namespace fanwire {
namespace {

std::atomic<LogLevel> current_level{LogLevel::kInfo};
std::atomic<LogFormat> current_format{LogFormat::kText};

// spdlog writes the lines; this file formats them.
spdlog::logger& Logger() {
  static spdlog::logger* const logger = [] {
    auto* made = new spdlog::logger("fanwire", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%v");
    made->set_level(spdlog::level::trace);
    made->flush_on(spdlog::level::trace);
    return made;
  }();
  return *logger;
}

char Letter(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return 'D';
    case LogLevel::kInfo:
      return 'I';
    case LogLevel::kWarning:
      return 'W';
    case LogLevel::kError:
      return 'E';
  }
  return '?';
}

// Appends `text` with quotes, backslashes and control characters escaped as in JSON, and so are the
// other characters that are unsafe on a terminal.
void AppendEscaped(absl::string_view text, std::string* out) {
  std::string escaped;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      escaped.push_back('\\');
      escaped.push_back(c);
    } else if (c == '\n') {
      escaped.append("\\n");
    } else if (byte < 0x20) {
      absl::StrAppendFormat(&escaped, "\\u%04x", byte);
    } else {
      escaped.push_back(c);
    }
  }
  out->append(EscapeJsonControls(escaped));
}

bool NeedsQuotes(absl::string_view value) {
  if (value.empty()) return true;
  if (!IsPrintableAscii(value) && EscapeControls(value) != value) return true;
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte == 0x7f || c == '"' || c == '=' || c == '\\') return true;
  }
  return false;
}

}  // namespace

bool LogEnabled(LogLevel level) { return level >= current_level.load(std::memory_order_relaxed); }

std::string FormatLogLine(LogLevel level, LogFormat format, absl::Time time,
                          absl::string_view event, LogFields fields) {
  std::string line;
  if (format == LogFormat::kJson) {
    absl::StrAppend(&line, "{\"level\":\"", LogLevelName(level), "\",\"time\":\"",
                    FormatRfc3339(time), "\",\"event\":\"");
    AppendEscaped(event, &line);
    line.push_back('"');
    for (const LogField& field : fields) {
      line.append(",\"");
      AppendEscaped(field.key(), &line);
      line.append("\":");
      if (!field.is_number()) line.push_back('"');
      AppendEscaped(field.value(), &line);
      if (!field.is_number()) line.push_back('"');
    }
    line.push_back('}');
    return line;
  }
  line.push_back(Letter(level));
  absl::StrAppend(&line, " ", FormatRfc3339(time), " ", event);
  for (const LogField& field : fields) {
    absl::StrAppend(&line, " ", field.key(), "=");
    if (NeedsQuotes(field.value())) {
      line.push_back('"');
      AppendEscaped(field.value(), &line);
      line.push_back('"');
    } else {
      absl::StrAppend(&line, field.value());
    }
  }
  return line;
}

void Log(LogLevel level, absl::string_view event, LogFields fields) {
  if (!LogEnabled(level)) return;
  const std::string line = FormatLogLine(level, current_format.load(std::memory_order_relaxed),
                                         Clock::Real()->WallNow(), event, fields);
  Logger().log(spdlog::level::info, spdlog::string_view_t(line.data(), line.size()));
}

void SetLogLevel(LogLevel level) { current_level.store(level, std::memory_order_relaxed); }
LogLevel GetLogLevel() { return current_level.load(std::memory_order_relaxed); }
void SetLogFormat(LogFormat format) { current_format.store(format, std::memory_order_relaxed); }

bool ParseLogLevel(absl::string_view text, LogLevel* level) {
  for (const LogLevel candidate :
       {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarning, LogLevel::kError}) {
    if (text == LogLevelName(candidate)) {
      *level = candidate;
      return true;
    }
  }
  return false;
}

absl::string_view LogLevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "unknown";
}

bool LogLimiter::Admit(int64_t* left_out) {
  const absl::Duration now = Clock::Real()->Now();
  MutexLock lock(&mu_);
  if (now < next_) {
    ++left_out_;
    return false;
  }
  next_ = now + interval_;
  *left_out = left_out_;
  left_out_ = 0;
  return true;
}

}  // namespace fanwire
