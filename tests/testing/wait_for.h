// Waits for what a real thread or process will do.  The timeout is there to catch hangs, not to
// measure time.
#pragma once

#include <chrono>
#include <functional>
#include <thread>

#include "absl/time/time.h"

namespace fanwire {

// Whether `condition` came true within `timeout`.
inline bool WaitFor(const std::function<bool()>& condition,
                    absl::Duration timeout = absl::Seconds(20)) {
  const auto give_up = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(timeout);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > give_up) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace fanwire
