// Time as a dependency: monotonic for deadlines and ages, wall time for what people and tokens see.
//
// Threading: safe from every thread.
#pragma once

#include "absl/time/time.h"

namespace fanwire {

class Clock {
 public:
  virtual ~Clock() = default;

  // Monotonic: only differences mean anything.  Unaffected by clock jumps.
  virtual absl::Duration Now() const = 0;

  // Wall time.
  virtual absl::Time WallNow() const = 0;

  // The machine's clocks; never deleted.
  static Clock* Real();
};

}  // namespace fanwire
