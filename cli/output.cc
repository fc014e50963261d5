#include "cli/output.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/exit_code.h"
#include "cli/json.h"
#include "cli/table_layout.h"
#include "cli/text.h"
#include "common/time_format.h"

namespace fanwire::cli {
namespace {

constexpr int kGap = 2;  // spaces between the columns of a table

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

void Output::Line(absl::string_view line) { Raw(absl::StrCat(EscapeControls(line), "\n")); }

void Output::Text(absl::string_view text) {
  Raw(options_.terminal ? EscapeLines(text) : std::string(text));
}

void Output::Json(const nlohmann::ordered_json& value) { JsonLine(CompactJson(value)); }

void Output::JsonLine(absl::string_view json) { Raw(absl::StrCat(SafeJson(json), "\n")); }

std::string Output::SafeJson(absl::string_view json) const {
  return options_.terminal ? EscapeJsonControls(json) : std::string(json);
}

void Output::Print(const Table& table) {
  std::vector<size_t> chosen(table.columns().size());
  std::iota(chosen.begin(), chosen.end(), size_t{0});
  if (!options_.columns.empty()) {
    absl::StatusOr<std::vector<size_t>> named = ChooseColumns(table, options_.columns);
    if (!named.ok()) {
      unprintable_ = named.status();
      return;
    }
    chosen = *std::move(named);
  }
  if (options_.format == Format::kPlain) {
    PrintPlain(table, chosen);
  } else if (table.empty() && !table.when_empty().empty()) {
    Line(table.when_empty());
  } else {
    PrintAligned(table, chosen);
  }
}

void Output::PrintPlain(const Table& table, const std::vector<size_t>& chosen) {
  std::string text;
  for (const std::vector<Cell>& row : table.rows()) {
    for (size_t i = 0; i < chosen.size(); ++i) {
      absl::StrAppend(&text, i == 0 ? "" : "\t", EscapeControls(row[chosen[i]].text));
    }
    text += '\n';
  }
  Raw(text);
}

std::string Output::Whole(const Cell& cell) const {
  const bool in_pipe = options_.width == 0 && !options_.wide;
  return in_pipe ? EscapeControls(cell.text) : WholeCell(cell);
}

std::vector<int> Output::WidthsOf(const Table& table, const std::vector<size_t>& chosen) const {
  std::vector<ColumnSpace> spaces;
  spaces.reserve(chosen.size());
  for (const size_t i : chosen) {
    const Column& column = table.columns()[i];
    const int header = DisplayWidth(column.name);
    // A column that was asked for is shown.
    ColumnSpace space{.natural = header,
                      .least = header,
                      .rank = options_.columns.empty() ? column.rank : 0,
                      .last = column.cut == Cut::kLast};
    for (const std::vector<Cell>& row : table.rows()) {
      space.natural = std::max(space.natural, DisplayWidth(Whole(row[i])));
      space.least = std::max(space.least, LeastWidth(row[i], column.cut));
    }
    spaces.push_back(space);
  }
  if (cuts()) return FitColumns(spaces, options_.width, kGap);
  std::vector<int> widths;
  widths.reserve(spaces.size());
  for (const ColumnSpace& space : spaces) widths.push_back(space.natural);
  return widths;
}

void Output::PrintAligned(const Table& table, const std::vector<size_t>& chosen) {
  const std::vector<int> widths = WidthsOf(table, chosen);
  std::string text;
  std::vector<std::string> hidden;
  struct Shown {
    size_t column;
    int width;
    bool right;  // columns of numbers are aligned to the right; "-" stands for an unknown number
  };
  std::vector<Shown> shown;
  for (size_t i = 0; i < chosen.size(); ++i) {
    if (widths[i] == 0) {
      hidden.push_back(table.columns()[chosen[i]].name);
      continue;
    }
    bool numbers = false, texts = false;
    for (const std::vector<Cell>& row : table.rows()) {
      const Cell& cell = row[chosen[i]];
      if (cell.number) numbers = true;
      if (!cell.number && cell.text != "-") texts = true;
    }
    shown.push_back({chosen[i], widths[i], numbers && !texts});
  }
  const auto append = [&](const Shown& place, absl::string_view cell, Tone tone) {
    const bool last = &place == &shown.back();
    const std::string padding(static_cast<size_t>(std::max(0, place.width - DisplayWidth(cell))),
                              ' ');
    absl::StrAppend(&text, place.right ? padding : "", Paint(cell, tone),
                    place.right || last ? "" : padding, last ? "\n" : std::string(kGap, ' '));
  };
  for (const Shown& place : shown) {
    append(place, CutToWidth(table.columns()[place.column].name, place.width), Tone::kFaint);
  }
  for (const std::vector<Cell>& row : table.rows()) {
    for (const Shown& place : shown) {
      const Cell& cell = row[place.column];
      const Cut cut = table.columns()[place.column].cut;
      append(place, cuts() ? FitCell(cell, cut, place.width) : Whole(cell), cell.tone);
    }
  }
  Raw(text);
  if (!hidden.empty() && options_.notes_terminal) {
    Note(absl::StrCat("(not shown: ", absl::StrJoin(hidden, ", "), "; --wide shows all)"));
  }
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
  notes_->Write(absl::StrCat(EscapeLines(line), "\n")).IgnoreError();
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
