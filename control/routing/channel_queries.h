// ChannelQueries answers questions about channels: which channels exist, what their histories hold,
// and how much was published to a service.  It changes nothing, but reading history may make a
// channel's state (history_reader.h).
//
// Threading: safe from every thread.  Locks one shard at a time.
// Ownership: borrows directory and clock.
// Cost:      GetChannel(), Counts() and InterestedChannels() are a lookup; ReadHistory(): see
//            HistoryReader.  ListChannels() visits every channel and holds each shard while it
//            copies a pointer for each of its channels: 1 to 2 ms a shard when there are a million
//            channels.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/clock.h"
#include "control/routing/channel_info.h"
#include "control/routing/history_reader.h"
#include "control/routing/publish_counts.h"
#include "control/routing/refusals.h"
#include "proto/policies.h"

namespace fanwire::control {

class ChannelDirectory;

class ChannelQueries {
 public:
  static std::unique_ptr<ChannelQueries> Make(ChannelDirectory* directory, const Clock* clock);

  virtual ~ChannelQueries() = default;

  // Returns the channels that have state, in no order.  An empty service or pattern means all.
  //   INVALID_ARGUMENT  malformed pattern
  virtual absl::StatusOr<ListedChannels> ListChannels(absl::string_view service,
                                                      absl::string_view pattern) = 0;

  // Returns a channel's summary.
  //   NOT_FOUND  no such service, or the channel has no state
  virtual absl::StatusOr<ChannelSummary> GetChannel(absl::string_view service,
                                                    absl::string_view channel) = 0;

  // Reads a part of a channel's history.  A channel that the engine does not know has an empty
  // history; its head has no epoch, or a new one.  `done` is called at once, or later on a thread
  // of the engine if that must open the channel or fetch its history.
  //   NOT_FOUND         no such service
  //   INVALID_ARGUMENT  malformed name
  //   UNAVAILABLE       the engine cannot read at present, or there is no room for the channel
  virtual void ReadHistory(HistoryRequest request, HistoryCallback done) = 0;

  // Returns the counts of a service; all are 0 if nothing was ever published to it.
  virtual PublishCounts Counts(absl::string_view service) = 0;

  // Returns the counts of refused publications whose service is not configured.
  virtual RefusalTotals RefusedElsewhere() = 0;

  // Returns the channels that some worker wants by their exact names, in no order.  `dialect` must
  // not be kCommon: no list is kept of that dialect's channels.
  virtual std::vector<std::string> InterestedChannels(absl::string_view service,
                                                      Dialect dialect) = 0;
};

}  // namespace fanwire::control
