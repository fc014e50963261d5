// LineReader reads lines from a file descriptor as they arrive.  Another thread can wake it while
// it waits.
//
// Threading: Next() is called from one thread; Wake() from any thread.
// Cost:      holds one line of at most `max_line_bytes`, and 64 KiB.  Longer lines are skipped, not
//            kept.
#pragma once

#include <cstddef>
#include <string>

namespace fanwire::cli {

class LineReader {
 public:
  enum class Result {
    kLine,     // `line` holds a line, without its newline
    kTooLong,  // a line over the limit was skipped
    kNothing,  // only without `wait`: no complete line has arrived yet
    kWoken,    // Wake() has been called, at any time
    kEnd,      // end of input
    kFailed,   // the descriptor cannot be read; errno says why
  };

  LineReader(int fd, size_t max_line_bytes);
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  // Reads the next line into `line`.  With `wait`, waits for one.  The last line needs no newline.
  Result Next(std::string* line, bool wait);

  void Wake();

 private:
  // Takes a line out of the buffer.  Returns false if the buffer holds no complete line.
  bool TakeLine(std::string* line, Result* result);

  const int fd_;
  const size_t max_line_bytes_;
  const int wake_fd_;
  std::string buffer_;  // bytes read; those before `begin_` have been returned
  size_t begin_ = 0;
  size_t searched_ = 0;    // there is no newline between begin_ and this
  bool skipping_ = false;  // skipping the rest of a line that is too long
  bool at_end_ = false;
};

}  // namespace fanwire::cli
