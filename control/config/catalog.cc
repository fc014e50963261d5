#include "control/config/catalog.h"

#include <utility>

namespace fanwire::control {

bool FitsTemplate(absl::string_view channel_template, absl::string_view channel) {
  while (true) {
    const size_t open = channel_template.find('{');
    if (open == absl::string_view::npos) return channel_template == channel;
    if (channel.substr(0, open) != channel_template.substr(0, open)) return false;
    channel.remove_prefix(open);
    const size_t close = channel_template.find('}', open);
    if (close == absl::string_view::npos) return false;
    channel_template.remove_prefix(close + 1);
    if (channel_template.empty()) return !channel.empty();
    const size_t colon = channel.find(':');
    if (colon == absl::string_view::npos || colon == 0) return false;
    channel.remove_prefix(colon);
  }
}

Catalog::Catalog(std::vector<Event> events, Check check)
    : events_(std::move(events)), check_(check) {
  for (size_t i = 0; i < events_.size(); ++i) by_name_.emplace(events_[i].name, i);
}

const Catalog::Event* Catalog::Find(absl::string_view name) const {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : &events_[it->second];
}

}  // namespace fanwire::control
