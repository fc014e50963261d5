#include "fanout/hub.h"

#include <sched.h>

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/container/inlined_vector.h"
#include "common/clock.h"
#include "fanout/session.h"

namespace fanwire::fanout {

namespace {

// Most that one send carries of a run; a longer run is walked as several.
constexpr size_t kMaxJoinedBytes = 64 << 10;

// Event names that are remembered.  Control gives handles in ascending order and begins anew after
// half as many.
constexpr size_t kMaxEventNames = 131072;

}  // namespace

// One run of a channel: deliveries that go to the same subscribers.
struct FanOutRun {
  // A table to walk, and how many entries it had when the run was made.
  struct Stop {
    SubscriberTable* table = nullptr;
    PatternTable* pattern = nullptr;  // null: the channel's own
    uint32_t limit = 0;
  };
  using Stops = absl::InlinedVector<Stop, 2>;

  ChannelRef channel;
  std::vector<Delivery> deliveries;
  FramePtr joined;  // made for the first that gets it
  size_t bytes = 0;
  int64_t publications = 0;  // of the deliveries; notices not counted
  int64_t received_us = 0;   // of the first that says
  absl::Duration begun;
  Session* excluded = nullptr;  // of the one delivery that a run with an exclusion has
  Stops stops;
  size_t stop = 0;
  uint32_t index = 0;
  // Entries further on that were served ahead (Hub::Settle): stop and index.
  absl::flat_hash_set<std::pair<size_t, uint32_t>> served;
  FanOutRun* next = nullptr;  // of the same channel

  bool over() const { return stop == stops.size(); }
  bool Served(uint32_t at) const { return !served.empty() && served.contains(std::pair(stop, at)); }
};

namespace {

FramePtr Join(const std::vector<Delivery>& deliveries) {
  if (deliveries.size() == 1) return deliveries.front().frame;
  std::vector<FramePtr> frames;
  frames.reserve(deliveries.size());
  for (const Delivery& delivery : deliveries) frames.push_back(delivery.frame);
  return Frame::Join(frames);
}

void EndWalks(const FanOutRun::Stops& stops) {
  for (const FanOutRun::Stop& stop : stops) {
    stop.table->EndWalk();
    if (stop.pattern != nullptr) stop.pattern->service->ForgetIfIdle(stop.pattern);
  }
}

}  // namespace

void Hub::Slice::Begin(size_t sends, absl::Duration time) {
  sends_ = sends;
  cost_ = 0;
  end_ = time == absl::InfiniteDuration() ? time : clock_->Now() + time;
  over_ = sends == 0;
}

void Hub::Slice::CountSend() {
  if (clock_ == nullptr) return;
  if (sends_ == 0 || --sends_ == 0) over_ = true;
  CountVisit(kSendCost);
}

void Hub::Slice::CountVisit(size_t cost) {
  if (clock_ == nullptr) return;
  cost_ += cost;
  if (cost_ < kLookCost) return;
  cost_ = 0;
  if (end_ != absl::InfiniteDuration() && clock_->Now() >= end_) over_ = true;
}

Hub::Slice Hub::Slice::Part(size_t sends, absl::Duration time) const {
  Slice part(clock_);
  if (clock_ != nullptr) part.Begin(std::min(sends, sends_), time);
  return part;
}

void Hub::Slice::Use(const Slice& part, size_t sends) {
  if (clock_ == nullptr) return;
  sends_ -= std::min(sends_, std::min(sends, sends_) - part.sends_);
  over_ = sends_ == 0 || (end_ != absl::InfiniteDuration() && clock_->Now() >= end_);
}

Hub::Hub(EventLoop* loop, SendTable* sockets, TrackTable* tracks, const Clock* clock)
    : loop_(loop), sockets_(sockets), tracks_(tracks), slice_(clock) {}

Hub::~Hub() {
  for (const Busy& busy : busy_) {
    for (Channel* const channel : busy.channels) {
      const ChannelRef held(channel);  // else the last run takes it along
      while (channel->first_run != nullptr) {
        const std::unique_ptr<FanOutRun> run(channel->first_run);
        channel->first_run = run->next;
      }
    }
  }
}

void Hub::set_slice(size_t sends, absl::Duration time) {
  slice_sends_ = sends;
  slice_time_ = time;
}

void Hub::Deliver(Channel* channel, Delivery delivery) {
  if (channel->arrived.empty()) arrived_.emplace_back(channel);
  if (!delivery.notice) {
    ++channel->service->counts().publications;
    ++channel->kind->broadcasts;
  }
  channel->arrived.push_back(std::move(delivery));
}

void Hub::CommitAll() {
  slice_.Begin(slice_sends_, slice_time_);
  if (!arrived_.empty()) ReadClocks();
  one_channel_ = arrived_.size() == 1 && idle();
  const std::vector<ChannelRef> channels = std::exchange(arrived_, {});
  for (const ChannelRef& channel : channels) Commit(channel.get(), /*walk=*/true);
}

void Hub::Commit(Channel* channel) {
  if (channel->arrived.empty()) return;
  ReadClocks();
  Commit(channel, /*walk=*/false);
}

void Hub::Commit(Channel* channel, bool walk) {
  if (channel->arrived.empty()) return;
  std::vector<Delivery> arrived = std::exchange(channel->arrived, {});

  FanOutRun::Stops stops;
  size_t subscribers = 0;
  const auto add_stop = [&](SubscriberTable* table, PatternTable* pattern) {
    if (table->empty()) return;
    subscribers += table->entries().size();
    stops.push_back({table, pattern, static_cast<uint32_t>(table->entries().size())});
  };
  add_stop(&channel->subscribers, nullptr);
  for (PatternTable* const pattern : channel->service->PatternsOf(channel)) {
    add_stop(&pattern->subscribers, pattern);
  }
  if (stops.empty()) {
    for (const Delivery& delivery : arrived) {
      if (delivery.track != nullptr) tracks_->FannedOut(delivery.track);
    }
    channel->service->ForgetIfIdle(channel);
    return;
  }

  // What is walked here may close sessions: nothing moves or goes before the last run is made.
  for (const FanOutRun::Stop& stop : stops) stop.table->BeginWalk();
  for (size_t i = 0; i < arrived.size();) {
    FanOutRun run;
    run.channel = ChannelRef(channel);
    run.stops = stops;
    run.excluded = arrived[i].excluded;
    run.begun = looked_at_;
    do {
      run.bytes += arrived[i].frame->size();
      run.publications += arrived[i].notice ? 0 : 1;
      if (run.received_us == 0) run.received_us = arrived[i].received_us;
      run.deliveries.push_back(std::move(arrived[i]));
      ++i;
    } while (i < arrived.size() && run.excluded == nullptr && arrived[i].excluded == nullptr &&
             run.bytes + arrived[i].frame->size() <= kMaxJoinedBytes);
    for (const FanOutRun::Stop& stop : run.stops) stop.table->BeginWalk();
    pending_bytes_ += run.bytes;
    if (walk && channel->first_run == nullptr && !slice_.over() && subscribers <= slice_.sends()) {
      Walk(&run, &slice_);
      if (run.over()) {
        Finish(&run);
        continue;
      }
    }
    Enqueue(std::make_unique<FanOutRun>(std::move(run)));
  }
  EndWalks(stops);
  if (channel->first_run == nullptr) channel->service->ForgetIfIdle(channel);
}

void Hub::Enqueue(std::unique_ptr<FanOutRun> run) {
  Channel& channel = *run->channel;
  FanOutRun* const last = run.release();
  if (channel.first_run != nullptr) {
    channel.last_run->next = last;
    channel.last_run = last;
    return;
  }
  channel.first_run = channel.last_run = last;
  const auto busy = std::find_if(busy_.begin(), busy_.end(), [&](const Busy& other) {
    return other.service == channel.service;
  });
  if (busy != busy_.end()) {
    busy->channels.push_back(&channel);
  } else {
    busy_.push_back({.service = channel.service, .channels = {&channel}});
  }
}

void Hub::Run() {
  loop_->AssertOnLoop();
  RunSlice(&slice_);
  if (idle()) return;
  // What came in meanwhile may wait for the stream's thread to get this core, and a slice of the
  // scheduler is longer than ours.
  sched_yield();
  if (std::exchange(posted_, true)) return;
  loop_->Post([this] {
    posted_ = false;
    slice_.Begin(slice_sends_, slice_time_);
    one_channel_ = busy_.size() == 1 && busy_.front().channels.size() == 1 && dirty_.empty();
    Run();
  });
}

void Hub::RunSlice(Slice* slice) {
  // Neither what sessions have gathered nor what is to be walked takes all of a slice while the
  // other waits; nor does one channel.
  const size_t half_sends = std::max<size_t>(slice_sends_ / 2, 1);
  const absl::Duration half_time = slice_time_ / 2;
  if (!dirty_.empty() && !slice->over()) {
    Slice part = slice->Part(half_sends, half_time);
    FlushDirty(&part);
    slice->Use(part, half_sends);
  }
  while (!busy_.empty() && !slice->over()) {
    Busy& busy = busy_.front();
    const ChannelRef channel(busy.channels.front());
    busy.channels.pop_front();
    one_channel_ = one_channel_ && busy.channels.empty() && busy_.size() == 1;
    Slice part = slice->Part(half_sends, half_time);
    while (channel->first_run != nullptr && !part.over()) {
      Walk(channel->first_run, &part);
      if (channel->first_run->over()) FinishFirst(channel.get());
    }
    slice->Use(part, half_sends);
    if (channel->first_run != nullptr) {
      busy.channels.push_back(channel.get());
    } else {
      channel->service->ForgetIfIdle(channel.get());
    }
    if (busy.channels.empty()) {
      busy_.pop_front();
    } else if (busy_.size() > 1) {
      busy_.push_back(std::move(busy_.front()));
      busy_.pop_front();
    }
  }
  FlushDirty(slice);
}

void Hub::Drain() {
  one_channel_ = false;
  Slice endless = Slice::Endless();
  RunSlice(&endless);
}

void Hub::Settle(Session* session) {
  if (!arrived_.empty()) ReadClocks();
  const std::vector<ChannelRef> channels = std::exchange(arrived_, {});
  for (const ChannelRef& channel : channels) Commit(channel.get(), /*walk=*/false);
  if (!busy_.empty()) {
    absl::flat_hash_map<const SubscriberTable*, uint32_t> places;
    session->ForEachPlace(
        [&](const SubscriberTable* table, uint32_t index) { places.emplace(table, index); });
    for (const Busy& busy : busy_) {
      for (Channel* const channel : busy.channels) {
        for (FanOutRun* run = channel->first_run; run != nullptr; run = run->next) {
          if (session != run->excluded) ServeAhead(run, session, places);
        }
      }
    }
  }
  session->FlushTurn();
}

void Hub::ServeAhead(FanOutRun* run, Session* session,
                     const absl::flat_hash_map<const SubscriberTable*, uint32_t>& places) {
  for (size_t i = run->stop; i < run->stops.size(); ++i) {
    const FanOutRun::Stop& stop = run->stops[i];
    const auto place = places.find(stop.table);
    if (place == places.end() || place->second >= stop.limit) continue;
    if (i == run->stop && place->second < run->index) continue;  // has it
    // What an earlier run brought may have ended it: then there is a hole.
    const Subscriber& subscriber = stop.table->entries()[place->second];
    if (subscriber.session != session) continue;
    if (!run->served.emplace(i, place->second).second) continue;
    if (Offer(run, stop.pattern, subscriber, /*gathers=*/true) == Offered::kSent) {
      CountDirect(*run, 1);
    }
  }
}

void Hub::FinishFirst(Channel* channel) {
  const std::unique_ptr<FanOutRun> run(channel->first_run);
  channel->first_run = run->next;
  Finish(run.get());
}

void Hub::Walk(FanOutRun* run, Slice* slice) {
  int64_t direct = 0;
  while (!run->over() && !slice->over()) {
    const FanOutRun::Stop& stop = run->stops[run->stop];
    const std::vector<Subscriber>& entries = stop.table->entries();
    while (run->index < stop.limit && !slice->over()) {
      const uint32_t index = run->index++;
      const Subscriber subscriber = entries[index];
      if (subscriber.session == nullptr || subscriber.session == run->excluded ||
          run->Served(index)) {
        slice->CountVisit(1);
        continue;
      }
      switch (Offer(run, stop.pattern, subscriber, !one_channel_)) {
        case Offered::kSent:
          ++direct;
          slice->CountSend();
          break;
        case Offered::kPartlySent:
          slice->CountSend();
          break;
        case Offered::kAsked:
          slice->CountVisit(run->deliveries.size());
          break;
      }
    }
    if (run->index < stop.limit) break;
    ++run->stop;
    run->index = 0;
  }
  if (direct > 0) CountDirect(*run, direct);
}

Hub::Offered Hub::Offer(FanOutRun* run, PatternTable* pattern, const Subscriber& subscriber,
                        bool gathers) {
  const uint8_t ask = gathers ? kSessionDecides | kSessionGathers : kSessionDecides;
  if ((subscriber.by_session & ask) != 0 || !sockets_->direct(subscriber.fd)) {
    subscriber.session->Deliver(run->channel, pattern, subscriber.subscription, run->deliveries);
    return Offered::kAsked;
  }
  if (!run->joined) run->joined = Join(run->deliveries);
  const ssize_t taken = sockets_->Send(subscriber.fd, *run->joined);
  if (taken == static_cast<ssize_t>(run->joined->size())) return Offered::kSent;
  subscriber.session->OnPartlySent(run->channel, run->deliveries, run->joined, taken);
  return Offered::kPartlySent;
}

void Hub::CountDirect(const FanOutRun& run, int64_t sends) {
  ServiceCounts& counts = run.channel->service->counts();
  counts.matched += sends * run.publications;
  counts.written += sends * run.publications;
  for (const Delivery& delivery : run.deliveries) {
    if (delivery.track == nullptr) continue;
    delivery.track->matched += sends;
    tracks_->Written(delivery.track, sends);
  }
}

void Hub::ReadClocks() {
  const Clock* const clock = Clock::Real();
  looked_at_ = clock->Now();
  wall_ahead_ = (clock->WallNow() - absl::UnixEpoch()) - looked_at_;
}

void Hub::Measure(const FanOutRun& run) {
  if (run.publications == 0) return;
  looked_at_ = Clock::Real()->Now();
  run.channel->kind->fanout.Observe(absl::ToDoubleSeconds(looked_at_ - run.begun));
  if (run.received_us == 0) return;
  // Of two machines the clocks may differ.
  const absl::Duration latency = looked_at_ + wall_ahead_ - absl::Microseconds(run.received_us);
  run.channel->service->latencies().events.Observe(std::max(absl::ToDoubleSeconds(latency), 0.0));
}

void Hub::Finish(FanOutRun* run) {
  EndWalks(run->stops);
  Measure(*run);
  for (const Delivery& delivery : run->deliveries) {
    if (delivery.track != nullptr) tracks_->FannedOut(delivery.track);
  }
  pending_bytes_ -= run->bytes;
}

void Hub::MarkDirty(Session* session) {
  if (session->listed()) return;
  session->set_listed(true);
  dirty_.push_back(session);
}

void Hub::Forget(Session* session) {
  if (!session->listed()) return;
  session->set_listed(false);
  std::replace(dirty_.begin(), dirty_.end(), session, static_cast<Session*>(nullptr));
}

void Hub::FlushDirty(Slice* slice) {
  // Flushing may close sessions, which then forget themselves here.
  size_t done = 0;
  for (; done < dirty_.size() && !slice->over(); ++done) {
    if (dirty_[done] == nullptr) continue;
    Session* const session = std::exchange(dirty_[done], nullptr);
    session->set_listed(false);
    session->FlushTurn();
    slice->CountSend();
  }
  dirty_.erase(dirty_.begin(), dirty_.begin() + static_cast<ptrdiff_t>(done));
}

void Hub::DefineEvent(uint32_t handle, absl::string_view name) {
  if (handle < first_event_ || handle > first_event_ + events_.size()) {
    // The first of an attachment.
    events_.clear();
    first_event_ = handle;
  }
  const size_t index = handle - first_event_;
  if (index == events_.size()) {
    events_.emplace_back(name);
  } else {
    events_[index] = std::string(name);
  }
  if (events_.size() > kMaxEventNames) {
    events_.pop_front();
    ++first_event_;
  }
}

absl::string_view Hub::EventName(uint32_t handle) const {
  if (handle < first_event_ || handle - first_event_ >= events_.size()) return {};
  return events_[handle - first_event_];
}

}  // namespace fanwire::fanout
