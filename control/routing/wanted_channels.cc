#include "control/routing/wanted_channels.h"

namespace fanwire::control {

void WantedChannels::Add(absl::string_view channel) {
  MutexLock lock(&mu_);
  ++links_[channel];
}

void WantedChannels::Remove(absl::string_view channel) {
  MutexLock lock(&mu_);
  const auto it = links_.find(channel);
  if (it != links_.end() && --it->second == 0) links_.erase(it);
}

std::vector<std::string> WantedChannels::List() const {
  MutexLock lock(&mu_);
  std::vector<std::string> channels;
  channels.reserve(links_.size());
  for (const auto& [channel, links] : links_) channels.push_back(channel);
  return channels;
}

}  // namespace fanwire::control
