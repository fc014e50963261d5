// Backoff says how long to wait before the next try: exponential, capped, with full jitter, so that
// many clients that lost the same server do not come back together.
//
// Threading: none.
#pragma once

#include <cstdint>
#include <functional>

#include "absl/time/time.h"

namespace fanwire {

class Backoff {
 public:
  // `random` yields 64 random bits; by default the thread's own generator.
  Backoff(absl::Duration first, absl::Duration cap, std::function<uint64_t()> random = nullptr);

  // Between 0 and first * 2^tries, at most the cap.
  absl::Duration Next();

  // Begins anew.  Call it when the peer has spoken, not when the connection stands.
  void Reset() { tries_ = 0; }

  int tries() const { return tries_; }

 private:
  const absl::Duration first_;
  const absl::Duration cap_;
  const std::function<uint64_t()> random_;
  int tries_ = 0;
};

}  // namespace fanwire
