// HistoryReader reads a part of a channel's history, page by page, and waits where the engine must
// open the channel or fetch a page first.
//
// Of an engine that survives a restart of control it also reads channels that nobody has used since
// the restart: they get a state (channel_directory.h), as when a client subscribes, if there is
// room.
//
// Threading: safe from every thread.  Locks one shard at a time.
// Ownership: borrows directory, engine and clock, which must live until Engine::Close() and
//            ChannelDirectory::EndWaiting() have returned.
// Cost:      one pass over the requested part.  A reading under way keeps the events that it has.
#pragma once

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "control/routing/channel_info.h"

namespace fanwire::control {

class ChannelDirectory;
struct ChannelState;

// Called once, without locks.
using HistoryCallback = std::function<void(absl::StatusOr<HistorySlice>)>;

// Returns what history holds of what was routed: nobody is told of a publication before its
// subscribers are.  The channel's shard must be locked.
HistoryState DescribeRouted(ChannelState* channel, absl::Duration now);

class HistoryReader {
 public:
  HistoryReader(ChannelDirectory* directory, const Clock* clock)
      : directory_(directory), clock_(clock) {}

  // See ChannelQueries::ReadHistory().
  void Read(HistoryRequest request, HistoryCallback done);

 private:
  struct Reading;
  enum class Step { kDone, kWaiting };

  // Goes on until the slice is complete or the engine must be waited for.
  void GoOn(const std::shared_ptr<Reading>& reading);
  absl::StatusOr<Step> Advance(const std::shared_ptr<Reading>& reading);
  // Reads pages while the channel's shard is locked.
  absl::StatusOr<Step> ReadPages(const std::shared_ptr<Reading>& reading);
  // Finds out which offsets are to be read.
  static void Begin(const std::shared_ptr<ChannelState>& channel, absl::Duration now,
                    Reading* reading);

  ChannelDirectory* const directory_;
  const Clock* const clock_;
};

}  // namespace fanwire::control
