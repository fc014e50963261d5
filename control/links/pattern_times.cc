#include "control/links/pattern_times.h"

#include <utility>

namespace fanwire::control {

void PatternTimes::BeginSnapshot() {
  // If an earlier snapshot never ended, before_ still has the patterns that it did not report.
  for (const auto& [pattern, since] : now_) before_.insert_or_assign(pattern, since);
  now_.clear();
}

absl::Duration PatternTimes::Add(uint64_t pattern, absl::Duration since) {
  if (const auto before = before_.find(pattern); before != before_.end()) {
    since = before->second;
    before_.erase(before);
  }
  return now_.try_emplace(pattern, since).first->second;
}

}  // namespace fanwire::control
