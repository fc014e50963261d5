#include "common/backoff.h"

#include <algorithm>
#include <utility>

#include "common/uuid.h"

namespace fanwire {

Backoff::Backoff(absl::Duration first, absl::Duration cap, std::function<uint64_t()> random)
    : first_(first), cap_(cap), random_(random ? std::move(random) : Random64) {}

absl::Duration Backoff::Next() {
  const int doublings = std::min(tries_++, 30);
  const absl::Duration ceiling = std::min(cap_, first_ * (int64_t{1} << doublings));
  const double share = static_cast<double>(random_() >> 11) * 0x1p-53;
  return ceiling * share;
}

}  // namespace fanwire
