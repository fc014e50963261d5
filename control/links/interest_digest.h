// InterestDigest sums up what one worker wants: the number of its channels and patterns, and the
// xor of their InterestHash().  The worker reports the same two numbers in each heartbeat; if they
// differ from these, control and the worker disagree about its interest.
//
// Threading: safe from every thread; nothing is locked under its mutex.
// Cost:      O(1).
#pragma once

#include <cstdint>

#include "common/mutex.h"

namespace fanwire::control {

class InterestDigest {
 public:
  struct Value {
    uint64_t count = 0;
    uint64_t hash = 0;

    friend bool operator==(const Value&, const Value&) = default;
  };

  void Add(uint64_t interest_hash);
  // Undoes one Add() of the same hash.
  void Remove(uint64_t interest_hash);
  void Clear();
  Value value() const;

 private:
  mutable Mutex mu_;  // after WorkerRegistry's; nothing is locked under it
  Value value_ ABSL_GUARDED_BY(mu_);
};

}  // namespace fanwire::control
