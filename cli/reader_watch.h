// ReaderWatch calls a function once if the reader of an output goes away: if the other end of a
// pipe or of a socket is closed, or a terminal hangs up.  A command that waits for something to
// print learns so at once that nobody will read it, not only when it prints.  A file has no reader
// that can go away.
//
// Threading: calls the function on a thread of its own.
// Ownership: borrows the descriptor, which must stay open as long as the watch lives.
#pragma once

#include <functional>
#include <thread>

namespace fanwire::cli {

class ReaderWatch {
 public:
  // Watches the descriptor `fd`; -1: watches nothing.
  ReaderWatch(int fd, std::function<void()> on_gone);
  ~ReaderWatch();
  ReaderWatch(const ReaderWatch&) = delete;
  ReaderWatch& operator=(const ReaderWatch&) = delete;

 private:
  int end_ = -1;  // an eventfd; readable: the thread ends
  std::thread thread_;
};

}  // namespace fanwire::cli
