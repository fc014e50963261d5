// Clock gives monotonic time, for deadlines and ages, and wall time, for people and tokens.
//
// Threading: safe from every thread.
#pragma once

#include "absl/time/time.h"

namespace fanwire {

class Clock {
 public:
  virtual ~Clock() = default;

  // Monotonic time.  Only differences are meaningful.  Changes of the wall clock do not affect it.
  virtual absl::Duration Now() const = 0;

  // Wall time.
  virtual absl::Time WallNow() const = 0;

  // The machine's clocks.  The returned object is never deleted.
  static Clock* Real();
};

}  // namespace fanwire
