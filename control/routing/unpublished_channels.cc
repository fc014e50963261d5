#include "control/routing/unpublished_channels.h"

namespace fanwire::control {

UnpublishedChannels::Outcome UnpublishedChannels::Reserve(absl::string_view address, size_t limit) {
  MutexLock lock(&mu_);
  const auto held = by_address_.find(address);
  if (held != by_address_.end() && held->second >= AddressLimit(limit)) {
    return Outcome::kAddressFull;
  }
  if (count_.load(std::memory_order_relaxed) >= static_cast<int64_t>(limit)) return Outcome::kFull;
  count_.fetch_add(1, std::memory_order_relaxed);
  if (!address.empty()) ++by_address_[address];
  return Outcome::kReserved;
}

void UnpublishedChannels::Release(absl::string_view address) {
  MutexLock lock(&mu_);
  count_.fetch_sub(1, std::memory_order_relaxed);
  const auto held = by_address_.find(address);
  if (held != by_address_.end() && --held->second == 0) by_address_.erase(held);
}

}  // namespace fanwire::control
