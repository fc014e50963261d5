#include "control/routing/channel_queries.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/check.h"
#include "control/config/service_table.h"
#include "control/routing/channel_directory.h"
#include "control/routing/channel_table.h"
#include "proto/channel_name.h"

namespace fanwire::control {

namespace {

class ChannelQueriesImpl final : public ChannelQueries {
 public:
  ChannelQueriesImpl(ChannelDirectory* directory, const Clock* clock)
      : directory_(directory), clock_(clock) {}

  absl::StatusOr<ListedChannels> ListChannels(absl::string_view service,
                                              absl::string_view pattern) override {
    const absl::StatusOr<ChannelPattern> wanted =
        ChannelPattern::Parse(pattern.empty() ? "**" : pattern);
    if (!wanted.ok()) return wanted.status();
    ListedChannels listed;
    std::vector<Found> found;
    for (size_t i = 0; i < ChannelTable::kShards; ++i) {
      found.clear();
      CopyShard(directory_->table().shard(i), &found);
      // A channel's name and service never change, so they can be read without the lock.
      for (const Found& each : found) {
        const ChannelState& state = *each.state;
        if (!service.empty() && state.service->name != service) continue;
        if (!wanted->Matches(state.name)) continue;
        listed.channels.push_back({.service = &state.service->name,
                                   .channel = listed.names.Copy(state.name),
                                   .publications = each.publications,
                                   .last_published_us = each.last_published_us});
      }
    }
    return listed;
  }

  absl::StatusOr<ChannelSummary> GetChannel(absl::string_view service_name,
                                            absl::string_view channel_name) override {
    ServiceState* const service = directory_->FindService(service_name);
    if (service == nullptr) return directory_->snapshot()->table->NoSuchService(service_name);
    const ChannelKey key(service, Dialect::kCommon, channel_name);
    ChannelTable::Shard& shard = directory_->table().shard(directory_->table().IndexOf(key));
    MutexLock lock(&shard.mu);
    const std::shared_ptr<ChannelState>* const channel = ChannelTable::Find(shard, key);
    if (channel == nullptr) {
      return absl::NotFoundError(absl::StrCat("service \"", service_name, "\" has no channel \"",
                                              channel_name, "\" with state"));
    }
    return Summarize(channel->get());
  }

  void ReadHistory(HistoryRequest request, HistoryCallback done) override {
    reader_.Read(std::move(request), std::move(done));
  }

  PublishCounts Counts(absl::string_view service) override {
    const ServiceState* const state = directory_->FindService(service);
    if (state == nullptr) return {};
    constexpr auto kRelaxed = std::memory_order_relaxed;
    return {.accepted = state->accepted.load(kRelaxed),
            .mirrored = state->mirrored.load(kRelaxed),
            .refused = state->refused.Get(),
            .duplicates = state->duplicates.load(kRelaxed),
            .evicted_keys = state->idempotency.evicted(),
            .catalog_warnings = state->catalog_warnings.load(kRelaxed),
            .channels = state->channels.load(kRelaxed) + state->unpublished.count(),
            .seconds = state->publish_seconds.snapshot()};
  }

  RefusalTotals RefusedElsewhere() override { return directory_->refused_elsewhere().Get(); }

  std::vector<std::string> InterestedChannels(absl::string_view service, Dialect dialect) override {
    FANWIRE_CHECK(dialect != Dialect::kCommon);
    ServiceState* const state = directory_->FindService(service);
    return state == nullptr ? std::vector<std::string>() : state->wanted_of(dialect).List();
  }

 private:
  // A channel, and copies of its fields that must be read under the shard's lock.
  struct Found {
    std::shared_ptr<const ChannelState> state;
    int64_t publications;
    int64_t last_published_us;
  };

  // Appends the shard's channels, except those of other dialects.
  static void CopyShard(ChannelTable::Shard& shard, std::vector<Found>* found) {
    MutexLock lock(&shard.mu);
    found->reserve(shard.channels.size());
    for (const ChannelTable::Entry& entry : shard.channels) {
      if (entry.log == nullptr) continue;
      found->push_back({.state = entry.state,
                        .publications = entry.state->publications,
                        .last_published_us = entry.state->last_published_us});
    }
  }

  ChannelSummary Summarize(ChannelState* channel) {
    directory_->RefreshPatterns(channel);
    return {.service = channel->service->name,
            .channel = channel->name,
            .history = DescribeRouted(channel, clock_->Now()),
            .publications = channel->publications,
            .last_published = channel->last_published_us == 0
                                  ? absl::InfinitePast()
                                  : absl::FromUnixMicros(channel->last_published_us),
            .workers = static_cast<int32_t>(channel->links.size())};
  }

  ChannelDirectory* const directory_;
  const Clock* const clock_;
  HistoryReader reader_{directory_, clock_};
};

}  // namespace

std::unique_ptr<ChannelQueries> ChannelQueries::Make(ChannelDirectory* directory,
                                                     const Clock* clock) {
  return std::make_unique<ChannelQueriesImpl>(directory, clock);
}

}  // namespace fanwire::control
