#include "control/links/link_repair.h"

#include <algorithm>
#include <utility>

namespace fanwire::control {

namespace {

// Clock slack.  A publication may be queued up to 1 s after received_at(), so one that was received
// up to 1 s before the oldest that is not applied may not have been applied either.
constexpr absl::Duration kReceptionMargin = absl::Seconds(1);

}  // namespace

void LinkRepair::MarkDirty(std::shared_ptr<ChannelState> channel, absl::Duration now) {
  dirty_since_ = std::min(dirty_since_, now);
  dirty_.push_back(std::move(channel));
}

void LinkRepair::Defer(SubscribeRequest request) { deferred_.push_back(std::move(request)); }

std::shared_ptr<ChannelState> LinkRepair::NextDirty() {
  if (held_ || dirty_.empty()) return nullptr;
  std::shared_ptr<ChannelState> channel = std::move(dirty_.front());
  dirty_.pop_front();
  return channel;
}

bool LinkRepair::NextDeferred(SubscribeRequest* request) {
  if (held_ || deferred_.empty()) return false;
  *request = std::move(deferred_.front());
  deferred_.pop_front();
  return true;
}

void LinkRepair::Clear() {
  dirty_.clear();
  deferred_.clear();
}

bool LinkRepair::Begin() {
  if (repairing_) {
    repair_again_ = true;
    return false;
  }
  repairing_ = true;
  return true;
}

bool LinkRepair::End() {
  if (std::exchange(repair_again_, false)) return true;
  repairing_ = false;
  if (dirty_.empty()) dirty_since_ = absl::InfiniteDuration();
  return false;
}

void LinkRepair::BeginSnapshot(absl::Duration unapplied_since) {
  if (std::exchange(had_snapshot_, true)) missed_since_ = unapplied_since;
  held_ = true;
}

absl::Duration LinkRepair::UnappliedSince(absl::Duration now,
                                          absl::Duration oldest_unapplied) const {
  // The worker has not even told what it wants.
  if (!had_snapshot_) return missed_since_;
  absl::Duration since = std::min({now, dirty_since_, oldest_unapplied});
  // What it had missed before is not all queued yet.
  if (held_ || dirty_since_ != absl::InfiniteDuration()) since = std::min(since, missed_since_);
  return since - kReceptionMargin;
}

}  // namespace fanwire::control
