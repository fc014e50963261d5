// Table is the rows and columns of a list, as commands fill it in and Output prints it.
//
// Threading: belongs to one thread.
#pragma once

#include <cstddef>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fanwire::cli {

enum class Tone { kNormal, kGood, kWarning, kBad, kFaint };

struct Cell {
  Cell(std::string text, Tone tone = Tone::kNormal) : text(std::move(text)), tone(tone) {}
  Cell(const char* text) : text(text) {}
  Cell(absl::string_view text) : text(text) {}
  template <typename T, std::enable_if_t<std::is_integral_v<T>, int> = 0>
  Cell(T number) : text(std::to_string(number)), number(true) {}

  // A cell of several values.  Where the terminal has no room for all, it shows the first ones and
  // the number of the others.  `text` is what a pipe gets.
  static Cell List(std::vector<std::string> values, absl::string_view separator, std::string text);

  std::string text;
  Tone tone = Tone::kNormal;
  bool number = false;  // aligned to the right
  std::vector<std::string> values = {};
  std::string separator = {};
};

// What a column loses where the terminal is too narrow for it.
enum class Cut {
  kNever,
  kEnd,     // free text
  kMiddle,  // names and addresses: their end tells which one it is
  kLast,    // as kEnd, but all other columns that can give way do so first
};

struct Column {
  // `rank` is 0 if the column is always shown; of the others, the highest rank gives way first.
  Column(std::string name, int rank = 0, Cut cut = Cut::kNever)
      : name(std::move(name)), rank(rank), cut(cut) {}
  Column(const char* name, int rank = 0, Cut cut = Cut::kNever)
      : Column(std::string(name), rank, cut) {}

  std::string name;
  int rank;
  Cut cut;
};

class Table {
 public:
  // The last column is cut at its end if nothing else is said of it.
  explicit Table(std::vector<Column> columns);
  // What people read instead of a table without rows; without it they see the header.
  void SetWhenEmpty(std::string text) { when_empty_ = std::move(text); }
  // `row` has as many cells as the table has columns.
  void Add(std::vector<Cell> row) { rows_.push_back(std::move(row)); }

  bool empty() const { return rows_.empty(); }
  const std::vector<Column>& columns() const { return columns_; }
  const std::vector<std::vector<Cell>>& rows() const { return rows_; }
  const std::string& when_empty() const { return when_empty_; }

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
  std::string when_empty_;
};

// The text of `cell` in at most `width` columns of the terminal, or all of it if it is never cut.
std::string FitCell(const Cell& cell, Cut cut, int width);

// All of `cell`, without characters that are unsafe on a terminal.
std::string WholeCell(const Cell& cell);

// The least width at which `cell` is still of use.
int LeastWidth(const Cell& cell, Cut cut);

// Returns the numbers of the columns that `choice` names, in its order: "NAME,NAME".  Case, spaces
// and signs do not matter: "cpu" is CPU %, "last_published" is LAST PUBLISHED.
//   a usage error  no such column; the message lists those that exist
absl::StatusOr<std::vector<size_t>> ChooseColumns(const Table& table, absl::string_view choice);

}  // namespace fanwire::cli
