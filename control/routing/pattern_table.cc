#include "control/routing/pattern_table.h"

#include <algorithm>
#include <utility>

namespace fanwire::control {

absl::string_view PatternTable::FirstSegment(absl::string_view pattern) {
  const absl::string_view first = ChannelKind(pattern);
  return first == "**" ? absl::string_view("*") : first;
}

bool PatternTable::Add(const ChannelPattern& pattern, const std::shared_ptr<WorkerLink>& link) {
  MutexLock lock(&mu_);
  List& list = by_first_[FirstSegment(pattern.text())];
  for (const Wanted& wanted : list) {
    if (wanted.link == link && wanted.pattern.text() == pattern.text()) return false;
  }
  list.push_back({pattern, link});
  version_.fetch_add(1, std::memory_order_release);
  return true;
}

bool PatternTable::Remove(const ChannelPattern& pattern, const WorkerLink* link) {
  MutexLock lock(&mu_);
  const auto it = by_first_.find(FirstSegment(pattern.text()));
  if (it == by_first_.end()) return false;
  const size_t removed = std::erase_if(it->second, [&](const Wanted& wanted) {
    return wanted.link.get() == link && wanted.pattern.text() == pattern.text();
  });
  if (it->second.empty()) by_first_.erase(it);
  if (removed > 0) version_.fetch_add(1, std::memory_order_release);
  return removed > 0;
}

void PatternTable::RemoveAll(const WorkerLink* link) {
  MutexLock lock(&mu_);
  size_t removed = 0;
  for (auto it = by_first_.begin(); it != by_first_.end();) {
    removed +=
        std::erase_if(it->second, [&](const Wanted& wanted) { return wanted.link.get() == link; });
    if (it->second.empty()) {
      by_first_.erase(it++);
    } else {
      ++it;
    }
  }
  if (removed > 0) version_.fetch_add(1, std::memory_order_release);
}

bool PatternTable::Wants(const WorkerLink* link) const {
  MutexLock lock(&mu_);
  return std::any_of(by_first_.begin(), by_first_.end(), [&](const auto& entry) {
    return std::any_of(entry.second.begin(), entry.second.end(),
                       [&](const Wanted& wanted) { return wanted.link.get() == link; });
  });
}

void PatternTable::Match(absl::string_view channel,
                         std::vector<std::shared_ptr<WorkerLink>>* links) const {
  MutexLock lock(&mu_);
  for (const absl::string_view first : {ChannelKind(channel), absl::string_view("*")}) {
    const auto it = by_first_.find(first);
    if (it == by_first_.end()) continue;
    for (const Wanted& wanted : it->second) {
      if (wanted.pattern.Matches(channel) &&
          std::find(links->begin(), links->end(), wanted.link) == links->end()) {
        links->push_back(wanted.link);
      }
    }
  }
}

}  // namespace fanwire::control
