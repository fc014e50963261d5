// ChannelQueries that know no channel, and the interest and the error that a test says.
//
// Threading: confined to one thread.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "control/routing/channel_queries.h"
#include "proto/policies.h"

namespace fanwire::control {

class FakeChannelQueries : public ChannelQueries {
 public:
  // What InterestedChannels() answers, by service.
  std::map<std::string, std::vector<std::string>> interest;
  Dialect last_dialect = Dialect::kCommon;
  // Whether and why reading history fails.
  absl::Status history_status;

  absl::StatusOr<std::vector<ChannelSummary>> ListChannels(absl::string_view,
                                                           absl::string_view) override {
    return std::vector<ChannelSummary>();
  }
  absl::StatusOr<ChannelSummary> GetChannel(absl::string_view, absl::string_view) override {
    return absl::NotFoundError("no state");
  }
  absl::StatusOr<HistorySlice> ReadHistory(const HistoryRequest&) override {
    if (!history_status.ok()) return history_status;
    return HistorySlice();
  }
  PublishCounts Counts(absl::string_view) override { return {}; }
  std::vector<std::string> InterestedChannels(absl::string_view service, Dialect dialect) override {
    last_dialect = dialect;
    return interest[std::string(service)];
  }
};

}  // namespace fanwire::control
