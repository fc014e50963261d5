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

// Returns what history holds of what was routed: nobody is told of a publication before its
// subscribers are.
HistoryState DescribeRouted(ChannelState* channel, absl::Duration now) {
  HistoryState state = channel->log->Describe(now);
  state.head.offset = std::min(state.head.offset, channel->routed);
  if (state.oldest_offset > channel->routed) state.oldest_offset = 0;
  return state;
}

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

  absl::StatusOr<HistorySlice> ReadHistory(const HistoryRequest& request) override;

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
};

// Returns why history does not hold all events after `since`; empty if it holds them.
const char* IncompleteReason(const Position& since, const HistoryState& state,
                             const HistoryPolicy& policy) {
  if (since.epoch != state.head.epoch) return "epoch_changed";
  if (since.offset > state.head.offset) return "offset_unknown";
  const int64_t first_kept = state.oldest_offset == 0 ? state.head.offset + 1 : state.oldest_offset;
  if (since.offset + 1 >= first_kept) return "";
  return policy.size == 0 ? "history_disabled" : "history_expired";
}

absl::StatusOr<HistorySlice> ChannelQueriesImpl::ReadHistory(const HistoryRequest& request) {
  const std::shared_ptr<const ServiceSnapshot> snapshot = directory_->snapshot();
  const ServiceEntry* const service = snapshot->Find(request.service);
  if (service == nullptr) return snapshot->table->NoSuchService(request.service);
  if (absl::Status status = CheckChannelName(request.channel, service->spec->max_channel_bytes);
      !status.ok()) {
    return status;
  }
  const absl::Duration now = clock_->Now();
  const ChannelKey key(service->state, Dialect::kCommon, request.channel);
  ChannelTable::Shard& shard = directory_->table().shard(directory_->table().IndexOf(key));
  HistorySlice slice;
  MutexLock lock(&shard.mu);
  const std::shared_ptr<ChannelState>* const found = ChannelTable::Find(shard, key);
  if (found == nullptr) {
    // A channel without state has no epoch, so `since` must be of an earlier one.
    if (request.since.has_value()) slice.incomplete_reason = "epoch_changed";
    return slice;
  }
  ChannelState& channel = **found;
  if (!channel.is_open()) {
    return absl::UnavailableError("the channel is being opened: try again");
  }
  const HistoryState state = DescribeRouted(&channel, now);
  slice.head = state.head;
  if (request.since.has_value()) {
    slice.incomplete_reason = IncompleteReason(*request.since, state, channel.log->policy());
  }
  if (state.oldest_offset == 0) return slice;
  int64_t after = state.oldest_offset - 1;
  if (request.since.has_value() && *slice.incomplete_reason == '\0') {
    after = std::max(after, request.since->offset);
  }
  int64_t until = state.head.offset;
  if (request.before.has_value()) {
    const bool here = request.before->epoch == state.head.epoch;
    until = here ? std::min(until, std::max<int64_t>(request.before->offset, 1) - 1) : 0;
  }
  // The offsets that are still to be read are those above `after`, up to `until`.  In reverse the
  // newest are read first.  Publications that have expired are left out, which is why reading takes
  // several turns.
  size_t bytes = 0;
  std::vector<PublicationPtr> page;
  while (after < until) {
    const auto missing = static_cast<int64_t>(request.limit - slice.publications.size());
    if (missing == 0) {
      slice.more = true;
      return slice;
    }
    const int64_t from = request.reverse ? std::max(after, until - missing) : after;
    const int64_t to = request.reverse ? until : std::min(until, after + missing);
    page.clear();
    const ReadOutcome outcome =
        channel.log->ReadAfter(from, to, request.reverse ? SIZE_MAX : request.max_bytes, now, &page,
                               []() -> EngineCallback { return [](const absl::Status&) {}; });
    if (outcome != ReadOutcome::kOk || page.empty()) {
      return absl::UnavailableError("history is being fetched: try again");
    }
    if (request.reverse) std::reverse(page.begin(), page.end());
    for (PublicationPtr& publication : page) {
      const int64_t offset = publication->offset();
      if (publication->expires_at() > now) {
        bytes += publication->envelope().size();
        if (bytes > request.max_bytes && !slice.publications.empty()) {
          slice.more = true;
          return slice;
        }
        slice.publications.push_back(std::move(publication));
      }
      (request.reverse ? until : after) = request.reverse ? offset - 1 : offset;
    }
  }
  return slice;
}

}  // namespace

std::unique_ptr<ChannelQueries> ChannelQueries::Make(ChannelDirectory* directory,
                                                     const Clock* clock) {
  return std::make_unique<ChannelQueriesImpl>(directory, clock);
}

}  // namespace fanwire::control
