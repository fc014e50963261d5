// Sends a worker what it lacks of a channel: catches up, page by page from history, with what was
// published while the worker's queue was full or the worker was away.
//
// Threading: QueueRepairPage() locks the channel's shard.  It runs for one link on one thread at a
//            time; the other functions expect that the shard is locked.
// Cost:      a page is read while the shard is locked, so it is small.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "control/engine/engine.h"
#include "control/links/worker_link.h"

namespace fanwire::control {

class ChannelDirectory;
struct ChannelState;

// Why history does not have a publication any more: "history_disabled" or "history_expired".
const char* GoneReason(const ChannelState& channel);

// Returns the offset where history begins, or the offset after the head if history is empty.
int64_t FirstKept(ChannelState* channel, absl::Duration now);

// Queues one page of a dirty channel that WorkerLink::NextDirty() returned, and marks the channel
// dirty again unless the page reaches the head.  If the channel must be opened or history fetched
// first, what `make_ready` makes is called when that is done; until then the channel stays dirty.
void QueueRepairPage(const std::shared_ptr<WorkerLink>& link, const DirtyChannel& dirty,
                     ChannelDirectory* directory, absl::Duration now,
                     absl::FunctionRef<EngineCallback()> make_ready);

}  // namespace fanwire::control
