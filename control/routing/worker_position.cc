#include "control/routing/worker_position.h"

#include <algorithm>

#include "control/links/worker_link.h"
#include "control/routing/channel_directory.h"
#include "control/routing/channel_state.h"
#include "control/routing/repair_page.h"

namespace fanwire::control {

void ApplyPosition(ChannelState* channel, ChannelLink* wanting, const WorkerPosition& position,
                   absl::Duration now) {
  wanting->not_before = -absl::InfiniteDuration();
  Epoch epoch;
  if (Epoch::Parse(position.epoch, &epoch) && epoch == channel->epoch() &&
      position.offset <= channel->routed) {
    const int64_t applied = std::max<int64_t>(position.offset, 0);
    ChannelDirectory::Introduce(*channel, wanting, applied);
    wanting->next_offset = applied + 1;
    return;
  }
  // The channel has another epoch.  The gap tells the worker so, and names the offsets of the new
  // epoch that history does not hold any more (none if `first` is 1).  The publications in history
  // follow.
  const int64_t first = FirstKept(channel, now);
  ChannelDirectory::Introduce(*channel, wanting, first - 1);
  wanting->link->Gap(wanting->handle, 1, first - 1, "epoch_changed", channel->epoch());
  wanting->next_offset = first;
}

}  // namespace fanwire::control
