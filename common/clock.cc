#include "common/clock.h"

#include <ctime>

#include "absl/time/clock.h"

namespace fanwire {
namespace {

class RealClock final : public Clock {
 public:
  absl::Duration Now() const override {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return absl::DurationFromTimespec(now);
  }
  absl::Time WallNow() const override {
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return absl::TimeFromTimespec(now);
  }
};

}  // namespace

Clock* Clock::Real() {
  static RealClock* const clock = new RealClock;
  return clock;
}

}  // namespace fanwire
