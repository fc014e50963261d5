// Output writes the results of a command to stdout, as an aligned table, plain rows or JSON, and
// everything else to stderr.
//
// In a table on a terminal, times are relative and cells are coloured; in a table in a pipe, times
// are RFC 3339 and cells are not coloured.  Plain rows are tab-separated, without a header, and
// hold complete values.
//
// Threading: one thread at a time.
// Ownership: borrows the sinks and the clock.
#pragma once

#include <initializer_list>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/clock.h"

namespace fanwire::cli {

// The destination of output: stdout, stderr, or a string in tests.
class Sink {
 public:
  virtual ~Sink() = default;
  // Writes all of `bytes` before it returns.
  //   BrokenPipe()  the reader went away
  //   DATA_LOSS     the bytes cannot be written, for instance because the disk is full
  virtual absl::Status Write(absl::string_view bytes) = 0;
};

// Writes to a file descriptor, unbuffered.  SIGPIPE must be ignored.
class FdSink : public Sink {
 public:
  explicit FdSink(int fd) : fd_(fd) {}
  absl::Status Write(absl::string_view bytes) override;

 private:
  const int fd_;
};

enum class Format { kTable, kPlain, kJson };

enum class Tone { kNormal, kGood, kWarning, kBad, kFaint };

struct Cell {
  Cell(std::string text, Tone tone = Tone::kNormal) : text(std::move(text)), tone(tone) {}
  Cell(const char* text) : text(text) {}
  Cell(absl::string_view text) : text(text) {}
  template <typename T, std::enable_if_t<std::is_integral_v<T>, int> = 0>
  Cell(T number) : text(std::to_string(number)), number(true) {}

  std::string text;
  Tone tone = Tone::kNormal;
  bool number = false;  // aligned to the right
};

class Table {
 public:
  explicit Table(std::vector<std::string> columns) : columns_(std::move(columns)) {}
  // `row` has as many cells as the table has columns.
  void Add(std::vector<Cell> row) { rows_.push_back(std::move(row)); }

  bool empty() const { return rows_.empty(); }
  const std::vector<std::string>& columns() const { return columns_; }
  const std::vector<std::vector<Cell>>& rows() const { return rows_; }

 private:
  std::vector<std::string> columns_;
  std::vector<std::vector<Cell>> rows_;
};

struct OutputOptions {
  Format format = Format::kTable;
  bool terminal = false;        // stdout is a terminal
  bool notes_terminal = false;  // stderr is a terminal
  bool color = false;           // colour stdout
  bool verbose = false;
  int width = 0;  // columns of the terminal; 0: unknown, nothing is cut
};

class Output {
 public:
  Output(const OutputOptions& options, Sink* results, Sink* notes, const Clock* clock)
      : options_(options), results_(results), notes_(notes), clock_(clock) {}

  Format format() const { return options_.format; }
  bool json() const { return options_.format == Format::kJson; }
  bool terminal() const { return options_.terminal; }
  int width() const { return options_.width; }
  absl::Time now() const { return clock_->WallNow(); }

  // Whether a write to stdout has failed, and the status of that write.  Nothing is written to
  // stdout after a failure.
  bool broken() const { return !written_.ok(); }
  const absl::Status& written() const { return written_; }

  // Write results to stdout.  Line() and Raw() write the text unchanged.
  void Raw(absl::string_view bytes);
  void Line(absl::string_view line);
  void Json(const nlohmann::ordered_json& value);      // indented
  void JsonLine(const nlohmann::ordered_json& value);  // on one line
  void Print(const Table& table);
  // One line for each field: its name and its value.
  void Print(const std::vector<std::pair<std::string, Cell>>& fields);

  // Write to stderr.  Verbose() writes only with --verbose.  Progress() writes only on a terminal,
  // and replaces the line of the previous Progress().
  void Note(absl::string_view line);
  void Verbose(absl::string_view line);
  void Progress(absl::string_view line);

  // "3m ago" in a table on a terminal, otherwise RFC 3339; "-" if the time is unknown.
  std::string Time(absl::Time time) const;
  // "1.5 KiB" in a table, otherwise the number.
  Cell Bytes(uint64_t bytes) const;
  // `text` in the colour of `tone`; unchanged if colours are off.
  std::string Paint(absl::string_view text, Tone tone) const;

 private:
  void PrintAligned(const Table& table);
  void PrintPlain(const Table& table);
  void ClearProgress();

  const OutputOptions options_;
  Sink* const results_;
  Sink* const notes_;
  const Clock* const clock_;
  absl::Status written_;
  bool progress_shown_ = false;
};

}  // namespace fanwire::cli
