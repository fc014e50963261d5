#include "fanout/out_queue.h"

#include <algorithm>
#include <utility>

#include "fanout/reply.h"

namespace fanwire::fanout {

namespace {

// Bytes that are handed to the connection at a time; the rest stays within reach of the policy.
constexpr size_t kOfferBytes = 64 << 10;

// Publications that are gathered before they are sent; in bytes the limit is kOfferBytes.  More
// saves little, and takes memory while the loop is behind.
constexpr size_t kMaxGathered = 64;

// Memory of the turn, in items, that is kept for the next one.
constexpr size_t kKeptItems = 16;

// What may wait beyond the budget: a page of a recovery, which can be one large publication.
constexpr size_t kMaxOverBytes = 4 << 20;

}  // namespace

OutQueue::OutQueue(Connection* connection, Service* service, TrackTable* tracks,
                   const EventLoop* loop, const Clock* clock)
    : connection_(connection), service_(service), tracks_(tracks), loop_(loop), clock_(clock) {}

Backlog& OutQueue::backlog() {
  if (backlog_ == nullptr) backlog_ = std::make_unique<Backlog>();
  return *backlog_;
}

// ------------------------------------------------------------------------------- adding

OutQueue::Added OutQueue::Add(Backlog::Item item) {
  CountMatched(item.kind, item.track);
  // Behind what was gathered an item is gathered too, whatever waits by now: FlushTurn() keeps the
  // order.
  if (turn_.empty() && (paused_ || waits() || connection_->has_backlog())) {
    return Push(std::move(item)) == Outcome::kOk ? Added::kDone : Added::kTooSlow;
  }
  turn_bytes_ += item.frame->size();
  turn_.push_back(std::move(item));
  if (turn_.size() < kMaxGathered && turn_bytes_ < kOfferBytes) return Added::kGathered;
  return FlushTurn() == Outcome::kOk ? Added::kDone : Added::kTooSlow;
}

OutQueue::Outcome OutQueue::FlushTurn() {
  if (turn_.empty()) return Outcome::kOk;
  for (size_t i = Send(turn_, /*regardless=*/false); i < turn_.size(); ++i) {
    if (Push(std::move(turn_[i])) == Outcome::kOk) continue;
    // The rest is lost when the session closes.
    turn_.erase(turn_.begin(), turn_.begin() + static_cast<ptrdiff_t>(i) + 1);
    return Outcome::kTooSlow;
  }
  ClearTurn();
  UpdateSlow();
  return Outcome::kOk;
}

void OutQueue::ClearTurn() {
  turn_bytes_ = 0;
  turn_.clear();
  if (turn_.capacity() > kKeptItems) std::vector<Backlog::Item>().swap(turn_);
}

void OutQueue::Append(Backlog::Item item) { backlog().Append(std::move(item)); }

OutQueue::Outcome OutQueue::Push(Backlog::Item item) {
  const size_t limit = service_->settings().session_backlog_bytes;
  const size_t queued = connection_->queued_bytes();
  const Kind kind = item.kind;
  if (kind != Kind::kEvent) {
    Append(std::move(item));
    UpdateSlow();
    // Notices have no policy, but they must not grow without bound.
    return backlog_bytes() + queued > limit + kMaxOverBytes ? Outcome::kTooSlow : Outcome::kOk;
  }
  Track* const track = item.track;
  const Backlog::PushOutcome outcome =
      backlog().Push(std::move(item), limit > queued ? limit - queued : 0,
                     [this](const Backlog::Item& dropped, DropReason reason) {
                       CountDropped(dropped.kind, dropped.track, reason);
                     });
  if (outcome == Backlog::PushOutcome::kTooSlow) {
    CountDropped(kind, track, DropReason::kSlowClosed);
    return Outcome::kTooSlow;
  }
  UpdateSlow();
  return Outcome::kOk;
}

void OutQueue::TakeOver(absl::Span<const Delivery> deliveries, const FramePtr& joined,
                        ssize_t taken) {
  const SendOutcome outcome = connection_->Continue(joined, taken);
  for (const Delivery& delivery : deliveries) {
    const Kind kind = delivery.notice ? Kind::kNotice : Kind::kEvent;
    CountMatched(kind, delivery.track);
    if (outcome == SendOutcome::kQueued) {
      in_flight_.push_back({.track = delivery.track, .kind = kind});
    } else if (outcome == SendOutcome::kSent) {
      CountWritten(kind, delivery.track);
    } else {
      CountLost(kind, delivery.track);
    }
  }
  UpdateSlow();
}

OutQueue::Outcome OutQueue::AddQueuedReply() {
  in_flight_.push_back({.reply = true});
  UpdateSlow();
  // A client that asks and does not read must not make the connection's queue grow without bound.
  const ServiceSettings& settings = service_->settings();
  return connection_->queued_bytes() >
                 settings.session_backlog_bytes + 2 * settings.max_message_bytes
             ? Outcome::kTooSlow
             : Outcome::kOk;
}

// ------------------------------------------------------------------------------- sending

size_t OutQueue::Send(absl::Span<const Backlog::Item> items, bool regardless) {
  std::vector<FramePtr> frames;
  size_t begin = 0;
  while (begin < items.size() && (regardless || !connection_->has_backlog())) {
    frames.clear();
    size_t bytes = 0, end = begin;
    for (; end < items.size() && (bytes < kOfferBytes || end == begin); ++end) {
      frames.push_back(items[end].frame);
      bytes += frames.back()->size();
    }
    const SendOutcome outcome = connection_->OfferAll(frames);
    for (; begin < end; ++begin) {
      const Backlog::Item& item = items[begin];
      switch (outcome) {
        case SendOutcome::kSent:
          CountWritten(item.kind, item.track);
          break;
        case SendOutcome::kQueued:
          in_flight_.push_back({.track = item.track, .kind = item.kind});
          break;
        case SendOutcome::kClosed:
          CountLost(item.kind, item.track);
          break;
      }
    }
  }
  return begin;
}

void OutQueue::TakeWaiting(size_t max_bytes, std::vector<Backlog::Item>* items) {
  backlog_->Take(
      max_bytes, loop_->Now(), items,
      [this](const Channel& channel, int64_t from, int64_t to, const char* reason) {
        return Frame::Text(SkippedText(channel.name, from, to, reason, "", clock_->WallNow()));
      },
      [this](const Backlog::Item& item) { CountExpired(item.track); });
}

void OutQueue::Flush() {
  std::vector<Backlog::Item> items;
  while (waits() && !paused_ && !connection_->has_backlog()) {
    items.clear();
    TakeWaiting(kOfferBytes, &items);
    if (items.empty()) break;
    // All of them: the rest must not be put behind what waits.
    Send(items, /*regardless=*/true);
  }
  UpdateSlow();
}

void OutQueue::SendAll() {
  paused_ = false;
  std::vector<Backlog::Item> items = std::exchange(turn_, {});
  turn_bytes_ = 0;
  if (waits()) TakeWaiting(SIZE_MAX, &items);
  Send(items, /*regardless=*/true);
  UpdateSlow();
}

void OutQueue::SetPaused(bool paused) {
  if (paused == paused_) return;
  paused_ = paused;
  connection_->AllowDirect(!paused);
}

void OutQueue::OnDrained() {
  for (const InFlight& item : in_flight_) CountWritten(item.kind, item.track);
  in_flight_.clear();
  UpdateSlow();
}

// ------------------------------------------------------------------------------- dropping

void OutQueue::DropChannel(const Channel* channel, DropReason reason) {
  if (backlog_ == nullptr) return;
  backlog_->ClearChannel(channel, [this, reason](const Backlog::Item& item) {
    CountDropped(item.kind, item.track, reason);
  });
  UpdateSlow();
}

void OutQueue::DropWaiting(uint64_t unsent) {
  unsent_dropped_ += unsent;
  for (; unsent > 0 && !in_flight_.empty(); --unsent) {
    CountLost(in_flight_.back().kind, in_flight_.back().track);
    in_flight_.pop_back();
  }
  for (const Backlog::Item& item : turn_) CountLost(item.kind, item.track);
  ClearTurn();
  if (backlog_ != nullptr) {
    backlog_->Clear([this](const Backlog::Item& item) { CountLost(item.kind, item.track); });
  }
  UpdateSlow();
}

void OutQueue::OnClosed(uint64_t unsent) {
  paused_ = false;
  // The last messages are those that never went out whole.
  DropWaiting(unsent - unsent_dropped_);
  OnDrained();
}

int64_t OutQueue::replies_in_flight() const {
  return std::count_if(in_flight_.begin(), in_flight_.end(),
                       [](const InFlight& item) { return item.reply; });
}

// ------------------------------------------------------------------------------- counting

void OutQueue::CountMatched(Kind kind, Track* track) {
  if (kind != Kind::kEvent) return;
  ++counts().matched;
  ++counts().queued;
  if (track == nullptr) return;
  ++track->matched;
  ++track->waiting;
}

void OutQueue::CountWritten(Kind kind, Track* track) {
  if (kind == Kind::kRecovered) ++counts().recovered;
  if (kind != Kind::kEvent) return;
  ++counts().written;
  --counts().queued;
  if (track != nullptr) tracks_->Written(track, 1);
  Settle(track);
}

void OutQueue::CountDropped(Kind kind, Track* track, DropReason reason) {
  if (kind != Kind::kEvent) return;
  ++dropped_;
  ++counts().dropped[static_cast<size_t>(reason)];
  --counts().queued;
  if (track != nullptr) ++track->dropped[static_cast<size_t>(reason)];
  Settle(track);
}

void OutQueue::CountExpired(Track* track) {
  ++counts().expired;
  --counts().queued;
  if (track != nullptr) ++track->expired;
  Settle(track);
}

void OutQueue::CountLost(Kind kind, Track* track) {
  if (closed_slow_) return CountDropped(kind, track, DropReason::kSlowClosed);
  if (kind != Kind::kEvent) return;
  ++counts().lost_connection;
  --counts().queued;
  if (track != nullptr) ++track->lost_connection;
  Settle(track);
}

void OutQueue::Settle(Track* track) {
  if (track != nullptr) tracks_->Settled(track);
}

void OutQueue::UpdateSlow() {
  const size_t bytes = backlog_bytes();
  counts().backlog_bytes += static_cast<int64_t>(bytes) - static_cast<int64_t>(counted_bytes_);
  counted_bytes_ = bytes;
  if (!waits()) backlog_ = nullptr;
  const bool slow = waits() || !in_flight_.empty();
  if (slow == slow_) return;
  slow_ = slow;
  counts().slow_sessions += slow ? 1 : -1;
}

}  // namespace fanwire::fanout
