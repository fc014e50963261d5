#include "cli/output.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "cli/exit_code.h"
#include "cli/text.h"
#include "common/time_format.h"

namespace fanwire::cli {
namespace {

constexpr int kGap = 2;           // spaces between the columns of a table
constexpr int kShortestCut = 12;  // the last column is never cut below this width

const char* ColorOf(Tone tone) {
  switch (tone) {
    case Tone::kGood:
      return "\x1b[32m";
    case Tone::kWarning:
      return "\x1b[33m";
    case Tone::kBad:
      return "\x1b[31m";
    case Tone::kFaint:
      return "\x1b[2m";
    case Tone::kNormal:
      break;
  }
  return "";
}

// Invalid UTF-8 is replaced, so that one bad string does not lose the whole result.
std::string Dump(const nlohmann::ordered_json& value, int indent) {
  return value.dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace

absl::Status FdSink::Write(absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd_, bytes.data(), bytes.size());
    if (written >= 0) {
      bytes.remove_prefix(static_cast<size_t>(written));
    } else if (errno == EAGAIN) {  // another process made the pipe non-blocking
      pollfd ready{.fd = fd_, .events = POLLOUT, .revents = 0};
      poll(&ready, 1, -1);
    } else if (errno == EPIPE) {
      return BrokenPipe();
    } else if (errno != EINTR) {
      return absl::DataLossError(absl::StrCat("cannot write the output: ", std::strerror(errno)));
    }
  }
  return absl::OkStatus();
}

void Output::Raw(absl::string_view bytes) {
  ClearProgress();
  if (written_.ok()) written_ = results_->Write(bytes);
}

void Output::Line(absl::string_view line) { Raw(absl::StrCat(line, "\n")); }

void Output::Json(const nlohmann::ordered_json& value) { Line(Dump(value, 2)); }

void Output::JsonLine(const nlohmann::ordered_json& value) { Line(Dump(value, -1)); }

void Output::Print(const Table& table) {
  if (options_.format == Format::kPlain) {
    PrintPlain(table);
  } else {
    PrintAligned(table);
  }
}

void Output::PrintPlain(const Table& table) {
  std::string text;
  for (const std::vector<Cell>& row : table.rows()) {
    for (size_t i = 0; i < row.size(); ++i) {
      absl::StrAppend(&text, i == 0 ? "" : "\t", EscapeControls(row[i].text));
    }
    text += '\n';
  }
  Raw(text);
}

void Output::PrintAligned(const Table& table) {
  const size_t columns = table.columns().size();
  std::vector<int> widths(columns);
  // Columns of numbers are aligned to the right; "-" stands for an unknown number.
  std::vector<bool> right(columns, true), numbers(columns, false);
  for (size_t i = 0; i < columns; ++i) widths[i] = DisplayWidth(table.columns()[i]);
  for (const std::vector<Cell>& row : table.rows()) {
    for (size_t i = 0; i < columns; ++i) {
      widths[i] = std::max(widths[i], DisplayWidth(EscapeControls(row[i].text)));
      if (row[i].number) numbers[i] = true;
      if (!row[i].number && row[i].text != "-") right[i] = false;
    }
  }
  for (size_t i = 0; i < columns; ++i) right[i] = right[i] && numbers[i];
  if (options_.width > 0) {  // on a terminal, cut the last column to fit
    int before = 0;
    for (size_t i = 0; i + 1 < columns; ++i) before += widths[i] + kGap;
    widths.back() = std::min(widths.back(), std::max(options_.width - before, kShortestCut));
  }
  std::string text;
  const auto append_row = [&](const auto& text_of, const auto& tone_of) {
    for (size_t i = 0; i < columns; ++i) {
      const std::string shown = CutToWidth(text_of(i), widths[i]);
      const std::string padding(static_cast<size_t>(widths[i] - DisplayWidth(shown)), ' ');
      const bool last = i + 1 == columns;
      absl::StrAppend(&text, right[i] ? padding : "", Paint(shown, tone_of(i)),
                      right[i] || last ? "" : padding, last ? "\n" : std::string(kGap, ' '));
    }
  };
  append_row([&](size_t i) { return table.columns()[i]; }, [](size_t) { return Tone::kFaint; });
  for (const std::vector<Cell>& row : table.rows()) {
    append_row([&](size_t i) { return EscapeControls(row[i].text); },
               [&](size_t i) { return row[i].tone; });
  }
  Raw(text);
}

void Output::Print(const std::vector<std::pair<std::string, Cell>>& fields) {
  int width = 0;
  for (const auto& [name, cell] : fields) width = std::max(width, DisplayWidth(name));
  std::string text;
  for (const auto& [name, cell] : fields) {
    const std::string value = EscapeControls(cell.text);
    if (options_.format == Format::kPlain) {
      absl::StrAppend(&text, name, "\t", value, "\n");
    } else {
      const std::string padding(static_cast<size_t>(width - DisplayWidth(name) + kGap), ' ');
      absl::StrAppend(&text, Paint(name, Tone::kFaint), padding, Paint(value, cell.tone), "\n");
    }
  }
  Raw(text);
}

void Output::Note(absl::string_view line) {
  ClearProgress();
  notes_->Write(absl::StrCat(line, "\n")).IgnoreError();
}

void Output::Verbose(absl::string_view line) {
  if (options_.verbose) Note(line);
}

void Output::Progress(absl::string_view line) {
  if (!options_.notes_terminal) return;
  notes_->Write(absl::StrCat("\r\x1b[K", EscapeControls(line))).IgnoreError();
  progress_shown_ = true;
}

void Output::ClearProgress() {
  if (!progress_shown_) return;
  notes_->Write("\r\x1b[K").IgnoreError();
  progress_shown_ = false;
}

std::string Output::Time(absl::Time time) const {
  if (time == absl::InfinitePast()) return "-";
  if (options_.terminal && options_.format == Format::kTable) return RelativeTime(time, now());
  return FormatRfc3339(time);
}

Cell Output::Bytes(uint64_t bytes) const {
  if (options_.format == Format::kPlain) return Cell(bytes);
  Cell cell(HumanBytes(bytes));
  cell.number = true;
  return cell;
}

std::string Output::Paint(absl::string_view text, Tone tone) const {
  if (!options_.color || tone == Tone::kNormal || text.empty()) return std::string(text);
  return absl::StrCat(ColorOf(tone), text, "\x1b[0m");
}

}  // namespace fanwire::cli
