#include "control/routing/repair_page.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "common/mutex.h"
#include "control/routing/channel_directory.h"
#include "control/routing/channel_state.h"
#include "control/routing/channel_table.h"

namespace fanwire::control {

namespace {

// A repair reads this much at a time while it holds the channel's lock.
constexpr size_t kRepairPageBytes = 64 << 10;

}  // namespace

const char* GoneReason(const ChannelState& channel) {
  return channel.log->policy().size == 0 ? "history_disabled" : "history_expired";
}

int64_t FirstKept(ChannelState* channel, absl::Duration now) {
  const int64_t oldest = channel->log->Describe(now).oldest_offset;
  return oldest == 0 ? channel->routed + 1 : std::min(oldest, channel->routed + 1);
}

void QueueRepairPage(const std::shared_ptr<WorkerLink>& link, const DirtyChannel& dirty,
                     ChannelDirectory* directory, absl::Duration now,
                     absl::FunctionRef<EngineCallback()> make_ready) {
  const std::shared_ptr<ChannelState>& channel = dirty.channel;
  ChannelTable::Shard& shard = directory->table().shard(directory->table().IndexOf(*channel));
  MutexLock lock(&shard.mu);
  ChannelLink* const wanting = channel->Find(link.get());
  if (!channel->is_open()) {  // it is not known yet what the worker lacks
    channel->opening->Wait({.kind = ChannelOpening::Kind::kRepair,
                            .link = link.get(),
                            .since = now,
                            .go = make_ready()});
    return;
  }
  if (wanting == nullptr || !wanting->dirty) return link->FinishDirty(dirty);
  if (channel->log == nullptr || wanting->next_offset > channel->routed) {
    wanting->dirty = false;
    return link->FinishDirty(dirty);
  }
  std::vector<PublicationPtr> page;
  switch (channel->log->ReadAfter(wanting->next_offset - 1, channel->routed, kRepairPageBytes, now,
                                  &page, make_ready)) {
    case ReadOutcome::kFetching:
    case ReadOutcome::kClosed:
      return;  // the channel stays dirty until the callback runs
    case ReadOutcome::kGone: {
      const int64_t first = FirstKept(channel.get(), now);
      ChannelDirectory::Introduce(*channel, wanting, wanting->next_offset - 1);
      link->Gap(wanting->handle, wanting->next_offset, first - 1, GoneReason(*channel),
                channel->epoch());
      wanting->next_offset = first;
      break;
    }
    case ReadOutcome::kOk:
      for (const PublicationPtr& publication : page) {
        if (publication->received_at() >= wanting->not_before) {
          wanting->not_before = -absl::InfiniteDuration();
          ChannelDirectory::Introduce(*channel, wanting, publication->offset() - 1);
          // If the publication has expired, the link sends a gap of one offset instead.
          link->Deliver(wanting->handle, publication, /*repair=*/true);
        }
        wanting->next_offset = publication->offset() + 1;
      }
      break;
  }
  if (wanting->next_offset > channel->routed) {
    wanting->dirty = false;
    link->FinishDirty(dirty);
    link->CountRepair();
    return;
  }
  link->MarkDirtyAgain(dirty, page.empty() ? dirty.since : page.back()->received_at());
}

}  // namespace fanwire::control
