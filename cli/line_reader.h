// LineReader takes lines from a file descriptor as they come, and can be woken while it waits.
//
// Threading: Next() belongs to one thread; Wake() to any.
// Cost:      holds one line of at most `max_line_bytes` and 64 KiB; what is longer is skipped, not
//            kept.
#pragma once

#include <cstddef>
#include <string>

namespace fanwire::cli {

class LineReader {
 public:
  enum class Result {
    kLine,     // without its newline
    kTooLong,  // over the limit; the next call begins with the next line
    kNothing,  // only if not asked to wait: no whole line is there yet
    kWoken,    // Wake() was called, now or ever
    kEnd,      // end of input
    kFailed,   // the descriptor cannot be read; errno says why
  };

  LineReader(int fd, size_t max_line_bytes);
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  // A last line without newline counts as one.
  Result Next(std::string* line, bool wait);

  void Wake();

 private:
  // Takes a line out of the buffer, if a whole one is there.
  bool TakeLine(std::string* line, Result* result);

  const int fd_;
  const size_t max_line_bytes_;
  const int wake_fd_;
  std::string buffer_;  // read, from `begin_` on not yet given out
  size_t begin_ = 0;
  size_t searched_ = 0;    // no newline before this
  bool skipping_ = false;  // the rest of a line that was too long
  bool at_end_ = false;
};

}  // namespace fanwire::cli
