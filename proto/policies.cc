#include "proto/policies.h"

#include <array>

namespace fanwire {

absl::string_view DropReasonName(size_t number) {
  constexpr std::array<absl::string_view, kDropReasons> kNames = {
      "other", "drop_oldest", "conflated", "slow_closed", "closing"};
  return kNames[number < kDropReasons ? number : 0];
}

}  // namespace fanwire
