#include "control/links/interest_digest.h"

namespace fanwire::control {

void InterestDigest::Add(uint64_t interest_hash) {
  MutexLock lock(&mu_);
  ++value_.count;
  value_.hash ^= interest_hash;
}

void InterestDigest::Remove(uint64_t interest_hash) {
  MutexLock lock(&mu_);
  --value_.count;
  value_.hash ^= interest_hash;
}

void InterestDigest::Clear() {
  MutexLock lock(&mu_);
  value_ = {};
}

InterestDigest::Value InterestDigest::value() const {
  MutexLock lock(&mu_);
  return value_;
}

}  // namespace fanwire::control
