// A position that a worker told when it attached: the last publication of a channel that it has
// got.
#pragma once

#include <cstdint>
#include <string>

#include "absl/time/time.h"

namespace fanwire::control {

struct ChannelLink;
struct ChannelState;

struct WorkerPosition {
  std::string epoch;  // as text, which a worker may have from anywhere
  int64_t offset = 0;
};

// Makes the link's publications begin behind the position.  If the channel has another epoch, the
// worker is told so, and they begin where history does.  The channel is open and its shard locked.
// The caller marks the channel dirty for the link.
void ApplyPosition(ChannelState* channel, ChannelLink* wanting, const WorkerPosition& position,
                   absl::Duration now);

}  // namespace fanwire::control
