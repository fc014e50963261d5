#include "control/engine/disk_engine_channel.h"

#include <algorithm>

namespace fanwire::control {

ReadOutcome DiskEngineChannel::ReadAfter(int64_t after, int64_t until, size_t max_bytes,
                                         absl::Duration now, std::vector<PublicationPtr>* page,
                                         absl::FunctionRef<EngineCallback()> make_ready) {
  switch (disk_->Read(after, until, max_bytes, now, page)) {
    case DiskChannel::Found::kRead:
      return ReadOutcome::kOk;
    case DiskChannel::Found::kGone:
      return ReadOutcome::kGone;
    case DiskChannel::Found::kOnDisk:
      break;
  }
  const int64_t last = std::min(until, disk_->head().offset);
  return *fetcher_ != nullptr && (*fetcher_)->Fetch(disk_, after + 1, last, max_bytes, make_ready)
             ? ReadOutcome::kFetching
             : ReadOutcome::kClosed;
}

}  // namespace fanwire::control
