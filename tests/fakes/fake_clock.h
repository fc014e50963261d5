// A clock that stands until the test moves it.
#pragma once

#include "absl/time/time.h"
#include "common/clock.h"
#include "common/mutex.h"

namespace fanwire {

class FakeClock final : public Clock {
 public:
  absl::Duration Now() const override {
    MutexLock lock(&mu_);
    return now_;
  }
  absl::Time WallNow() const override {
    MutexLock lock(&mu_);
    return wall_;
  }

  // Both clocks.
  void Advance(absl::Duration by) {
    MutexLock lock(&mu_);
    now_ += by;
    wall_ += by;
  }
  // Wall time alone, as when an operator sets the clock.
  void SetWall(absl::Time wall) {
    MutexLock lock(&mu_);
    wall_ = wall;
  }

 private:
  mutable Mutex mu_{LockRank::kLog};  // the time may be asked for under any other
  absl::Duration now_ ABSL_GUARDED_BY(mu_) = absl::Seconds(1000);
  absl::Time wall_ ABSL_GUARDED_BY(mu_) = absl::FromUnixSeconds(1'770'000'000);
};

}  // namespace fanwire
