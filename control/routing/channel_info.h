// What operators are told of a channel: its state, and events of its history.
//
// Threading: values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "control/engine/engine.h"
#include "control/events/publication.h"

namespace fanwire::control {

// A channel in a list, which may be long: enough to order it and to ask for the rest.
struct ListedChannel {
  const std::string* service = nullptr;        // lives as long as the directory
  std::shared_ptr<const std::string> channel;  // shared with the channel's state
  int64_t publications = 0;                    // since the state was created
  int64_t last_published_us = 0;               // wall clock; 0: never
};

// One channel, for operators.
struct ChannelSummary {
  std::string service;
  std::string channel;
  HistoryState history;
  int64_t publications = 0;  // since the state was created
  absl::Time last_published = absl::InfinitePast();
  int32_t workers = 0;  // with interest, by name or pattern
};

// Events of one channel, oldest first unless asked in reverse.
struct HistorySlice {
  Position head;
  std::vector<PublicationPtr> publications;
  bool more = false;  // cut at `limit` or `max_bytes`
  // Why events after HistoryRequest::since are missing from history: "epoch_changed",
  // "offset_unknown", "history_disabled" or "history_expired".  Empty if none is missing.
  const char* incomplete_reason = "";
};

struct HistoryRequest {
  absl::string_view service = {};
  absl::string_view channel = {};
  size_t limit = 100;
  size_t max_bytes = 1 << 20;  // of envelopes
  // Only what came after it.  If history does not reach back to it, all that is kept, and the slice
  // says why.
  std::optional<Position> since = {};
  // Only what came before it.  Another epoch than the channel's: nothing.
  std::optional<Position> before = {};
  bool reverse = false;
};

}  // namespace fanwire::control
