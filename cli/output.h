// Output writes the results of a command to stdout, as an aligned table, plain rows or JSON, and
// everything else to stderr.
//
// In a table on a terminal, times are relative and cells are coloured, and columns give way or are
// cut so that each row fits on a line; in a table in a pipe, times are RFC 3339, cells are not
// coloured, and nothing is cut.  Plain rows are tab-separated, without a header, and hold complete
// values.
//
// Text from others is never written to a terminal as it is, see common/terminal_text.h.
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
#include "cli/table.h"
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
  // The file descriptor that is written to; -1 if there is none.
  virtual int fd() const { return -1; }
};

// Writes to a file descriptor, unbuffered.  SIGPIPE must be ignored.
class FdSink : public Sink {
 public:
  explicit FdSink(int fd) : fd_(fd) {}
  absl::Status Write(absl::string_view bytes) override;
  int fd() const override { return fd_; }

 private:
  const int fd_;
};

enum class Format { kTable, kPlain, kJson };

struct OutputOptions {
  Format format = Format::kTable;
  bool terminal = false;        // stdout is a terminal
  bool notes_terminal = false;  // stderr is a terminal
  bool color = false;           // colour stdout
  bool verbose = false;
  int width = 0;             // columns of the terminal; 0: unknown, nothing is cut
  bool wide = false;         // tables: all columns, nothing is cut
  std::string columns = {};  // tables: only these columns, "NAME,NAME"; empty: all that fit
};

class Output {
 public:
  Output(const OutputOptions& options, Sink* results, Sink* notes, const Clock* clock)
      : options_(options), results_(results), notes_(notes), clock_(clock) {}

  Format format() const { return options_.format; }
  bool json() const { return options_.format == Format::kJson; }
  bool terminal() const { return options_.terminal; }
  int width() const { return options_.width; }
  bool chooses_columns() const { return !options_.columns.empty(); }
  absl::Time now() const { return clock_->WallNow(); }
  // The file descriptor of stdout; -1 if there is none.
  int results_fd() const { return results_->fd(); }

  // Whether a write to stdout has failed, and the status of that write.  Nothing is written to
  // stdout after a failure.
  bool broken() const { return !written_.ok(); }
  const absl::Status& written() const { return written_; }
  // The status of that write; else a usage error if the chosen columns of a table do not exist.
  const absl::Status& outcome() const { return written_.ok() ? unprintable_ : written_; }

  // Write results to stdout.  Raw() writes the bytes unchanged.
  void Raw(absl::string_view bytes);
  // One line for people.  Unsafe characters are escaped.
  void Line(absl::string_view line);
  // Text that scripts may read, such as YAML.  It is unchanged, except for unsafe characters on a
  // terminal.
  void Text(absl::string_view text);
  // JSON on one line: `value` in compact form, or `json` as it was received.
  void Json(const nlohmann::ordered_json& value);
  void JsonLine(absl::string_view json);
  void Print(const Table& table);
  // One line for each field: its name and its value.
  void Print(const std::vector<std::pair<std::string, Cell>>& fields);

  // Write to stderr, with unsafe characters escaped.  Verbose() writes only with --verbose.
  // Progress() writes only on a terminal, and replaces the line of the previous Progress().
  void Note(absl::string_view line);
  void Verbose(absl::string_view line);
  void Progress(absl::string_view line);

  // "3m ago" in a table on a terminal, otherwise RFC 3339; "-" if the time is unknown.
  std::string Time(absl::Time time) const;
  // "1.5 KiB" in a table, otherwise the number.
  Cell Bytes(uint64_t bytes) const;
  // `json`, in which unsafe characters are written as \\u202e if stdout is a terminal.
  std::string SafeJson(absl::string_view json) const;
  // `text` in the colour of `tone`; unchanged if colours are off.
  std::string Paint(absl::string_view text, Tone tone) const;

 private:
  void PrintAligned(const Table& table, const std::vector<size_t>& chosen);
  void PrintPlain(const Table& table, const std::vector<size_t>& chosen);
  // The widths of the chosen columns; 0: not shown.
  std::vector<int> WidthsOf(const Table& table, const std::vector<size_t>& chosen) const;
  // Whether tables are made to fit the terminal.
  bool cuts() const { return options_.width > 0 && !options_.wide; }
  // The text of `cell` where nothing is cut.
  std::string Whole(const Cell& cell) const;
  void ClearProgress();

  const OutputOptions options_;
  Sink* const results_;
  Sink* const notes_;
  const Clock* const clock_;
  absl::Status written_;
  absl::Status unprintable_;
  bool progress_shown_ = false;
};

}  // namespace fanwire::cli
