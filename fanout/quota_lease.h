// QuotaLease is a worker's part of a service's connection slots, leased from control in chunks, so
// that all workers together never have more sessions than the service may.
//
// Threading: loop-confined.
#pragma once

#include <algorithm>
#include <cstdint>

namespace fanwire::fanout {

class QuotaLease {
 public:
  // Takes a slot; false if none is free.
  bool Take() {
    if (in_use_ >= held_) return false;
    ++in_use_;
    return true;
  }
  void Give() { --in_use_; }

  // Somebody waits for a slot, or does not any more.
  void AddWaiter() { ++waiting_; }
  void RemoveWaiter() { --waiting_; }

  // How many slots to ask for in all, if control should hear of it: more when somebody waits or the
  // last chunk is nearly used, fewer when a lot lies idle.  0: as asked before.
  uint32_t Wanted(uint32_t limit) {
    chunk_ = std::max<uint32_t>(8, limit / 64);
    const uint32_t needed = in_use_ + waiting_;
    uint32_t want = std::max(want_, held_);
    if (needed + chunk_ / 4 > held_ || held_ > needed + 2 * chunk_) want = needed + chunk_;
    if (want == want_) return 0;
    want_ = want;
    return want;
  }

  // Control grants so many in all; what is in use stays.  Returns whether control must be told of
  // that, because it granted less than was held.
  bool Grant(uint32_t slots) {
    const bool less = slots < held_;
    held_ = std::max(slots, in_use_);
    if (less) want_ = held_;
    return less;
  }

  // Control is a new one, or away: what was asked must be asked again.
  void Reset() { want_ = 0; }

  uint32_t held() const { return held_; }
  uint32_t in_use() const { return in_use_; }
  uint32_t waiting() const { return waiting_; }

 private:
  uint32_t held_ = 0;
  uint32_t in_use_ = 0;
  uint32_t waiting_ = 0;
  uint32_t want_ = 0;
  uint32_t chunk_ = 8;
};

}  // namespace fanwire::fanout
