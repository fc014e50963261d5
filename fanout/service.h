// Service is one service on this worker: its settings, sessions, channels, patterns and counts.
//
// Threading: loop-confined.
// Ownership: owns patterns and references to channels; borrows sessions.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "fanout/channel.h"
#include "fanout/counts.h"
#include "fanout/quota_lease.h"
#include "fanout/service_settings.h"
#include "proto/policies.h"
#include "proto/request_name.h"

namespace fanwire::fanout {

class Service {
 public:
  explicit Service(std::shared_ptr<const ServiceSettings> settings)
      : settings_(std::move(settings)), name_(settings_->name) {}
  ~Service();
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  const std::string& name() const { return name_; }
  const ServiceSettings& settings() const { return *settings_; }
  void set_settings(std::shared_ptr<const ServiceSettings> settings) {
    settings_ = std::move(settings);
  }

  // The requests that responders serve at present.
  const RequestNames& registered_requests() const { return registered_requests_; }
  void set_registered_requests(RequestNames names) { registered_requests_ = std::move(names); }

  ServiceCounts& counts() { return counts_; }
  const ServiceCounts& counts() const { return counts_; }
  QuotaLease& slots() { return slots_; }
  // By kind of channel.
  const std::map<std::string, KindCounts>& kinds() const { return kinds_; }
  Latencies& latencies() { return latencies_; }
  const Latencies& latencies() const { return latencies_; }

  // ---- sessions; the key is the session's own text

  void AddSession(absl::string_view id, Session* session);
  void RemoveSession(absl::string_view id);
  // Returns null if there is none.
  Session* FindSession(absl::string_view id) const;
  const absl::flat_hash_map<absl::string_view, Session*>& sessions() const { return sessions_; }

  // ---- channels and patterns

  using Channels = absl::flat_hash_map<absl::string_view, ChannelRef>;  // the key is its name
  using Patterns = absl::flat_hash_map<std::string, std::unique_ptr<PatternTable>>;

  Channel* FindChannel(Dialect dialect, absl::string_view name) const;
  Channel* FindOrMakeChannel(Dialect dialect, absl::string_view name);
  // Destroys the channel unless it is in use: it has subscribers, a handle, unfinished work, or a
  // position from which subscribers of a pattern continue after the next attachment.
  void ForgetIfIdle(Channel* channel);
  // Whether a session subscribes to the channel, by its name or by a pattern.
  bool HasSubscribers(Channel* channel);

  // A position is worth keeping without a handle only as long as some session has subscribed to the
  // channel without a break: to one that subscribes later, what follows the position is too old.
  // Those that sessions subscribe to by name are not looked at until the last one has left.

  // The channel has a position and, since `now`, no handle.
  void KeepPosition(Channel* channel, absl::Duration now);
  // The channel has lost its last subscriber by name.
  void ChannelIsLeft(Channel* channel) {
    if (channel->handle == 0 && !channel->epoch.empty()) left_.emplace_back(channel);
  }
  // A pattern has lost its last subscriber.
  void PatternIsLeft() { pattern_left_ = true; }
  // Forgets the positions without a handle of channels that nobody subscribes to any more.  Called
  // before a pattern gets its first subscriber, and before positions are told to control.
  // Cost: that of positions that only subscribers of patterns keep, if a pattern was left.
  void ForgetLeftPositions();
  // The same each second.  Also forgets those that subscribers of patterns have not needed for
  // kPositionTtl: control has forgotten these channels.
  void ForgetOldPositions(absl::Duration now);
  static constexpr absl::Duration kPositionTtl = absl::Minutes(1);
  // Positions that the next calls may have to look at.
  size_t watched_positions() const { return left_.size() + released_.size(); }
  const Channels& channels(Dialect dialect) const {
    return channels_[static_cast<size_t>(dialect)];
  }

  PatternTable* FindPattern(Dialect dialect, absl::string_view text) const;
  PatternTable* FindOrMakePattern(Dialect dialect, const ChannelPattern& pattern);
  void ForgetIfIdle(PatternTable* table);
  const Patterns& patterns(Dialect dialect) const {
    return patterns_[static_cast<size_t>(dialect)];
  }

  // The tables of the patterns that match the channel.  Updates the channel's cache of them.
  const std::vector<PatternTable*>& PatternsOf(Channel* channel);

 private:
  std::shared_ptr<const ServiceSettings> settings_;
  const std::string name_;
  RequestNames registered_requests_;
  ServiceCounts counts_;
  QuotaLease slots_;
  std::map<std::string, KindCounts> kinds_;  // channels point to its values
  Latencies latencies_;
  absl::flat_hash_map<absl::string_view, Session*> sessions_;
  std::array<Channels, kDialects> channels_;
  std::array<Patterns, kDialects> patterns_;

  // A table was added or removed; `table` is null if it was added and is gone again.
  struct PatternChange {
    PatternTable* table = nullptr;
    bool added = false;
  };
  void LogPatternChange(PatternTable* table, bool added);

  // A channel that had no subscribers by name when it was released, or lost the last one.
  struct Released {
    ChannelRef channel;
    absl::Duration at;  // the channel's released_at; if that is another one, this one is void
  };
  void ForgetPosition(Channel* channel);

  std::vector<ChannelRef> left_;   // since the last ForgetOldPositions()
  std::deque<Released> released_;  // by time
  bool pattern_left_ = false;      // since the last ForgetLeftPositions()
  uint64_t pattern_version_ = 1;
  std::deque<PatternChange> pattern_changes_;  // the last ones, up to pattern_version_
};

}  // namespace fanwire::fanout
