#include "control/links/worker_link.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "control/links/batch_writer.h"
#include "fanwire/v1/worker.pb.h"

namespace fanwire::control {

WorkerLink::WorkerLink(uint64_t id, const Options& options, const Clock* clock,
                       LinkTransport* transport, LinkOwner* owner)
    : id_(id),
      clock_(clock),
      transport_(transport),
      owner_(owner),
      queue_(options),
      batch_writer_(std::make_unique<BatchWriter>()) {}

WorkerLink::~WorkerLink() = default;

// ------------------------------------------------------------------------------- queueing

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
  if (!closing_) queue_.Push(channel.lane, std::move(item));
  return handle;
}

void WorkerLink::Release(LinkHandle handle) {
  MutexLock lock(&mu_);
  if (closing_) return;
  queue_.Push(handle.lane, {.kind = LinkQueueItem::Kind::kRelease, .handle = handle.number});
}

LinkOffer WorkerLink::Deliver(LinkHandle handle, const PublicationPtr& publication, bool repair) {
  const size_t bytes = publication->envelope().size();
  MutexLock lock(&mu_);
  if (closing_) return LinkOffer::kClosed;
  if (!repair && queue_.IsFull(handle.lane, bytes)) return LinkOffer::kFull;
  queue_.Push(handle.lane, {.kind = LinkQueueItem::Kind::kDeliver,
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
  ++gaps_;
  if (!closing_) queue_.Push(handle.lane, std::move(item));
}

void WorkerLink::Answer(SubscribeAnswer answer) {
  const uint32_t lane = answer.handle.lane;
  LinkQueueItem item{.kind = LinkQueueItem::Kind::kAnswer, .handle = answer.handle.number};
  for (const PublicationPtr& publication : answer.publications) {
    item.bytes += publication->envelope().size();
  }
  item.answer = std::make_unique<SubscribeAnswer>(std::move(answer));
  MutexLock lock(&mu_);
  if (!closing_) queue_.Push(lane, std::move(item));
}

void WorkerLink::CountDropped() {
  MutexLock lock(&mu_);
  ++dropped_;
}

bool WorkerLink::HasRoom() const {
  MutexLock lock(&mu_);
  return !closing_ && queue_.HasRoom();
}

bool WorkerLink::AcceptsAnswers(uint32_t lane) const {
  MutexLock lock(&mu_);
  return !repair_.held() && !queue_.IsFull(lane, 1);
}

// ------------------------------------------------------------------------------- repairs

void WorkerLink::MarkDirty(std::shared_ptr<ChannelState> channel, uint32_t lane,
                           absl::Duration since) {
  MutexLock lock(&mu_);
  if (closing_) return;
  repair_.MarkDirty(
      {.channel = std::move(channel), .lane = lane, .since = std::min(since, clock_->Now())});
}

DirtyChannel WorkerLink::NextDirty() {
  MutexLock lock(&mu_);
  return repair_.NextDirty();
}

void WorkerLink::MarkDirtyAgain(DirtyChannel dirty, absl::Duration since) {
  MutexLock lock(&mu_);
  if (!closing_) repair_.MarkDirtyAgain(std::move(dirty), since);
}

void WorkerLink::FinishDirty(const DirtyChannel& dirty) {
  MutexLock lock(&mu_);
  repair_.Finish(dirty);
}

size_t WorkerLink::waiting_count() const {
  MutexLock lock(&mu_);
  return repair_.waiting_count();
}

bool WorkerLink::IsRepairedUpTo(uint32_t lane, absl::Duration time) const {
  MutexLock lock(&mu_);
  return repair_.IsRepairedUpTo(lane, time);
}

void WorkerLink::Defer(SubscribeRequest request) {
  MutexLock lock(&mu_);
  if (!closing_) repair_.Defer(std::move(request));
}

void WorkerLink::DeferAgain(SubscribeRequest request) {
  MutexLock lock(&mu_);
  if (!closing_) repair_.DeferAgain(std::move(request));
}

size_t WorkerLink::BeginDeferred() {
  MutexLock lock(&mu_);
  return repair_.BeginDeferred();
}

bool WorkerLink::NextDeferred(SubscribeRequest* request) {
  MutexLock lock(&mu_);
  return repair_.NextDeferred(request);
}

bool WorkerLink::HasRepairs() const {
  MutexLock lock(&mu_);
  return !closing_ && repair_.HasWork() && queue_.HasRoom();
}

bool WorkerLink::BeginRepair() {
  MutexLock lock(&mu_);
  return repair_.Begin();
}

bool WorkerLink::EndRepair() {
  MutexLock lock(&mu_);
  return repair_.End();
}

void WorkerLink::CountRepair() {
  MutexLock lock(&mu_);
  ++repairs_;
}

// ------------------------------------------------------------------------------- interest

void WorkerLink::SetHeld(bool held) {
  MutexLock lock(&mu_);
  repair_.SetHeld(held);
  if (held) return;
  pattern_times_.EndSnapshot();
  pattern_times_known_ = true;
}

bool WorkerLink::held() const {
  MutexLock lock(&mu_);
  return repair_.held();
}

void WorkerLink::BeginSnapshot() {
  MutexLock lock(&mu_);
  repair_.BeginSnapshot(UnappliedSinceLocked());
  pattern_times_.BeginSnapshot();
}

absl::Duration WorkerLink::AddPattern(uint64_t pattern) {
  MutexLock lock(&mu_);
  // A worker that was attached to an earlier control reports patterns whose age is not known.
  const bool unknown = repair_.held() && !pattern_times_known_;
  return pattern_times_.Add(pattern, unknown ? -absl::InfiniteDuration() : clock_->Now());
}

void WorkerLink::RemovePattern(uint64_t pattern) {
  MutexLock lock(&mu_);
  pattern_times_.Remove(pattern);
}

void WorkerLink::SetPatternTimes(PatternTimes times) {
  MutexLock lock(&mu_);
  pattern_times_ = std::move(times);
  pattern_times_known_ = true;
}

PatternTimes WorkerLink::TakePatternTimes() {
  MutexLock lock(&mu_);
  return std::exchange(pattern_times_, {});
}

void WorkerLink::SetMissedSince(absl::Duration since) {
  MutexLock lock(&mu_);
  repair_.SetMissedSince(since);
}

absl::Duration WorkerLink::missed_since() const {
  MutexLock lock(&mu_);
  return repair_.missed_since();
}

absl::Duration WorkerLink::unapplied_since() const {
  MutexLock lock(&mu_);
  return UnappliedSinceLocked();
}

absl::Duration WorkerLink::UnappliedSinceLocked() const {
  if (closing_) return ended_since_;
  return repair_.UnappliedSince(clock_->Now(), queue_.OldestReceived());
}

// ------------------------------------------------------------------------------- writing

void WorkerLink::Flush() {
  if (FlushQueue()) owner_->OnRoom(shared_from_this());
}

bool WorkerLink::FlushQueue() {
  enum class Next { kNothing, kControl, kBatch, kFinish };
  while (true) {
    Next next = Next::kNothing;
    bool repairs = false;
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
        } else if (queue_.CanTakeBatch()) {
          queue_.TakeBatch(&sending_);
          writing_ = true;
          next = Next::kBatch;
        }
      }
      repairs = !closing_ && repair_.IsWanted() && queue_.HasRoom();
    }
    switch (next) {
      case Next::kNothing:
        return repairs;
      case Next::kControl:
        transport_->Write({.head = control->SerializeAsString()});
        return repairs;
      case Next::kBatch:
        if (WriteBatch()) return repairs;
        break;  // all publications of the batch had expired: make the next batch
      case Next::kFinish:
        transport_->Finish(status);
        return false;
    }
  }
}

bool WorkerLink::WriteBatch() {
  BatchWriter::Written written = batch_writer_->Write(&sending_, clock_->Now());
  const bool empty = written.items == 0;
  {
    MutexLock lock(&mu_);
    queue_.FinishBatch(written.items, written.envelope_bytes);
    ++sent_batches_;
    if (empty) writing_ = false;
  }
  // When the write has begun, another thread may get OnWriteDone() and begin the next write.  From
  // here on, sending_ and batch_writer_ belong to that thread.
  if (!empty) transport_->Write(std::move(written.message));
  for (const uint64_t tracking_id : written.expired) owner_->OnExpired(this, tracking_id);
  return !empty;
}

bool WorkerLink::Send(std::unique_ptr<v1::ControlMessage> message) {
  const size_t bytes = message->ByteSizeLong();
  {
    MutexLock lock(&mu_);
    if (closing_) return false;
    if (message->has_client_replies() && control_bytes_ + bytes > kMaxReplyBytes) {
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
    if (!ok) EndLocked(absl::UnavailableError("the stream to the worker broke"));
  }
  Flush();
}

void WorkerLink::OnAck(uint64_t items, uint64_t bytes) {
  {
    MutexLock lock(&mu_);
    queue_.Acknowledge(items, bytes);
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
  repair_.Clear();
}

bool WorkerLink::closed() const {
  MutexLock lock(&mu_);
  return closing_;
}

WorkerLink::Stats WorkerLink::stats() const {
  MutexLock lock(&mu_);
  Stats stats;
  stats.queued_items = static_cast<int64_t>(queue_.queued_items());
  stats.queued_bytes = static_cast<int64_t>(queue_.queued_bytes());
  stats.in_flight_items = static_cast<int64_t>(queue_.in_flight_items());
  stats.in_flight_bytes = static_cast<int64_t>(queue_.in_flight_bytes());
  stats.repairs = repairs_;
  stats.gaps = gaps_;
  stats.dropped = dropped_;
  stats.sent_items = static_cast<int64_t>(queue_.sent_items());
  stats.sent_batches = sent_batches_;
  stats.dirty_channels = static_cast<int64_t>(repair_.dirty_count());
  return stats;
}

}  // namespace fanwire::control
