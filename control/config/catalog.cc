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

Catalog::Catalog(std::vector<CatalogEvent> events, Check check,
                 const std::vector<Message>& messages,
                 std::vector<std::shared_ptr<const CatalogDescriptors>> descriptors)
    : check_(check), events_(std::move(events)), descriptors_(std::move(descriptors)) {
  for (size_t i = 0; i < events_.size(); ++i) {
    if (by_name_.contains(events_[i].name)) continue;
    const size_t first = shapes_.size();
    for (size_t j = i; j < events_.size(); ++j) {
      if (events_[j].name != events_[i].name) continue;
      shapes_.push_back(
          {.event = &events_[j], .object = AddObject(events_[j].keys, events_[j].closed)});
    }
    by_name_[events_[i].name] = {.first = first, .count = shapes_.size() - first};
  }
  for (const Message& message : messages) messages_[message.event->message] = message;
}

uint32_t Catalog::AddObject(const std::vector<CatalogKey>& keys, bool closed) {
  const auto index = static_cast<uint32_t>(objects_.size());
  objects_.emplace_back();
  // Those of the objects in it come before: a run has no gaps.
  std::vector<Key> compiled;
  compiled.reserve(keys.size());
  for (const CatalogKey& key : keys) compiled.push_back(Compile(key));
  objects_[index] = {.first = static_cast<uint32_t>(keys_.size()),
                     .count = static_cast<uint32_t>(compiled.size()),
                     .closed = closed};
  for (Key& key : compiled) keys_.push_back(std::move(key));
  return index;
}

Catalog::Key Catalog::Compile(const CatalogKey& key) {
  Key out{.name = key.name, .type = key.type, .optional = key.optional, .values = key.values};
  if (key.keys.empty()) return out;
  if (key.type == CatalogType::kObject) {
    out.object = AddObject(key.keys, /*closed=*/false);
  } else {
    Key element = Compile(key.keys[0]);
    out.element = static_cast<uint32_t>(keys_.size());
    keys_.push_back(std::move(element));
  }
  return out;
}

absl::Span<const Catalog::Shape> Catalog::Find(absl::string_view name) const {
  const auto it = by_name_.find(name);
  if (it == by_name_.end()) return {};
  return absl::MakeConstSpan(shapes_).subspan(it->second.first, it->second.count);
}

const Catalog::Message* Catalog::FindMessage(absl::string_view full_name) const {
  const auto it = messages_.find(full_name);
  return it == messages_.end() ? nullptr : &it->second;
}

}  // namespace fanwire::control
