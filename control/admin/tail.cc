#include "control/admin/tail.h"

#include <algorithm>
#include <utility>

#include "common/timer_queue.h"

namespace fanwire::control {

namespace {

constexpr uint32_t kDefaultPerSecond = 1000;

}  // namespace

// Guarded by the hub's mutex, except for the members that are set in the constructor.
class TailHub::Stream {
 public:
  Stream(const Filter& filter, ChannelPattern pattern, std::function<void()> on_ready)
      : service(filter.service),
        pattern(std::move(pattern)),
        events(filter.events.begin(), filter.events.end()),
        max_per_second(filter.max_per_second == 0 ? kDefaultPerSecond : filter.max_per_second),
        on_ready(std::move(on_ready)) {}

  bool Wants(const ObservedPublication& observed) const {
    if (!service.empty() && service != observed.service) return false;
    if (!events.empty() && !events.contains(observed.publication->event())) return false;
    return pattern.Matches(observed.channel);
  }

  // Returns whether the rate allows one more publication at `now`.
  bool Admit(absl::Duration now) {
    if (now - window_began >= absl::Seconds(1)) {
      window_began = now;
      in_window = 0;
    }
    if (in_window >= max_per_second) return false;
    ++in_window;
    return true;
  }

  bool has_something() const { return !queue.empty() || left_out > 0 || ended.has_value(); }

  const std::string service;
  const ChannelPattern pattern;
  const absl::flat_hash_set<std::string> events;
  const uint32_t max_per_second;
  const std::function<void()> on_ready;

  std::deque<Event> queue;
  size_t queued_bytes = 0;
  int64_t left_out = 0;
  absl::Duration window_began = -absl::InfiniteDuration();
  uint32_t in_window = 0;
  std::optional<absl::Status> ended;
};

absl::StatusOr<TailHub::StreamPtr> TailHub::Open(const Filter& filter,
                                                 std::function<void()> on_ready) {
  absl::StatusOr<ChannelPattern> pattern =
      ChannelPattern::Parse(filter.pattern.empty() ? "**" : filter.pattern);
  if (!pattern.ok()) return pattern.status();
  auto stream = std::make_shared<Stream>(filter, *std::move(pattern), std::move(on_ready));
  MutexLock lock(&mu_);
  if (ended_.has_value()) return *ended_;
  streams_.push_back(stream);
  stream_count_.store(static_cast<int64_t>(streams_.size()), std::memory_order_relaxed);
  return stream;
}

TailHub::Batch TailHub::Take(const StreamPtr& stream, size_t max_bytes) {
  Batch batch;
  MutexLock lock(&mu_);
  size_t bytes = 0;
  while (!stream->queue.empty()) {
    const size_t size = stream->queue.front().publication->envelope().size();
    if (!batch.events.empty() && bytes + size > max_bytes) break;
    bytes += size;
    stream->queued_bytes -= stream->queue.front().publication->memory_bytes();
    batch.events.push_back(std::move(stream->queue.front()));
    stream->queue.pop_front();
  }
  batch.left_out = std::exchange(stream->left_out, 0);
  if (stream->queue.empty()) batch.ended = stream->ended;
  return batch;
}

void TailHub::Close(const StreamPtr& stream) {
  MutexLock lock(&mu_);
  std::erase(streams_, stream);
  stream_count_.store(static_cast<int64_t>(streams_.size()), std::memory_order_relaxed);
}

void TailHub::EndAll(const absl::Status& status) {
  std::vector<StreamPtr> streams;
  {
    MutexLock lock(&mu_);
    ended_ = status;
    for (const StreamPtr& stream : streams_) stream->ended = status;
    streams.swap(streams_);
    stream_count_.store(0, std::memory_order_relaxed);
  }
  for (const StreamPtr& stream : streams) stream->on_ready();
}

void TailHub::OnPublication(const ObservedPublication& observed) {
  if (stream_count_.load(std::memory_order_relaxed) == 0) return;
  {
    MutexLock lock(&mu_);
    for (const StreamPtr& stream : streams_) Offer(stream.get(), observed);
    if (!NeedsWake()) return;
    wake_is_set_ = true;
  }
  SetWake();
}

void TailHub::Offer(Stream* stream, const ObservedPublication& observed) {
  if (!stream->Wants(observed)) return;
  const size_t bytes = observed.publication->memory_bytes();
  if (stream->queued_bytes + bytes > max_queued_bytes_ ||
      !stream->Admit(observed.publication->received_at())) {
    ++stream->left_out;
    return;
  }
  stream->queued_bytes += bytes;
  stream->queue.push_back({.service = std::string(observed.service),
                           .channel = std::string(observed.channel),
                           .publication = observed.publication});
}

bool TailHub::NeedsWake() {
  return !wake_is_set_ &&
         std::any_of(streams_.begin(), streams_.end(),
                     [](const StreamPtr& stream) { return stream->has_something(); });
}

void TailHub::SetWake() {
  timers_->At(clock_->Now() + kWakeInterval, [this] { Wake(); });
}

void TailHub::Wake() {
  std::vector<StreamPtr> ready;
  {
    MutexLock lock(&mu_);
    wake_is_set_ = false;
    for (const StreamPtr& stream : streams_) {
      if (stream->has_something()) ready.push_back(stream);
    }
  }
  for (const StreamPtr& stream : ready) stream->on_ready();
}

}  // namespace fanwire::control
