#include "control/requests/responder_pool.h"

#include <algorithm>
#include <utility>

namespace fanwire::control {

ResponderPool::Entry* ResponderPool::Add(Entry entry) {
  for (const std::string& name : entry.listed) entry.names.Add(name);
  entries_.push_back(std::make_unique<Entry>(std::move(entry)));
  return entries_.back().get();
}

ResponderPool::Entry* ResponderPool::Find(uint64_t number) const {
  for (const std::unique_ptr<Entry>& entry : entries_) {
    if (entry->number == number) return entry.get();
  }
  return nullptr;
}

void ResponderPool::Remove(uint64_t number) {
  std::erase_if(entries_, [number](const auto& entry) { return entry->number == number; });
}

ResponderPool::Choice ResponderPool::Choose(absl::string_view request,
                                            absl::Span<const uint64_t> tried) const {
  Choice choice;
  for (const std::unique_ptr<Entry>& entry : entries_) {
    if (entry->leaving || !entry->names.Matches(request) ||
        std::find(tried.begin(), tried.end(), entry->number) != tried.end()) {
      continue;
    }
    if (entry->outstanding.size() >= entry->max_concurrent) {
      choice.later = true;
      continue;
    }
    const Entry* const best = choice.entry;
    if (best == nullptr || entry->outstanding.size() < best->outstanding.size() ||
        (entry->outstanding.size() == best->outstanding.size() &&
         entry->last_given < best->last_given)) {
      choice.entry = entry.get();
    }
  }
  if (choice.entry != nullptr) choice.later = false;
  return choice;
}

void ResponderPool::Give(Entry* entry, uint64_t request_id) {
  entry->outstanding.insert(request_id);
  entry->last_given = ++given_;
}

bool ResponderPool::Serves(absl::string_view request, bool leaving) const {
  return std::any_of(entries_.begin(), entries_.end(), [&](const auto& entry) {
    return (leaving || !entry->leaving) && entry->names.Matches(request);
  });
}

std::set<std::string> ResponderPool::Names() const {
  std::set<std::string> names;
  for (const std::unique_ptr<Entry>& entry : entries_) {
    if (!entry->leaving) names.insert(entry->listed.begin(), entry->listed.end());
  }
  return names;
}

}  // namespace fanwire::control
