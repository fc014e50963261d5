#include "control/routing/waiting_interest.h"

#include <algorithm>
#include <utility>

namespace fanwire::control {

namespace {

WaitingInterest::Links::const_iterator FindLink(const WaitingInterest::Links& links,
                                                const WorkerLink* link) {
  return std::find_if(links.begin(), links.end(),
                      [&](const std::shared_ptr<WorkerLink>& each) { return each.get() == link; });
}

}  // namespace

bool WaitingInterest::Add(absl::string_view channel, const std::shared_ptr<WorkerLink>& link) {
  MutexLock lock(&mu_);
  Links& links = links_[channel];
  if (FindLink(links, link.get()) != links.end()) return false;
  links.push_back(link);
  size_.store(links_.size(), std::memory_order_relaxed);
  return true;
}

bool WaitingInterest::Remove(absl::string_view channel, const WorkerLink* link) {
  MutexLock lock(&mu_);
  const auto it = links_.find(channel);
  if (it == links_.end()) return false;
  const auto place = FindLink(it->second, link);
  if (place == it->second.end()) return false;
  it->second.erase(place);
  if (it->second.empty()) links_.erase(it);
  size_.store(links_.size(), std::memory_order_relaxed);
  return true;
}

void WaitingInterest::RemoveAll(const WorkerLink* link) {
  MutexLock lock(&mu_);
  for (auto it = links_.begin(); it != links_.end();) {
    Links& links = it->second;
    if (const auto place = FindLink(links, link); place != links.end()) links.erase(place);
    if (links.empty()) {
      links_.erase(it++);
    } else {
      ++it;
    }
  }
  size_.store(links_.size(), std::memory_order_relaxed);
}

bool WaitingInterest::Contains(absl::string_view channel, const WorkerLink* link) const {
  MutexLock lock(&mu_);
  const auto it = links_.find(channel);
  return it != links_.end() && FindLink(it->second, link) != it->second.end();
}

WaitingInterest::Links WaitingInterest::Take(absl::string_view channel) {
  MutexLock lock(&mu_);
  const auto it = links_.find(channel);
  if (it == links_.end()) return {};
  Links links = std::move(it->second);
  links_.erase(it);
  size_.store(links_.size(), std::memory_order_relaxed);
  return links;
}

}  // namespace fanwire::control
