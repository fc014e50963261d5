// Session's sending side: what Hub delivers, what waits, and what becomes of it.
#include <algorithm>
#include <functional>
#include <utility>

#include "fanout/session.h"
#include "proto/policies.h"

namespace fanwire::fanout {

namespace {

// What is handed to the connection at a time; the rest stays within reach of the backlog policy.
constexpr size_t kOfferBytes = 64 << 10;

// Most that a session gathers before it sends, in publications; in bytes it is kOfferBytes.  More
// saves little, and takes memory while the loop is behind.
constexpr size_t kMaxGathered = 64;

// What may wait beyond the budget: a recovery's page, which can be one large publication.
constexpr size_t kMaxOverBytes = 4 << 20;

}  // namespace

Session::Out& Session::out() {
  if (out_ == nullptr) out_ = std::make_unique<Out>();
  return *out_;
}

// ------------------------------------------------------------------------------- from Hub

bool Session::Passes(const Filter* filter, const Delivery& delivery) const {
  return filter == nullptr || delivery.notice ||
         filter->contains(context_->hub->EventName(delivery.event));
}

void Session::Deliver(const ChannelRef& channel, PatternTable* pattern, uint32_t subscription,
                      absl::Span<const Delivery> deliveries) {
  if (state_ != State::kActive) return;
  // The subscription whose filter decides, or all that match the channel: then one of them brings
  // the publication, and the filters are united.  Which one must not change while a run is walked,
  // as the places of subscriptions may.
  const Filter* filter = subscriptions_[subscription].filter.get();
  std::vector<const Filter*> filters;
  bool recovers = false;
  const Filter* recovered = nullptr;  // what a recovery lets through
  if (pattern_subscriptions_ > 0 && (subscriptions_.size() > 1 || recovering_ > 0)) {
    recovers = pattern != nullptr && Recovers(channel.get(), &recovered);
    const std::vector<PatternTable*>& matching = service_->PatternsOf(channel.get());
    bool unfiltered = false;
    for (uint32_t i = 0; i < subscriptions_.size(); ++i) {
      const Subscription& other = subscriptions_[i];
      const bool exact = other.channel == channel.get();
      if (!exact && (other.pattern == nullptr || std::find(matching.begin(), matching.end(),
                                                           other.pattern) == matching.end())) {
        continue;
      }
      if (i != subscription &&
          (exact || (pattern != nullptr && std::less<>()(other.pattern, pattern)))) {
        return;  // that one brings it
      }
      unfiltered |= other.filter == nullptr;
      filters.push_back(other.filter.get());
    }
    if (unfiltered) filters.clear();
    filter = nullptr;
  }
  for (const Delivery& delivery : deliveries) {
    // What a recovery will bring does not come by a pattern as well.
    if (recovers && (delivery.notice || delivery.offset > 0) && Passes(recovered, delivery)) {
      continue;
    }
    if (!Passes(filter, delivery)) continue;
    if (!filters.empty() && std::none_of(filters.begin(), filters.end(), [&](const Filter* one) {
          return Passes(one, delivery);
        })) {
      continue;
    }
    if (!delivery.notice) {
      ++counts().matched;
      if (delivery.track != nullptr) ++delivery.track->matched;
    }
    Enqueue({.frame = delivery.frame,
             .channel = channel,
             .offset = delivery.offset,
             .conflate_key = delivery.conflate_key,
             .expires_at = delivery.expires_at,
             .track = delivery.track,
             .kind = delivery.notice ? Backlog::Kind::kNotice : Backlog::Kind::kEvent});
    if (state_ != State::kActive) return;
  }
}

void Session::OnPartlySent(const ChannelRef& /*channel*/, absl::Span<const Delivery> deliveries,
                           const FramePtr& joined, ssize_t taken) {
  if (state_ != State::kActive) return;
  const SendOutcome outcome = connection_->Continue(joined, taken);
  for (const Delivery& delivery : deliveries) {
    const Kind kind = delivery.notice ? Kind::kNotice : Kind::kEvent;
    if (!delivery.notice) {
      ++counts().matched;
      if (delivery.track != nullptr) ++delivery.track->matched;
    }
    CountQueued(kind, delivery.track);
    if (outcome == SendOutcome::kQueued) {
      out().in_flight.push_back({delivery.track, kind});
    } else if (outcome == SendOutcome::kSent) {
      CountWritten(kind, delivery.track);
      if (kind == Kind::kEvent) Settle(delivery.track);
    } else {
      CountLost({.track = delivery.track, .kind = static_cast<Backlog::Kind>(kind)});
    }
  }
  UpdateSlow();
}

void Session::Enqueue(Backlog::Item item) {
  Out& out = this->out();
  CountQueued(static_cast<Kind>(item.kind), item.track);
  // Behind what was gathered, whatever waits by now: FlushTurn() looks after it.
  if (out.turn.empty() && (pauses_ > 0 || connection_->has_backlog() || !out.backlog.empty())) {
    return PushBacklog(std::move(item));
  }
  out.turn_bytes += item.frame->size();
  out.turn.push_back(std::move(item));
  if (out.turn.size() >= kMaxGathered || out.turn_bytes >= kOfferBytes) return FlushTurn();
  context_->hub->MarkDirty(this);
}

void Session::FlushTurn() {
  if (out_ == nullptr || out_->turn.empty()) return;
  out_->turn_bytes = 0;
  std::vector<Backlog::Item> items = std::exchange(out_->turn, {});
  SendItems(&items);
  if (out_ != nullptr && out_->turn.empty() && items.capacity() <= 16) {
    items.clear();
    out_->turn = std::move(items);  // its memory is used again
  }
  UpdateSlow();
}

// ------------------------------------------------------------------------------- sending

void Session::SendItems(std::vector<Backlog::Item>* items, bool whatever_waits) {
  std::vector<FramePtr> frames;
  for (size_t begin = 0; begin < items->size();) {
    if (state_ == State::kClosed) {
      for (size_t i = begin; i < items->size(); ++i) CountLost((*items)[i]);
      return;
    }
    if (connection_->has_backlog() && !whatever_waits) {
      for (size_t i = begin; i < items->size(); ++i) {
        if (state_ == State::kClosed) {
          CountLost((*items)[i]);
        } else {
          PushBacklog(std::move((*items)[i]));
        }
      }
      return;
    }
    frames.clear();
    size_t bytes = 0, end = begin;
    for (; end < items->size() && (bytes < kOfferBytes || end == begin); ++end) {
      bytes += (*items)[end].frame->size();
      frames.push_back((*items)[end].frame);
    }
    const SendOutcome outcome = connection_->OfferAll(frames);
    for (size_t i = begin; i < end; ++i) {
      const Backlog::Item& item = (*items)[i];
      const auto kind = static_cast<Kind>(item.kind);
      switch (outcome) {
        case SendOutcome::kSent:
          CountWritten(kind, item.track);
          if (kind == Kind::kEvent) Settle(item.track);
          break;
        case SendOutcome::kQueued:
          out().in_flight.push_back({item.track, kind});
          break;
        case SendOutcome::kClosed:
          CountLost(item);
          break;
      }
    }
    begin = end;
  }
}

void Session::PushBacklog(Backlog::Item item) {
  const auto kind = static_cast<Kind>(item.kind);
  const size_t limit = settings().session_backlog_bytes;
  const size_t queued = connection_->queued_bytes();
  if (kind != Kind::kEvent) {
    out().backlog.Append(std::move(item));
    // Notices have no policy, but an end.
    if (Waiting() > limit + kMaxOverBytes) return CloseSlow();
    return UpdateSlow();
  }
  const Backlog::Item copy = item;
  const Backlog::PushOutcome outcome = out().backlog.Push(
      std::move(item), limit > queued ? limit - queued : 0,
      [&](const Backlog::Item& dropped, DropReason reason) { CountDropped(dropped, reason); });
  if (outcome == Backlog::PushOutcome::kTooSlow) {
    CountDropped(copy, DropReason::kSlowClosed);
    return CloseSlow();
  }
  UpdateSlow();
}

void Session::OnDrained() {
  SettleInFlight();
  if (pending_ != nullptr) pending_->recovery_deadline = Now() + settings().recovery_timeout;
  Flush();
}

void Session::Flush() {
  std::vector<Backlog::Item> items;
  while (state_ == State::kActive && out_ != nullptr && pauses_ == 0 &&
         (!out_->backlog.empty() || out_->backlog.notices_due()) && !connection_->has_backlog()) {
    items.clear();
    out_->backlog.Take(
        kOfferBytes, Now(), &items,
        [&](const Channel& channel, int64_t from, int64_t to, const char* reason) {
          return Frame::Text(SkippedText(channel.name, from, to, reason, "", WallNow()));
        },
        [&](const Backlog::Item& item) {
          ++counts().expired;
          if (item.track != nullptr) ++item.track->expired;
          --counts().queued;
          Settle(item.track);
        });
    if (items.empty()) break;
    // All of it, lest the rest be put behind what waits already.
    SendItems(&items, /*whatever_waits=*/true);
  }
  UpdateSlow();
  if (state_ == State::kActive) PumpRecoveries();
}

void Session::Pause() {
  if (pauses_++ == 0) connection_->AllowDirect(false);
}

void Session::Unpause() {
  if (pauses_ == 0 || --pauses_ > 0) return;
  connection_->AllowDirect(true);
  Flush();
}

void Session::CloseSlow() {
  if (state_ == State::kClosed) return;
  slow_closed_ = true;
  Close(CloseCode::kSlowSubscriber, DefaultReason(CloseCode::kSlowSubscriber),
        Connection::Backlog::kDrop);
}

// ------------------------------------------------------------------------------- counting

void Session::CountQueued(Kind kind, Track* track) {
  if (kind != Kind::kEvent) return;
  ++counts().queued;
  if (track != nullptr) ++track->waiting;
}

void Session::Settle(Track* track) {
  if (track != nullptr) context_->hub->tracks()->Settled(track);
}

void Session::CountWritten(Kind kind, Track* track) {
  if (kind == Kind::kRecovered) ++counts().recovered;
  if (kind != Kind::kEvent) return;
  ++counts().written;
  --counts().queued;
  if (track != nullptr) context_->hub->tracks()->Written(track, 1);
}

void Session::CountDropped(const Backlog::Item& item, DropReason reason) {
  if (item.kind != Backlog::Kind::kEvent) return;
  ++dropped_;
  ++counts().dropped[static_cast<size_t>(reason)];
  --counts().queued;
  if (item.track != nullptr) ++item.track->dropped[static_cast<size_t>(reason)];
  Settle(item.track);
}

void Session::CountLost(const Backlog::Item& item) {
  if (slow_closed_) return CountDropped(item, DropReason::kSlowClosed);
  if (item.kind != Backlog::Kind::kEvent) return;
  ++counts().lost_connection;
  --counts().queued;
  if (item.track != nullptr) ++item.track->lost_connection;
  Settle(item.track);
}

void Session::SettleInFlight() {
  if (out_ == nullptr) return;
  for (const InFlight& item : out_->in_flight) {
    CountWritten(item.kind, item.track);
    if (item.kind == Kind::kEvent) Settle(item.track);
  }
  out_->in_flight.clear();
}

void Session::SettleUnsent(uint64_t messages) {
  unsent_settled_ += messages;
  if (out_ == nullptr) return;
  for (; messages > 0 && !out_->in_flight.empty(); --messages) {
    const InFlight& item = out_->in_flight.back();
    CountLost({.track = item.track, .kind = static_cast<Backlog::Kind>(item.kind)});
    out_->in_flight.pop_back();
  }
  for (const Backlog::Item& item : std::exchange(out_->turn, {})) CountLost(item);
  out_->backlog.Clear([&](const Backlog::Item& item) { CountLost(item); });
  UpdateSlow();
}

void Session::UpdateSlow() {
  const size_t bytes = out_ == nullptr ? 0 : out_->backlog.bytes();
  const bool slow = out_ != nullptr && (!out_->backlog.empty() || out_->backlog.notices_due() ||
                                        !out_->in_flight.empty());
  if (out_ != nullptr) {
    counts().backlog_bytes +=
        static_cast<int64_t>(bytes) - static_cast<int64_t>(out_->counted_bytes);
    out_->counted_bytes = bytes;
  }
  if (slow != slow_) {
    slow_ = slow;
    counts().slow_sessions += slow ? 1 : -1;
  }
  // A session that keeps up needs none of it, unless it is about to again.
  if (!slow && out_ != nullptr && out_->turn.empty() && subscriptions_.size() < 2) {
    out_ = nullptr;
  }
}

}  // namespace fanwire::fanout
