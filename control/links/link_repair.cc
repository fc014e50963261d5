#include "control/links/link_repair.h"

#include <algorithm>
#include <utility>

namespace fanwire::control {

namespace {

// Clock slack.  A publication may be queued up to 1 s after received_at(), so one that was received
// up to 1 s before the oldest that is not applied may not have been applied either.
constexpr absl::Duration kReceptionMargin = absl::Seconds(1);

}  // namespace

std::multiset<absl::Duration>& LinkRepair::SinceOf(uint32_t lane) {
  if (since_.size() <= lane) since_.resize(lane + 1);
  return since_[lane];
}

void LinkRepair::MarkDirty(DirtyChannel dirty) {
  SinceOf(dirty.lane).insert(dirty.since);
  dirty_.push_back(std::move(dirty));
}

DirtyChannel LinkRepair::NextDirty() {
  if (held_ || dirty_.empty()) return {};
  DirtyChannel next = std::move(dirty_.front());
  dirty_.pop_front();
  return next;
}

void LinkRepair::MarkDirtyAgain(DirtyChannel dirty, absl::Duration since) {
  Finish(dirty);
  dirty.since = since;
  MarkDirty(std::move(dirty));
}

void LinkRepair::Finish(const DirtyChannel& dirty) {
  std::multiset<absl::Duration>& since = SinceOf(dirty.lane);
  if (const auto it = since.find(dirty.since); it != since.end()) since.erase(it);
  untried_ = true;
}

size_t LinkRepair::dirty_count() const {
  size_t count = 0;
  for (const std::multiset<absl::Duration>& since : since_) count += since.size();
  return count;
}

bool LinkRepair::IsRepairedUpTo(uint32_t lane, absl::Duration time) const {
  return lane >= since_.size() || since_[lane].empty() || *since_[lane].begin() > time;
}

void LinkRepair::Defer(SubscribeRequest request) {
  untried_ = true;
  deferred_.push_back(std::move(request));
}

size_t LinkRepair::BeginDeferred() {
  untried_ = false;
  return deferred_.size();
}

bool LinkRepair::NextDeferred(SubscribeRequest* request) {
  if (held_ || deferred_.empty()) return false;
  *request = std::move(deferred_.front());
  deferred_.pop_front();
  return true;
}

void LinkRepair::Clear() {
  dirty_.clear();
  since_.clear();
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
  return false;
}

void LinkRepair::SetHeld(bool held) {
  held_ = held;
  untried_ = true;
}

void LinkRepair::BeginSnapshot(absl::Duration unapplied_since) {
  if (std::exchange(had_snapshot_, true)) missed_since_ = unapplied_since;
  held_ = true;
}

absl::Duration LinkRepair::UnappliedSince(absl::Duration now,
                                          absl::Duration oldest_unapplied) const {
  // The worker has not reported any interest yet, so nothing has changed since it attached.
  if (!had_snapshot_) return missed_since_;
  absl::Duration since = std::min(now, oldest_unapplied);
  for (const std::multiset<absl::Duration>& dirty : since_) {
    if (!dirty.empty()) since = std::min(since, *dirty.begin());
  }
  // Not all channels that the worker missed publications of are marked dirty yet.
  if (held_) since = std::min(since, missed_since_);
  return since - kReceptionMargin;
}

}  // namespace fanwire::control
