// ChannelQueries that know the channels, the interest and the error that a test says.
//
// Threading: confined to one thread.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "control/routing/channel_info.h"
#include "control/routing/channel_queries.h"
#include "proto/policies.h"

namespace fanwire::control {

class FakeChannelQueries : public ChannelQueries {
 public:
  // The channels that are listed and shown; the history of each is empty.
  std::vector<ChannelSummary> channels;
  int lists = 0;  // how often all of them were listed
  // What InterestedChannels() answers, by service.
  std::map<std::string, std::vector<std::string>> interest;
  Dialect last_dialect = Dialect::kCommon;
  // Whether and why reading history fails.
  absl::Status history_status;

  // All, whatever the service and pattern.
  absl::StatusOr<ListedChannels> ListChannels(absl::string_view, absl::string_view) override {
    ++lists;
    ListedChannels listed;
    for (const ChannelSummary& channel : channels) {
      listed.channels.push_back(
          {.service = &*services_.insert(channel.service).first,
           .channel = listed.names.Copy(channel.channel),
           .publications = channel.publications,
           .last_published_us = channel.last_published == absl::InfinitePast()
                                    ? 0
                                    : absl::ToUnixMicros(channel.last_published)});
    }
    return listed;
  }
  absl::StatusOr<ChannelSummary> GetChannel(absl::string_view service,
                                            absl::string_view name) override {
    for (const ChannelSummary& channel : channels) {
      if (channel.service == service && channel.channel == name) return channel;
    }
    return absl::NotFoundError("no state");
  }
  void ReadHistory(HistoryRequest, HistoryCallback done) override {
    if (!history_status.ok()) return done(history_status);
    done(HistorySlice());
  }
  PublishCounts Counts(absl::string_view) override { return {}; }
  RefusalTotals RefusedElsewhere() override { return {}; }
  std::vector<std::string> InterestedChannels(absl::string_view service, Dialect dialect) override {
    last_dialect = dialect;
    return interest[std::string(service)];
  }

 private:
  std::set<std::string> services_;
};

}  // namespace fanwire::control
