// The answers of ChannelQueries: a channel's summary, lists of channels, and parts of histories.
//
// Threading: values.
// Ownership: they hold copies and share no memory with the channels' states.
#pragma once

#include <algorithm>
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

// One channel of a list that may be long: only what is needed to sort the list, and to ask for the
// channel's summary.
struct ListedChannel {
  const std::string* service = nullptr;  // lives as long as the directory
  absl::string_view channel;             // lives as long as the list's names
  int64_t publications = 0;              // since the state was created
  int64_t last_published_us = 0;         // wall clock; 0: never
};

// Copies of many names in a few large blocks of memory.
class NameBlocks {
 public:
  absl::string_view Copy(absl::string_view name) {
    if (name.size() > left_) {
      left_ = std::max(kBlockBytes, name.size());
      blocks_.push_back(std::make_unique_for_overwrite<char[]>(left_));
      next_ = blocks_.back().get();
    }
    const absl::string_view copy(next_, name.size());
    std::copy(name.begin(), name.end(), next_);
    next_ += name.size();
    left_ -= name.size();
    return copy;
  }

 private:
  static constexpr size_t kBlockBytes = 64 << 10;

  std::vector<std::unique_ptr<char[]>> blocks_;
  char* next_ = nullptr;
  size_t left_ = 0;
};

struct ListedChannels {
  std::vector<ListedChannel> channels;
  NameBlocks names;
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
  bool more = false;  // there are more; the slice was cut at `limit` or `max_bytes`
  // Why events after HistoryRequest::since are missing from history: "epoch_changed",
  // "offset_unknown", "history_disabled" or "history_expired".  Empty if none is missing.
  const char* incomplete_reason = "";
};

struct HistoryRequest {
  std::string service = {};
  std::string channel = {};
  size_t limit = 100;
  size_t max_bytes = 1 << 20;  // of envelopes
  // Only events after this position.  If history does not reach back to it, the slice begins with
  // the oldest event kept, and `incomplete_reason` says why.
  std::optional<Position> since = {};
  // Only events before this position; none if its epoch is not the channel's.
  std::optional<Position> before = {};
  bool reverse = false;
};

}  // namespace fanwire::control
