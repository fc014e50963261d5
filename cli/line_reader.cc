#include "cli/line_reader.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>

#include "common/check.h"

namespace fanwire::cli {
namespace {

constexpr size_t kReadBytes = 65536;

}  // namespace

LineReader::LineReader(int fd, size_t max_line_bytes)
    : fd_(fd), max_line_bytes_(max_line_bytes), wake_fd_(eventfd(0, EFD_CLOEXEC)) {
  FANWIRE_CHECK(wake_fd_ >= 0);
}

LineReader::~LineReader() { close(wake_fd_); }

void LineReader::Wake() {
  const uint64_t one = 1;
  FANWIRE_CHECK(write(wake_fd_, &one, sizeof(one)) == sizeof(one));
}

bool LineReader::TakeLine(std::string* line, Result* result) {
  size_t newline = buffer_.find('\n', searched_);
  if (newline == std::string::npos && at_end_ && begin_ < buffer_.size()) newline = buffer_.size();
  if (newline == std::string::npos) {
    searched_ = buffer_.size();
    if (buffer_.size() - begin_ > max_line_bytes_) {  // too long: drop it and skip to its end
      skipping_ = true;
      buffer_.clear();
      begin_ = searched_ = 0;
    }
    return false;
  }
  const size_t length = newline - begin_;
  const bool too_long = skipping_ || length > max_line_bytes_;
  if (!too_long) line->assign(buffer_, begin_, length);
  begin_ = searched_ = std::min(newline + 1, buffer_.size());
  skipping_ = false;
  *result = too_long ? Result::kTooLong : Result::kLine;
  return true;
}

LineReader::Result LineReader::Next(std::string* line, bool wait) {
  while (true) {
    Result result;
    if (TakeLine(line, &result)) return result;
    if (at_end_) {
      // The input ended within a line that was too long.
      if (!skipping_) return Result::kEnd;
      skipping_ = false;
      return Result::kTooLong;
    }
    pollfd ready[2] = {{.fd = fd_, .events = POLLIN, .revents = 0},
                       {.fd = wake_fd_, .events = POLLIN, .revents = 0}};
    const int count = poll(ready, 2, wait ? -1 : 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Result::kFailed;
    if (ready[1].revents != 0) return Result::kWoken;
    if (count == 0) return Result::kNothing;
    buffer_.erase(0, begin_);
    searched_ -= begin_;
    begin_ = 0;
    const size_t held = buffer_.size();
    buffer_.resize(held + kReadBytes);
    const ssize_t got = read(fd_, buffer_.data() + held, kReadBytes);
    buffer_.resize(held + (got > 0 ? static_cast<size_t>(got) : 0));
    if (got == 0) at_end_ = true;
    if (got < 0 && errno != EINTR && errno != EAGAIN) return Result::kFailed;
  }
}

}  // namespace fanwire::cli
