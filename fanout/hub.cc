#include "fanout/hub.h"

#include <algorithm>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "fanout/session.h"

namespace fanwire {
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
  FramePtr joined;
  size_t bytes = 0;
  int64_t publications = 0;     // of the deliveries; notices not counted
  Session* excluded = nullptr;  // of the one delivery that a run with an exclusion has
  Stops stops;
  size_t stop = 0;
  uint32_t index = 0;
  FanOutRun* next = nullptr;  // of the same channel
};

namespace {

void EndWalks(const FanOutRun::Stops& stops) {
  for (const FanOutRun::Stop& stop : stops) {
    stop.table->EndWalk();
    if (stop.pattern != nullptr) stop.pattern->service->ForgetIfIdle(stop.pattern);
  }
}

}  // namespace

Hub::Hub(EventLoop* loop, SendTable* sockets, TrackTable* tracks)
    : loop_(loop), sockets_(sockets), tracks_(tracks) {}

Hub::~Hub() {
  for (Channel* const channel : active_) {
    const ChannelRef held(channel);  // else the last run takes it along
    while (channel->first_run != nullptr) {
      const std::unique_ptr<FanOutRun> run(channel->first_run);
      channel->first_run = run->next;
    }
  }
}

void Hub::Deliver(Channel* channel, Delivery delivery) {
  if (channel->arrived.empty()) arrived_.emplace_back(channel);
  if (!delivery.notice) {
    ++channel->service->counts().publications;
    ++*channel->broadcasts;
  }
  channel->arrived.push_back(std::move(delivery));
}

void Hub::CommitAll() {
  budget_ = slice_;
  one_channel_ = arrived_.size() == 1 && active_.empty();
  const std::vector<ChannelRef> channels = std::exchange(arrived_, {});
  for (const ChannelRef& channel : channels) Commit(channel.get(), /*walk=*/true);
}

void Hub::Commit(Channel* channel) { Commit(channel, /*walk=*/false); }

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
    do {
      run.bytes += arrived[i].frame->size();
      run.publications += arrived[i].notice ? 0 : 1;
      run.deliveries.push_back(std::move(arrived[i]));
      ++i;
    } while (i < arrived.size() && run.excluded == nullptr && arrived[i].excluded == nullptr &&
             run.bytes + arrived[i].frame->size() <= kMaxJoinedBytes);
    if (run.deliveries.size() == 1) {
      run.joined = run.deliveries.front().frame;
    } else {
      std::vector<FramePtr> frames;
      frames.reserve(run.deliveries.size());
      for (const Delivery& delivery : run.deliveries) frames.push_back(delivery.frame);
      run.joined = Frame::Join(frames);
    }
    for (const FanOutRun::Stop& stop : run.stops) stop.table->BeginWalk();
    pending_bytes_ += run.bytes;
    if (walk && channel->first_run == nullptr && subscribers <= budget_) {
      budget_ -= Walk(&run, subscribers);
      Finish(&run);
      continue;
    }
    Enqueue(std::make_unique<FanOutRun>(std::move(run)));
  }
  EndWalks(stops);
  if (channel->first_run == nullptr) channel->service->ForgetIfIdle(channel);
}

void Hub::Enqueue(std::unique_ptr<FanOutRun> run) {
  Channel& channel = *run->channel;
  FanOutRun* const last = run.release();
  if (channel.first_run == nullptr) {
    channel.first_run = last;
    active_.push_back(&channel);
  } else {
    channel.last_run->next = last;
  }
  channel.last_run = last;
}

void Hub::Run() {
  loop_->AssertOnLoop();
  while (!active_.empty() && budget_ > 0) {
    const ChannelRef channel(active_.front());
    active_.pop_front();
    // A channel that is not done after its part goes behind the others.
    size_t part = std::min(budget_, std::max<size_t>(slice_ / 2, 1));
    one_channel_ = one_channel_ && active_.empty();
    while (channel->first_run != nullptr && part > 0) {
      FanOutRun* const run = channel->first_run;
      const size_t used = Walk(run, part);
      part -= used;
      budget_ -= std::min(budget_, std::max<size_t>(used, 1));
      if (run->stop < run->stops.size()) break;
      FinishFirst(channel.get());
    }
    if (channel->first_run != nullptr) {
      active_.push_back(channel.get());
    } else {
      channel->service->ForgetIfIdle(channel.get());
    }
  }
  FlushDirty();
  if (!active_.empty() && !std::exchange(posted_, true)) {
    loop_->Post([this] {
      posted_ = false;
      budget_ = slice_;
      one_channel_ = active_.size() == 1;
      Run();
    });
  }
}

void Hub::Drain() {
  one_channel_ = false;
  while (!active_.empty()) {
    const ChannelRef channel(active_.front());
    active_.pop_front();
    while (channel->first_run != nullptr) {
      Walk(channel->first_run, SIZE_MAX);
      FinishFirst(channel.get());
    }
    channel->service->ForgetIfIdle(channel.get());
  }
  FlushDirty();
}

void Hub::FinishFirst(Channel* channel) {
  const std::unique_ptr<FanOutRun> run(channel->first_run);
  channel->first_run = run->next;
  Finish(run.get());
}

size_t Hub::Walk(FanOutRun* run, size_t budget) {
  Channel& channel = *run->channel;
  ServiceCounts& counts = channel.service->counts();
  const Frame& frame = *run->joined;
  const auto size = static_cast<ssize_t>(frame.size());
  // With one channel in the turn there is nothing to gather.
  const uint8_t ask = one_channel_ ? kSessionDecides : kSessionDecides | kSessionGathers;
  size_t sends = 0;
  int64_t direct = 0;
  while (run->stop < run->stops.size()) {
    const FanOutRun::Stop& stop = run->stops[run->stop];
    const std::vector<Subscriber>& entries = stop.table->entries();
    while (run->index < stop.limit && sends < budget) {
      const Subscriber subscriber = entries[run->index++];
      if (subscriber.session == nullptr || subscriber.session == run->excluded) continue;
      ++sends;
      if ((subscriber.by_session & ask) == 0 && sockets_->direct(subscriber.fd)) {
        const ssize_t taken = sockets_->Send(subscriber.fd, frame);
        if (taken == size) {
          ++direct;
          continue;
        }
        subscriber.session->OnPartlySent(run->channel, run->deliveries, run->joined, taken);
        continue;
      }
      subscriber.session->Deliver(run->channel, stop.pattern, subscriber.subscription,
                                  run->deliveries);
    }
    if (run->index < stop.limit) break;
    ++run->stop;
    run->index = 0;
  }
  if (direct > 0) {
    counts.matched += direct * run->publications;
    counts.written += direct * run->publications;
    for (const Delivery& delivery : run->deliveries) {
      if (delivery.track == nullptr) continue;
      delivery.track->matched += direct;
      tracks_->Written(delivery.track, direct);
    }
  }
  return sends;
}

void Hub::Finish(FanOutRun* run) {
  EndWalks(run->stops);
  // What sessions that decide themselves have taken is sent before the tracks are closed.
  bool tracked = false;
  for (const Delivery& delivery : run->deliveries) tracked |= delivery.track != nullptr;
  if (tracked) FlushDirty();
  for (const Delivery& delivery : run->deliveries) {
    if (delivery.track != nullptr) tracks_->FannedOut(delivery.track);
  }
  pending_bytes_ -= run->bytes;
}

void Hub::MarkDirty(Session* session) { dirty_.push_back(session); }

void Hub::Forget(Session* session) {
  std::replace(dirty_.begin(), dirty_.end(), session, static_cast<Session*>(nullptr));
}

void Hub::FlushDirty() {
  // Flushing may close sessions, which then forget themselves here.
  for (size_t i = 0; i < dirty_.size(); ++i) {
    if (dirty_[i] != nullptr) dirty_[i]->FlushTurn();
  }
  dirty_.clear();
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

}  // namespace fanwire
