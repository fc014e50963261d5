// TokenBucket limits the rate of things that may come in bursts: it holds at most `burst` tokens,
// gains `rate` tokens a second, and each thing takes one.
//
// Rate and burst belong to the caller's settings and are passed with each call, so that many
// buckets share them and a change takes effect at once.  A rate must be positive: a caller without
// a limit does not call Take().
//
// Threading: not safe; confined to its owner.
// Cost:      16 bytes; a few floating-point operations a call.
#pragma once

#include <algorithm>
#include <cstdint>

#include "absl/time/time.h"

namespace fanwire {

// `Stored` is the type that the tokens are kept in: `float` where there are very many buckets.
template <typename Stored>
class TokenBucket {
 public:
  // Begins full.
  TokenBucket(double burst, absl::Duration now)
      : refilled_ns_(absl::ToInt64Nanoseconds(now)), tokens_(static_cast<Stored>(burst)) {}

  // Adds what has come in since the last call, then takes a token.  Returns false if there is less
  // than one.
  bool Take(double rate, double burst, absl::Duration now) {
    Refill(rate, burst, now);
    if (tokens_ < 1) return false;
    tokens_ -= 1;
    return true;
  }

  // Takes `count` tokens, whether there are so many or not.  Returns the seconds until the owed
  // ones have come in; 0 if none is owed.
  double Spend(double count, double rate, double burst, absl::Duration now) {
    Refill(rate, burst, now);
    tokens_ -= static_cast<Stored>(count);
    return tokens_ < 0 ? -static_cast<double>(tokens_) / rate : 0;
  }

  // Puts tokens back that were taken but not used.
  void GiveBack(double count = 1) { tokens_ += static_cast<Stored>(count); }

  // Drops the tokens over `burst`, which has become smaller.
  void Limit(double burst) {
    tokens_ = static_cast<Stored>(std::min(burst, static_cast<double>(tokens_)));
  }

  // Seconds from the last Take(), which failed, until there will be a token.
  double SecondsToNext(double rate) const { return (1 - static_cast<double>(tokens_)) / rate; }

 private:
  void Refill(double rate, double burst, absl::Duration now) {
    const int64_t now_ns = absl::ToInt64Nanoseconds(now);
    const double passed = 1e-9 * static_cast<double>(now_ns - refilled_ns_);
    refilled_ns_ = now_ns;
    tokens_ = static_cast<Stored>(std::min(burst, static_cast<double>(tokens_) + passed * rate));
  }

  int64_t refilled_ns_;  // of the last Refill(); an absl::Duration takes twice the bytes
  Stored tokens_;
};

}  // namespace fanwire
