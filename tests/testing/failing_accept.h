// FailingAccept makes accept4() of this process fail as told: what the kernel answers when a
// connection or a descriptor fails cannot be brought about at will.
//
// Threading: safe; there is one at a time.
#pragma once

#include <deque>

#include "absl/base/thread_annotations.h"
#include "common/mutex.h"

namespace fanwire {

class FailingAccept {
 public:
  // The next calls fail with these values of errno; further ones are the kernel's.
  explicit FailingAccept(std::deque<int> errors);
  // Every call fails with `error`.
  explicit FailingAccept(int error);
  ~FailingAccept();
  FailingAccept(const FailingAccept&) = delete;
  FailingAccept& operator=(const FailingAccept&) = delete;

  // The error of the present call; 0: it is the kernel's.
  int Next();

 private:
  Mutex mu_;
  std::deque<int> errors_ ABSL_GUARDED_BY(mu_);
  const int always_ = 0;
};

}  // namespace fanwire
