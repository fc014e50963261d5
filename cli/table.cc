#include "cli/table.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "cli/exit_code.h"
#include "cli/text.h"

namespace fanwire::cli {
namespace {

constexpr int kLeastCut = 12;  // no text is cut below this width

// The part of a column's name that a choice must give: "CPU %" -> "cpu".
std::string PlainName(absl::string_view name) {
  std::string plain;
  for (const char c : name) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c))) {
      plain += absl::ascii_tolower(static_cast<unsigned char>(c));
    }
  }
  return plain;
}

// As many of the first values as fit, and the number of the others: "a b +3".
std::string FitValues(const Cell& cell, int width) {
  const size_t count = cell.values.size();
  std::string fitting;
  std::string shown;
  for (size_t i = 0; i < count; ++i) {
    absl::StrAppend(&shown, i == 0 ? "" : cell.separator, EscapeControls(cell.values[i]));
    const std::string whole = i + 1 == count ? shown : absl::StrCat(shown, " +", count - i - 1);
    if (DisplayWidth(whole) > width && i > 0) break;
    fitting = whole;
  }
  return CutMiddle(fitting, width);
}

}  // namespace

Cell Cell::List(std::vector<std::string> values, absl::string_view separator, std::string text) {
  Cell cell(std::move(text));
  cell.values = std::move(values);
  cell.separator = std::string(separator);
  return cell;
}

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {
  if (!columns_.empty() && columns_.back().cut == Cut::kNever) columns_.back().cut = Cut::kEnd;
}

std::string WholeCell(const Cell& cell) {
  return EscapeControls(cell.values.empty() ? cell.text
                                            : absl::StrJoin(cell.values, cell.separator));
}

std::string FitCell(const Cell& cell, Cut cut, int width) {
  std::string whole = WholeCell(cell);
  if (cut == Cut::kNever || DisplayWidth(whole) <= width) return whole;
  if (!cell.values.empty()) return FitValues(cell, width);
  return cut == Cut::kMiddle ? CutMiddle(whole, width) : CutToWidth(whole, width);
}

int LeastWidth(const Cell& cell, Cut cut) {
  const int natural = DisplayWidth(WholeCell(cell));
  if (cut == Cut::kNever) return natural;
  if (cell.values.size() < 2) return std::min(natural, kLeastCut);
  const std::string first =
      absl::StrCat(EscapeControls(cell.values[0]), " +", cell.values.size() - 1);
  return std::min(natural, std::max(kLeastCut, DisplayWidth(first)));
}

absl::StatusOr<std::vector<size_t>> ChooseColumns(const Table& table, absl::string_view choice) {
  const std::vector<Column>& columns = table.columns();
  std::vector<size_t> chosen;
  for (const absl::string_view name : absl::StrSplit(choice, ',')) {
    const auto found = std::find_if(columns.begin(), columns.end(), [&](const Column& column) {
      return !PlainName(name).empty() && PlainName(column.name) == PlainName(name);
    });
    if (found == columns.end()) {
      return UsageError(
          absl::StrCat("--columns: no column \"", EscapeControls(name), "\"; known are ",
                       absl::StrJoin(columns, ", ", [](std::string* out, const Column& column) {
                         absl::StrAppend(out, column.name);
                       })));
    }
    chosen.push_back(static_cast<size_t>(found - columns.begin()));
  }
  return chosen;
}

}  // namespace fanwire::cli
