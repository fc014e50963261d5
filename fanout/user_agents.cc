#include "fanout/user_agents.h"

#include <utility>

#include "common/utf8.h"

namespace fanwire::fanout {

UserAgents::Ref UserAgents::Keep(absl::string_view header) {
  if (header.empty()) return nullptr;
  std::string text = ToUtf8(header, kMaxBytes);
  if (const auto known = entries_.find(text); known != entries_.end()) return Ref(known->second);
  auto* const entry = new Entry(this, std::move(text));
  entries_.emplace(entry->text(), entry);
  return Ref::First(entry);
}

}  // namespace fanwire::fanout
