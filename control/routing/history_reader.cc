#include "control/routing/history_reader.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "control/config/service_table.h"
#include "control/engine/engine.h"
#include "control/routing/channel_directory.h"
#include "control/routing/channel_state.h"
#include "proto/channel_name.h"

namespace fanwire::control {

namespace {

// In reverse, so many publications are read in order, kept, and then told from the newest on.
constexpr int64_t kReversePage = 64;

// How often a reading begins again although history has not become shorter.
constexpr int kMaxBegins = 10;

// Returns why history does not hold all events after `since`; empty if it holds them.
const char* IncompleteReason(const Position& since, const HistoryState& state,
                             const HistoryPolicy& policy) {
  if (since.epoch != state.head.epoch) return "epoch_changed";
  if (since.offset > state.head.offset) return "offset_unknown";
  const int64_t first_kept = state.oldest_offset == 0 ? state.head.offset + 1 : state.oldest_offset;
  if (since.offset + 1 >= first_kept) return "";
  return policy.size == 0 ? "history_disabled" : "history_expired";
}

absl::Status TryAgain() {
  return absl::UnavailableError("history cannot be read at present: try again");
}

}  // namespace

HistoryState DescribeRouted(ChannelState* channel, absl::Duration now) {
  HistoryState state = channel->log->Describe(now);
  state.head.offset = std::min(state.head.offset, channel->routed);
  if (state.oldest_offset > channel->routed) state.oldest_offset = 0;
  return state;
}

struct HistoryReader::Reading {
  HistoryRequest request;
  HistoryCallback done;
  HistorySlice slice;
  std::shared_ptr<ChannelState> channel;  // of which `slice` is; null: it has not begun
  int64_t oldest = 0;                     // where history began when the reading last did
  int begins = 0;                         // there
  // The offsets that are still to be read are those above `after`, up to `until`.  In reverse the
  // newest are read first.
  int64_t after = 0;
  int64_t until = 0;
  std::vector<PublicationPtr> page;  // in reverse: read already, and they end before `until`
  size_t bytes = 0;                  // of the envelopes in `slice`
};

void HistoryReader::Read(HistoryRequest request, HistoryCallback done) {
  auto reading = std::make_shared<Reading>();
  reading->request = std::move(request);
  reading->done = std::move(done);
  GoOn(reading);
}

void HistoryReader::GoOn(const std::shared_ptr<Reading>& reading) {
  const absl::StatusOr<Step> step = Advance(reading);
  if (!step.ok()) return reading->done(step.status());
  if (*step == Step::kDone) reading->done(std::move(reading->slice));
}

absl::StatusOr<HistoryReader::Step> HistoryReader::Advance(
    const std::shared_ptr<Reading>& reading) {
  const HistoryRequest& request = reading->request;
  const std::shared_ptr<const ServiceSnapshot> snapshot = directory_->snapshot();
  const ServiceEntry* const service = snapshot->Find(request.service);
  if (service == nullptr) return snapshot->table->NoSuchService(request.service);
  if (absl::Status status = CheckChannelName(request.channel, service->spec->max_channel_bytes);
      !status.ok()) {
    return status;
  }
  const ChannelKey key(service->state, Dialect::kCommon, request.channel);
  ChannelTable::Shard& shard = directory_->table().shard(directory_->table().IndexOf(key));
  MutexLock lock(&shard.mu);
  std::shared_ptr<ChannelState> channel;
  if (const auto* known = ChannelTable::Find(shard, key); known != nullptr) {
    channel = *known;
  } else if (directory_->survives_restart()) {
    if (!directory_->opens_channels()) return TryAgain();
    // Whoever reads makes nobody else's channel be forgotten.
    ChannelDirectory::Reader reader{.may_evict = false};
    auto found = directory_->FindOrCreateForReader(shard, key, *snapshot, *service->spec, &reader,
                                                   clock_->Now());
    if (!found.ok()) {
      return absl::UnavailableError(
          "the channel was not used since control started, and there is no room to open it "
          "(max_unpublished_channels): try again");
    }
    channel = *std::move(found);
  }
  if (channel == nullptr) {
    // A channel without state has no epoch, so `since` must be of an earlier one.
    reading->slice = {};
    if (request.since.has_value()) reading->slice.incomplete_reason = "epoch_changed";
    return Step::kDone;
  }
  if (!channel->is_open()) {
    if (!directory_->opens_channels()) return TryAgain();
    channel->opening->Wait({.kind = ChannelOpening::Kind::kRequest,
                            .since = clock_->Now(),
                            .go = [this, reading](const absl::Status& status) {
                              if (!status.ok()) return reading->done(status);
                              GoOn(reading);
                            }});
    return Step::kWaiting;
  }
  if (reading->channel != channel) Begin(channel, clock_->Now(), reading.get());
  return ReadPages(reading);
}

void HistoryReader::Begin(const std::shared_ptr<ChannelState>& channel, absl::Duration now,
                          Reading* reading) {
  const HistoryRequest& request = reading->request;
  reading->channel = channel;
  reading->slice = {};
  reading->bytes = 0;
  reading->after = reading->until = 0;
  reading->page.clear();
  const HistoryState state = DescribeRouted(channel.get(), now);
  reading->begins = state.oldest_offset > reading->oldest ? 0 : reading->begins + 1;
  reading->oldest = state.oldest_offset;
  HistorySlice& slice = reading->slice;
  slice.head = state.head;
  if (request.since.has_value()) {
    slice.incomplete_reason = IncompleteReason(*request.since, state, channel->log->policy());
  }
  if (state.oldest_offset == 0) return;
  reading->after = state.oldest_offset - 1;
  if (request.since.has_value() && *slice.incomplete_reason == '\0') {
    reading->after = std::max(reading->after, request.since->offset);
  }
  reading->until = state.head.offset;
  if (request.before.has_value()) {
    const bool here = request.before->epoch == state.head.epoch;
    const int64_t last = std::max<int64_t>(request.before->offset, 1) - 1;
    reading->until = here ? std::min(reading->until, last) : 0;
  }
}

absl::StatusOr<HistoryReader::Step> HistoryReader::ReadPages(
    const std::shared_ptr<Reading>& reading) {
  const HistoryRequest& request = reading->request;
  HistorySlice& slice = reading->slice;
  const absl::Duration now = clock_->Now();
  EngineCallback resume = [this, reading](const absl::Status& status) {
    if (!status.ok()) return reading->done(status);
    GoOn(reading);
  };
  // Publications that have expired are left out, which is why reading takes several turns.
  std::vector<PublicationPtr>& page = reading->page;
  while (reading->after < reading->until) {
    const int64_t after = reading->after, until = reading->until;
    const auto missing = static_cast<int64_t>(request.limit - slice.publications.size());
    if (missing == 0) {
      slice.more = true;
      return Step::kDone;
    }
    int64_t from = after;
    int64_t to = std::min(until, after + missing);
    if (request.reverse) {
      from = std::max(after, until - std::min(missing, kReversePage));
      if (!page.empty()) from = page.back()->offset();
      to = until;
    }
    const size_t had = page.size();
    switch (reading->channel->log->ReadAfter(from, to,
                                             request.reverse ? SIZE_MAX : request.max_bytes, now,
                                             &page, [&] { return resume; })) {
      case ReadOutcome::kOk:
        break;
      case ReadOutcome::kFetching:
        return Step::kWaiting;
      case ReadOutcome::kGone:  // the engine has trimmed it, or sees only now that it is too old
        if (reading->begins >= kMaxBegins) return TryAgain();
        Begin(reading->channel, now, reading.get());
        continue;
      case ReadOutcome::kClosed:
        return TryAgain();
    }
    if (page.size() == had) return TryAgain();
    if (request.reverse) {
      if (page.back()->offset() < until) continue;
      std::reverse(page.begin(), page.end());
    }
    for (PublicationPtr& publication : page) {
      const int64_t offset = publication->offset();
      if (publication->expires_at() > now) {
        reading->bytes += publication->envelope().size();
        if (reading->bytes > request.max_bytes && !slice.publications.empty()) {
          slice.more = true;
          return Step::kDone;
        }
        slice.publications.push_back(std::move(publication));
      }
      (request.reverse ? reading->until : reading->after) = request.reverse ? offset - 1 : offset;
    }
    page.clear();
  }
  return Step::kDone;
}

}  // namespace fanwire::control
