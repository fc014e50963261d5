// The state of one channel: its log, the links that want it, and how far each of them has got.
//
// The first publication or the first subscribe makes the state.  Until something is published to
// the channel, it counts against a budget of its own (unpublished_channels.h).
//
// Threading: guarded by the channel's shard (channel_table.h), except for `service`, `dialect`,
//            `pattern_counters`, `name` and `hash`, which never change.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "control/config/service_table.h"
#include "control/engine/engine.h"
#include "control/links/link_handle.h"
#include "control/routing/channel_opening.h"
#include "control/routing/pattern_table.h"
#include "control/routing/unpublished_channels.h"
#include "proto/policies.h"

namespace fanwire::control {

class WorkerLink;
struct ServiceState;

// A link that wants the channel.
struct ChannelLink {
  std::shared_ptr<WorkerLink> link;
  LinkHandle handle = {};
  bool exact = false;       // wants it by the channel's name
  bool by_pattern = false;  // wants it by a pattern, as of ChannelState::pattern_generation
  // Dirty: live publications are not queued on the link.  Those from `next_offset` on will be read
  // from history.
  bool dirty = false;
  int64_t next_offset = 0;
  // Dirty: those at its beginning that were received before this time are left out.
  absl::Duration not_before = -absl::InfiniteDuration();
};

struct ChannelState {
  ServiceState* service = nullptr;
  Dialect dialect = Dialect::kCommon;
  PatternTable::Counters pattern_counters;
  std::string name;
  uint64_t hash = 0;

  std::unique_ptr<EngineChannel> log;       // null for dialects: their frames have no positions
  std::unique_ptr<ChannelOpening> opening;  // null: the log is open and nothing waits
  int64_t routed = 0;                       // last offset that was offered to the links
  int64_t kept = 0;  // of an earlier control's publications, the last offset that the engine kept
  int32_t appending = 0;          // publications that the engine has not acknowledged yet
  bool in_history_order = false;  // it is in its shard's HistoryOrder

  // From the configuration of version `services_version`.
  uint64_t services_version = 0;
  bool keeps_history = false;
  BacklogPolicy backlog = BacklogPolicy::kClose;
  GapPolicy gap = GapPolicy::kNotify;

  // The PatternTable's generation when `links` was last brought up to date.
  uint64_t pattern_generation = 0;
  std::vector<ChannelLink> links;

  std::unique_ptr<UnpublishedChannel> unpublished;  // null: something was published to it

  absl::Duration created;  // monotonic
  int64_t publications = 0;
  int64_t last_published_us = 0;  // wall clock; 0: never
  // When something was last published to it, or its interest by name last changed; monotonic.
  absl::Duration last_used;

  // Whether the engine has opened the log.
  bool is_open() const { return opening == nullptr || opening->is_open(); }

  bool wanted_by_name() const {
    return std::any_of(links.begin(), links.end(),
                       [](const ChannelLink& wanting) { return wanting.exact; });
  }

  Epoch epoch() const { return log == nullptr ? Epoch() : log->head().epoch; }

  ChannelLink* Find(const WorkerLink* link) {
    for (ChannelLink& wanting : links) {
      if (wanting.link.get() == link) return &wanting;
    }
    return nullptr;
  }
};

}  // namespace fanwire::control
