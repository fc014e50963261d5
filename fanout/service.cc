#include "fanout/service.h"

#include <algorithm>
#include <utility>

#include "proto/policies.h"

namespace fanwire::fanout {

namespace {

// Changes of the patterns from which a channel brings its own list up to date; one that is further
// behind makes it anew.
constexpr size_t kMaxPatternChanges = 4096;

}  // namespace

Service::~Service() = default;

void Service::AddSession(absl::string_view id, Session* session) {
  sessions_.emplace(id, session);
  ++counts_.sessions_opened;
  counts_.peak_sessions = std::max(counts_.peak_sessions, static_cast<int64_t>(sessions_.size()));
}

void Service::RemoveSession(absl::string_view id) {
  sessions_.erase(id);
  ++counts_.sessions_closed;
}

Session* Service::FindSession(absl::string_view id) const {
  const auto it = sessions_.find(id);
  return it == sessions_.end() ? nullptr : it->second;
}

Channel* Service::FindChannel(Dialect dialect, absl::string_view name) const {
  const Channels& channels = channels_[static_cast<size_t>(dialect)];
  const auto it = channels.find(name);
  return it == channels.end() ? nullptr : it->second.get();
}

Channel* Service::FindOrMakeChannel(Dialect dialect, absl::string_view name) {
  if (Channel* const known = FindChannel(dialect, name); known != nullptr) return known;
  auto* const channel = new Channel;
  channel->service = this;
  channel->dialect = dialect;
  channel->name = std::string(name);
  const std::string kind(ChannelKind(name));
  channel->kind = &kinds_[settings_->channel_kinds.contains(kind) ? kind : "other"];
  if (dialect == Dialect::kSessionBuddy) channel->backlog = BacklogPolicy::kLatest;
  channels_[static_cast<size_t>(dialect)].emplace(channel->name, ChannelRef(channel));
  return channel;
}

void Service::ForgetIfIdle(Channel* channel) {
  if (channel->interest > 0 || !channel->subscribers.empty() || channel->handle != 0 ||
      channel->first_run != nullptr || !channel->arrived.empty()) {
    return;
  }
  if (!channel->epoch.empty() && HasSubscribers(channel)) return;
  Channels& channels = channels_[static_cast<size_t>(channel->dialect)];
  const auto it = channels.find(channel->name);
  if (it == channels.end() || it->second.get() != channel) return;
  // The key lives in the channel: it must outlive the entry.
  const ChannelRef last = it->second;
  channels.erase(it);
}

bool Service::HasSubscribers(Channel* channel) {
  if (!channel->subscribers.empty()) return true;
  const std::vector<PatternTable*>& patterns = PatternsOf(channel);
  return std::any_of(patterns.begin(), patterns.end(),
                     [](const PatternTable* table) { return !table->subscribers.empty(); });
}

void Service::KeepPosition(Channel* channel, absl::Duration now) {
  channel->released_at = now;
  if (channel->subscribers.empty()) released_.push_back({ChannelRef(channel), now});
}

void Service::ForgetPosition(Channel* channel) {
  channel->epoch.clear();
  channel->offset = 0;
  ForgetIfIdle(channel);
}

void Service::ForgetLeftPositions() {
  const auto forget = [&](Channel* channel) {
    if (channel->handle != 0 || channel->epoch.empty()) return true;
    if (HasSubscribers(channel)) return false;
    ForgetPosition(channel);
    return true;
  };
  std::erase_if(left_, [&](const ChannelRef& channel) { return forget(channel.get()); });
  if (!std::exchange(pattern_left_, false)) return;
  std::erase_if(released_, [&](const Released& released) {
    return released.channel->released_at != released.at || forget(released.channel.get());
  });
}

void Service::ForgetOldPositions(absl::Duration now) {
  ForgetLeftPositions();
  for (const ChannelRef& channel : std::exchange(left_, {})) {
    if (channel->subscribers.empty()) KeepPosition(channel.get(), now);
  }
  while (!released_.empty() && released_.front().at <= now - kPositionTtl) {
    const Released released = std::move(released_.front());
    released_.pop_front();
    Channel* const channel = released.channel.get();
    if (channel->released_at == released.at && channel->handle == 0 && !channel->epoch.empty() &&
        channel->subscribers.empty()) {
      ForgetPosition(channel);
    }
  }
}

PatternTable* Service::FindPattern(Dialect dialect, absl::string_view text) const {
  const Patterns& patterns = patterns_[static_cast<size_t>(dialect)];
  const auto it = patterns.find(text);
  return it == patterns.end() ? nullptr : it->second.get();
}

PatternTable* Service::FindOrMakePattern(Dialect dialect, const ChannelPattern& pattern) {
  std::unique_ptr<PatternTable>& table = patterns_[static_cast<size_t>(dialect)][pattern.text()];
  if (table == nullptr) {
    table = std::make_unique<PatternTable>(this, dialect, pattern);
    LogPatternChange(table.get(), /*added=*/true);
  }
  return table.get();
}

void Service::ForgetIfIdle(PatternTable* table) {
  if (table->interest > 0 || !table->subscribers.empty() || table->subscribers.walked()) return;
  LogPatternChange(table, /*added=*/false);
  Patterns& patterns = patterns_[static_cast<size_t>(table->dialect)];
  patterns.erase(patterns.find(table->pattern.text()));
}

void Service::LogPatternChange(PatternTable* table, bool added) {
  ++pattern_version_;
  pattern_changes_.push_back({table, added});
  if (added) {
    table->added = pattern_version_;
  } else if (const uint64_t age = pattern_version_ - table->added; age < pattern_changes_.size()) {
    pattern_changes_[pattern_changes_.size() - 1 - age].table = nullptr;
  }
  if (pattern_changes_.size() > kMaxPatternChanges) pattern_changes_.pop_front();
}

const std::vector<PatternTable*>& Service::PatternsOf(Channel* channel) {
  if (channel->pattern_version == pattern_version_) return channel->patterns;
  const uint64_t behind = pattern_version_ - channel->pattern_version;
  const Patterns& all = patterns_[static_cast<size_t>(channel->dialect)];
  const auto add = [&](PatternTable* table) {
    if (table->pattern.Matches(channel->name)) channel->patterns.push_back(table);
  };
  if (channel->pattern_version == 0 || behind > pattern_changes_.size() || behind > all.size()) {
    channel->patterns.clear();
    for (const auto& [text, table] : all) add(table.get());
  } else {
    for (size_t i = pattern_changes_.size() - behind; i < pattern_changes_.size(); ++i) {
      const PatternChange& change = pattern_changes_[i];
      if (!change.added) {
        std::erase(channel->patterns, change.table);
      } else if (change.table != nullptr && change.table->dialect == channel->dialect) {
        add(change.table);
      }
    }
  }
  channel->pattern_version = pattern_version_;
  return channel->patterns;
}

}  // namespace fanwire::fanout
