// Backoff computes how long to wait before the next try.  The delays grow exponentially up to a cap
// and have full jitter, so that clients that lost the same server do not return all at once.
//
// Threading: belongs to one thread.
#pragma once

#include <cstdint>
#include <functional>

#include "absl/time/time.h"

namespace fanwire {

class Backoff {
 public:
  // `random` returns 64 random bits; by default it uses the thread's own generator.
  Backoff(absl::Duration first, absl::Duration cap, std::function<uint64_t()> random = nullptr);

  // Returns a random delay between 0 and the smaller of first * 2^tries and the cap.
  absl::Duration Next();

  // Starts again with the first delay.  Call it on the peer's first message, not on connect.
  void Reset() { tries_ = 0; }

  int tries() const { return tries_; }

 private:
  const absl::Duration first_;
  const absl::Duration cap_;
  const std::function<uint64_t()> random_;
  int tries_ = 0;
};

}  // namespace fanwire
