#include "control/links/worker_link.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "control/links/batch_writer.h"
#include "control/links/channel_introduction.h"
#include "control/links/link_queue_item.h"
#include "control/links/subscribe.h"
#include "fanwire/v1/worker.pb.h"

namespace fanwire::control {

namespace {

// Bounds of one batch; the item that crosses the second still goes with it.
constexpr size_t kBatchItems = 256;
constexpr size_t kBatchBytes = 256 << 10;

// How much later than it was received a publication may be queued: what was received that much
// before one that was not applied may not have been applied either.
constexpr absl::Duration kReceptionMargin = absl::Seconds(1);

}  // namespace

WorkerLink::WorkerLink(uint64_t id, const Options& options, const Clock* clock,
                       LinkTransport* transport, LinkOwner* owner)
    : id_(id),
      options_(options),
      clock_(clock),
      transport_(transport),
      owner_(owner),
      batch_(std::make_unique<BatchWriter>()) {}

WorkerLink::~WorkerLink() = default;

// ------------------------------------------------------------------------------- channel lane

void WorkerLink::Push(uint32_t lane, LinkQueueItem item) {
  if (closing_) return;
  queue_.Push(lane, std::move(item));
}

bool WorkerLink::IsFull(uint32_t lane, size_t bytes) const {
  if (queue_.size() < options_.max_queued_items &&
      queue_.bytes() + bytes <= options_.max_queued_bytes) {
    return false;
  }
  const size_t lanes = queue_.lanes() + (queue_.lane_size(lane) == 0 ? 1 : 0);
  return queue_.lane_size(lane) >= options_.max_queued_items / lanes ||
         queue_.lane_bytes(lane) + bytes > options_.max_queued_bytes / lanes;
}

LinkHandle WorkerLink::Introduce(const ChannelIntroduction& channel) {
  LinkQueueItem item{.kind = LinkQueueItem::Kind::kIntroduce};
  item.introduction = std::make_unique<OwnedIntroduction>(
      OwnedIntroduction{.service = std::string(channel.service),
                        .channel = std::string(channel.channel),
                        .dialect = channel.dialect,
                        .epoch = channel.epoch,
                        .backlog_policy = channel.backlog_policy,
                        .gap_policy = channel.gap_policy,
                        .offset = channel.offset});
  MutexLock lock(&mu_);
  item.handle = next_handle_++;
  const LinkHandle handle{.number = item.handle, .lane = channel.lane};
  Push(channel.lane, std::move(item));
  return handle;
}

void WorkerLink::Release(LinkHandle handle) {
  MutexLock lock(&mu_);
  Push(handle.lane, {.kind = LinkQueueItem::Kind::kRelease, .handle = handle.number});
}

LinkOffer WorkerLink::Deliver(LinkHandle handle, const PublicationPtr& publication, bool repair) {
  const size_t bytes = publication->envelope().size();
  MutexLock lock(&mu_);
  if (closing_) return LinkOffer::kClosed;
  if (!repair && IsFull(handle.lane, bytes)) return LinkOffer::kFull;
  Push(handle.lane, {.kind = LinkQueueItem::Kind::kDeliver,
                     .handle = handle.number,
                     .publication = publication,
                     .bytes = bytes,
                     .received = publication->received_at()});
  return LinkOffer::kQueued;
}

void WorkerLink::Gap(LinkHandle handle, int64_t from, int64_t to, const char* reason, Epoch epoch) {
  LinkQueueItem item{.kind = LinkQueueItem::Kind::kGap, .handle = handle.number};
  item.gap =
      std::make_unique<LinkGap>(LinkGap{.from = from, .to = to, .reason = reason, .epoch = epoch});
  MutexLock lock(&mu_);
  ++stats_.gaps;
  Push(handle.lane, std::move(item));
}

void WorkerLink::Answer(SubscribeAnswer answer) {
  const uint32_t lane = answer.handle.lane;
  LinkQueueItem item{.kind = LinkQueueItem::Kind::kAnswer, .handle = answer.handle.number};
  for (const PublicationPtr& publication : answer.publications) {
    item.bytes += publication->envelope().size();
  }
  item.answer = std::make_unique<SubscribeAnswer>(std::move(answer));
  MutexLock lock(&mu_);
  Push(lane, std::move(item));
}

void WorkerLink::CountDropped() {
  MutexLock lock(&mu_);
  ++stats_.dropped;
}

// ------------------------------------------------------------------------------- what waits

void WorkerLink::MarkDirty(std::shared_ptr<ChannelState> channel) {
  MutexLock lock(&mu_);
  if (closing_) return;
  dirty_since_ = std::min(dirty_since_, clock_->Now());
  dirty_.push_back(std::move(channel));
}

void WorkerLink::Defer(SubscribeRequest request) {
  MutexLock lock(&mu_);
  if (closing_) return;
  deferred_.push_back(std::move(request));
}

void WorkerLink::SetHeld(bool held) {
  MutexLock lock(&mu_);
  held_ = held;
}

bool WorkerLink::held() const {
  MutexLock lock(&mu_);
  return held_;
}

void WorkerLink::BeginSnapshot() {
  MutexLock lock(&mu_);
  if (std::exchange(had_snapshot_, true)) missed_since_ = UnappliedSinceLocked();
  held_ = true;
}

void WorkerLink::SetMissedSince(absl::Duration since) {
  MutexLock lock(&mu_);
  missed_since_ = since;
}

absl::Duration WorkerLink::missed_since() const {
  MutexLock lock(&mu_);
  return missed_since_;
}

absl::Duration WorkerLink::UnappliedSinceLocked() const {
  if (closing_) return ended_since_;
  // It has not even told what it wants.
  if (!had_snapshot_) return missed_since_;
  absl::Duration since = std::min(clock_->Now(), dirty_since_);
  // What it missed before is not all queued.
  if (held_ || dirty_since_ != absl::InfiniteDuration()) since = std::min(since, missed_since_);
  for (const Batch& batch : unacked_) since = std::min(since, batch.received);
  // What is repaired stands behind younger ones of other channels.
  queue_.ForEach([&](const LinkQueueItem& item) { since = std::min(since, item.received); });
  return since - kReceptionMargin;
}

void WorkerLink::ForgetAcked() {
  while (!unacked_.empty() && unacked_.front().end <= acked_items_) {
    for (const LaneShare& share : unacked_.front().shares) {
      in_flight_[share.lane].items -= share.items;
      in_flight_[share.lane].bytes -= share.bytes;
    }
    unacked_.pop_front();
  }
}

absl::Duration WorkerLink::unapplied_since() const {
  MutexLock lock(&mu_);
  return UnappliedSinceLocked();
}

std::shared_ptr<ChannelState> WorkerLink::NextDirty() {
  MutexLock lock(&mu_);
  if (held_ || dirty_.empty()) return nullptr;
  std::shared_ptr<ChannelState> channel = std::move(dirty_.front());
  dirty_.pop_front();
  return channel;
}

size_t WorkerLink::dirty_count() const {
  MutexLock lock(&mu_);
  return dirty_.size();
}

size_t WorkerLink::deferred_count() const {
  MutexLock lock(&mu_);
  return deferred_.size();
}

bool WorkerLink::NextDeferred(SubscribeRequest* request) {
  MutexLock lock(&mu_);
  if (held_ || deferred_.empty()) return false;
  *request = std::move(deferred_.front());
  deferred_.pop_front();
  return true;
}

void WorkerLink::CountRepair() {
  MutexLock lock(&mu_);
  ++stats_.repairs;
}

bool WorkerLink::HasRoomLocked() const {
  return queue_.bytes() <= options_.max_queued_bytes / 4 &&
         queue_.size() <= options_.max_queued_items / 4;
}

bool WorkerLink::HasRoom() const {
  MutexLock lock(&mu_);
  return !closing_ && HasRoomLocked();
}

bool WorkerLink::AcceptsAnswers(uint32_t lane) const {
  MutexLock lock(&mu_);
  return !held_ && !IsFull(lane, 1);
}

bool WorkerLink::RoomWanted() const {
  return !closing_ && !held_ && !repairing_ && (!dirty_.empty() || !deferred_.empty()) &&
         HasRoomLocked();
}

bool WorkerLink::BeginRepair() {
  MutexLock lock(&mu_);
  if (repairing_) {
    repair_again_ = true;
    return false;
  }
  repairing_ = true;
  repair_again_ = false;
  return true;
}

bool WorkerLink::EndRepair() {
  MutexLock lock(&mu_);
  if (std::exchange(repair_again_, false)) return true;
  repairing_ = false;
  if (dirty_.empty()) dirty_since_ = absl::InfiniteDuration();
  return false;
}

// ------------------------------------------------------------------------------- writing

bool WorkerLink::MayGo(uint32_t lane) const {
  if (sent_items_ - acked_items_ < options_.window_items &&
      sent_bytes_ - acked_bytes_ < options_.window_bytes) {
    return true;
  }
  // Others have filled the window: each lane in use has its part of it all the same.
  if (lane >= in_flight_.size()) return true;
  size_t lanes = 1;
  for (uint32_t other = 0; other < in_flight_.size(); ++other) {
    if (other != lane && (in_flight_[other].items > 0 || queue_.lane_size(other) > 0)) ++lanes;
  }
  return in_flight_[lane].items < options_.window_items / lanes &&
         in_flight_[lane].bytes < options_.window_bytes / lanes;
}

bool WorkerLink::CanSendBatch() const {
  return queue_.AnyFor([&](uint32_t lane) {
    mu_.AssertHeld();
    return MayGo(lane);
  });
}

void WorkerLink::TakeBatch() {
  Batch& batch = unacked_.emplace_back();
  batch.end = UINT64_MAX;
  batch.received = absl::InfiniteDuration();
  size_t bytes = 0;
  const auto may_go = [&](uint32_t lane) {
    mu_.AssertHeld();
    return MayGo(lane);
  };
  while (sending_.size() < kBatchItems && bytes < kBatchBytes) {
    uint32_t lane = 0;
    LinkQueueItem item;
    if (!queue_.Pop(may_go, &lane, &item)) break;
    bytes += item.bytes;
    // Not the publication's own: it is another core's memory yet.
    batch.received = std::min(batch.received, item.received);
    if (in_flight_.size() <= lane) in_flight_.resize(lane + 1);
    ++in_flight_[lane].items;
    in_flight_[lane].bytes += item.bytes;
    if (batch.shares.empty() || batch.shares.back().lane != lane) {
      const auto known = std::find_if(batch.shares.begin(), batch.shares.end(),
                                      [&](const LaneShare& share) { return share.lane == lane; });
      if (known == batch.shares.end()) {
        batch.shares.push_back({.lane = lane});
      } else {
        std::swap(*known, batch.shares.back());
      }
    }
    ++batch.shares.back().items;
    batch.shares.back().bytes += item.bytes;
    sending_.push_back(std::move(item));
  }
}

void WorkerLink::Flush() {
  enum class Next { kNothing, kControl, kBatch, kFinish };
  Next next = Next::kNothing;
  bool room = false;
  absl::Status status;
  std::unique_ptr<v1::ControlMessage> control;
  {
    MutexLock lock(&mu_);
    if (!writing_ && !finished_) {
      if (closing_) {
        finished_ = true;
        status = close_status_;
        next = Next::kFinish;
      } else if (!control_.empty()) {
        control = std::move(control_.front());
        control_.pop_front();
        control_bytes_ -= std::min(control_bytes_, control->ByteSizeLong());
        writing_ = true;
        next = Next::kControl;
      } else if (CanSendBatch()) {
        TakeBatch();
        writing_ = true;
        next = Next::kBatch;
      }
    }
    room = RoomWanted();
  }
  switch (next) {
    case Next::kNothing:
      break;
    case Next::kControl:
      transport_->Write({.head = control->SerializeAsString()});
      break;
    case Next::kBatch:
      WriteBatch();
      break;
    case Next::kFinish:
      transport_->Finish(status);
      return;
  }
  if (room) owner_->OnRoom(shared_from_this());
}

void WorkerLink::WriteBatch() {
  BatchWriter::Written written = batch_->Write(&sending_, clock_->Now());
  {
    MutexLock lock(&mu_);
    sent_items_ += written.items;
    sent_bytes_ += written.envelope_bytes;
    if (!unacked_.empty() && unacked_.back().end == UINT64_MAX) unacked_.back().end = sent_items_;
    ForgetAcked();
    stats_.sent_items += static_cast<int64_t>(written.items);
    ++stats_.sent_batches;
  }
  // After the write has begun this thread may be overtaken by its end, and must not touch what
  // belongs to the writer any more.
  if (written.items > 0) {
    transport_->Write(std::move(written.message));
  } else {
    OnWriteDone(true);
  }
  for (const uint64_t tracking_id : written.expired) owner_->OnExpired(this, tracking_id);
}

bool WorkerLink::Send(std::unique_ptr<v1::ControlMessage> message) {
  const size_t bytes = message->ByteSizeLong();
  {
    MutexLock lock(&mu_);
    if (closing_) return false;
    if (message->has_client_replies() && control_bytes_ + bytes > options_.max_reply_bytes) {
      return false;
    }
    control_bytes_ += bytes;
    control_.push_back(std::move(message));
  }
  Flush();
  return true;
}

void WorkerLink::OnWriteDone(bool ok) {
  {
    MutexLock lock(&mu_);
    FANWIRE_CHECK(writing_);
    writing_ = false;
    if (!ok) EndLocked(absl::UnavailableError("the worker's stream broke"));
  }
  Flush();
}

void WorkerLink::OnAck(uint64_t items, uint64_t bytes) {
  {
    MutexLock lock(&mu_);
    // A worker that acknowledges what was never sent must not open the window beyond all bounds.
    acked_items_ = std::clamp(items, acked_items_, sent_items_);
    acked_bytes_ = std::clamp(bytes, acked_bytes_, sent_bytes_);
    ForgetAcked();
  }
  Flush();
}

void WorkerLink::Close(absl::Status status) {
  {
    MutexLock lock(&mu_);
    if (closing_) return;
    EndLocked(std::move(status));
  }
  Flush();
}

void WorkerLink::EndLocked(absl::Status status) {
  if (closing_) return;
  ended_since_ = UnappliedSinceLocked();
  closing_ = true;
  close_status_ = std::move(status);
  queue_.Clear();
  control_.clear();
  control_bytes_ = 0;
  dirty_.clear();
  deferred_.clear();
}

bool WorkerLink::closed() const {
  MutexLock lock(&mu_);
  return closing_;
}

WorkerLink::Stats WorkerLink::stats() const {
  MutexLock lock(&mu_);
  Stats stats = stats_;
  stats.queued_items = static_cast<int64_t>(queue_.size());
  stats.queued_bytes = static_cast<int64_t>(queue_.bytes());
  stats.in_flight_items = static_cast<int64_t>(sent_items_ - acked_items_);
  stats.in_flight_bytes = static_cast<int64_t>(sent_bytes_ - acked_bytes_);
  stats.dirty_channels = static_cast<int64_t>(dirty_.size());
  return stats;
}

}  // namespace fanwire::control
