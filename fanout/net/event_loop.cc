#include "fanout/net/event_loop.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <deque>
#include <map>
#include <thread>
#include <utility>
#include <vector>

#include "common/check.h"

namespace fanwire::fanout {

namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

// Deadlines and timers further away are as good as never.
constexpr absl::Duration kLongest = absl::Hours(24 * 365);
constexpr int kBatch = 256;

// Times are those of Clock::Real()->Now(): since the steady clock's epoch.
SteadyTime ToSteady(absl::Duration time) { return SteadyTime(absl::ToChronoNanoseconds(time)); }

absl::Duration SteadyNow() {
  return absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
}

uint32_t ToEpoll(uint32_t interest) {
  uint32_t events = 0;
  if ((interest & kReadable) != 0) events |= EPOLLIN;
  if ((interest & kWritable) != 0) events |= EPOLLOUT;
  if ((interest & kEnded) != 0) events |= EPOLLRDHUP;
  return events;
}

uint32_t FromEpoll(uint32_t events) {
  uint32_t ready = 0;
  if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0) ready |= kReadable;
  if ((events & EPOLLOUT) != 0) ready |= kWritable;
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) ready |= kBroken;
  if ((events & EPOLLRDHUP) != 0) ready |= kEnded;
  return ready;
}

}  // namespace

struct EventLoop::Impl {
  // A descriptor's watcher.  The generation tells an event of this turn that is meant for a
  // descriptor closed meanwhile from one for its successor with the same number.
  struct Entry {
    Watcher* watcher = nullptr;
    uint32_t generation = 0;
    uint32_t ready = 0;  // IoReadiness bits to be told; not 0: it is in `line`
  };
  // A place in the line of ready descriptors.
  struct Place {
    uint32_t fd = 0;
    uint32_t generation = 0;
  };
  // Timers in order of time, then of making.
  using TimerKey = std::pair<absl::Duration, TimerId>;

  explicit Impl(const Options& options)
      : tick(options.tick),
        read_buffer(options.read_buffer_bytes),
        start(SteadyNow()),
        now(start),
        work(asio::make_work_guard(io)),
        epoll(io, ::epoll_create1(EPOLL_CLOEXEC)),
        timer(io) {
    AwaitDescriptors();
  }

  void BeginTurn() {
    now = SteadyNow();
    in_turn = true;
  }

  void EndTurn() {
    if (!in_turn) return;  // what ran was a cancelled wait of Asio's
    for (auto& [id, hook] : hooks) hook();
    in_turn = false;
  }

  // Asio tells of the epoll descriptor's readiness each time that it is asked, edge by edge; asking
  // again after each slice is what makes it level-triggered.
  void AwaitDescriptors() {
    waiting = true;
    epoll.async_wait(asio::posix::stream_descriptor::wait_read, [this](const asio::error_code& ec) {
      if (ec) return;
      waiting = false;
      RunDescriptors();
    });
  }

  // The next turn for descriptors, after what is posted by now.
  void PostDescriptors() {
    posted = true;
    asio::post(io, [this] {
      posted = false;
      RunDescriptors();
    });
  }

  // One turn for descriptors.
  void RunDescriptors() {
    BeginTurn();
    CollectReady();
    CallReady();
    if (line.empty()) {
      if (!waiting) AwaitDescriptors();
    } else if (!posted) {
      PostDescriptors();
    }
  }

  void CollectReady() {
    epoll_event events[kBatch];
    const int count = ::epoll_wait(epoll.native_handle(), events, kBatch, 0);
    for (int i = 0; i < count; ++i) {
      const auto fd = static_cast<uint32_t>(events[i].data.u64 & 0xffffffff);
      const auto generation = static_cast<uint32_t>(events[i].data.u64 >> 32);
      Line(fd, generation, FromEpoll(events[i].events));
    }
  }

  // Puts the descriptor at the end of the line, unless it is in it already.
  void Line(uint32_t fd, uint32_t generation, uint32_t ready) {
    Entry& entry = entries[fd];
    if (entry.watcher == nullptr || entry.generation != generation) return;
    if (entry.ready == 0) line.push_back({fd, generation});
    entry.ready |= ready;
  }

  // Calls watchers in the order of the line, until the slice is over or all have had their turn.
  // Those that join the line meanwhile wait for the next slice.
  void CallReady() {
    slice_end = now + slice;
    calling = true;
    for (size_t count = line.size(); count > 0; --count) {
      const Place place = line.front();
      line.pop_front();
      Entry& entry = entries[place.fd];
      if (entry.watcher == nullptr || entry.generation != place.generation) continue;
      entry.watcher->OnReady(std::exchange(entry.ready, 0));
      if (SliceOver()) break;
    }
    calling = false;
  }

  bool SliceOver() const { return slice != absl::InfiniteDuration() && SteadyNow() >= slice_end; }

  void Control(int operation, int fd, uint32_t interest) {
    epoll_event event{};
    event.events = ToEpoll(interest);
    event.data.u64 = static_cast<uint64_t>(entries[static_cast<size_t>(fd)].generation) << 32 |
                     static_cast<uint32_t>(fd);
    FANWIRE_CHECK(::epoll_ctl(epoll.native_handle(), operation, fd, &event) == 0);
  }

  // The first whole tick at or after `time`.
  uint64_t TickAtOrAfter(absl::Duration time) const {
    absl::Duration rest;
    const int64_t ticks = absl::IDivDuration(time - start, tick, &rest);
    return static_cast<uint64_t>(ticks) + (rest > absl::ZeroDuration() ? 1 : 0);
  }
  absl::Duration TimeOfTick(uint64_t t) const { return start + static_cast<int64_t>(t) * tick; }

  // Sets Asio's one timer to whatever is due first, if that is earlier than what it is set to.
  void SetTimer() {
    absl::Duration due = timers.empty() ? absl::InfiniteDuration() : timers.begin()->first.first;
    const uint64_t next_tick = wheel.NextTick();
    if (next_tick != TimerWheel::kNever) due = std::min(due, TimeOfTick(next_tick));
    WakeAt(due);
  }

  void WakeAt(absl::Duration due) {
    if (due >= wake_at) return;
    wake_at = due;
    timer.expires_at(ToSteady(due));  // cancels the earlier wait
    timer.async_wait([this](const asio::error_code& ec) {
      if (ec) return;
      BeginTurn();
      wake_at = absl::InfiniteDuration();
      RunTimers();
      SetTimer();
    });
  }

  void RunTimers() {
    wheel.Advance(static_cast<uint64_t>((now - start) / tick));
    // Only those due now: a timer that sets another for at once must not hold the loop.
    const TimerId last = next_timer;
    while (!timers.empty() && timers.begin()->first.first <= now &&
           timers.begin()->first.second < last) {
      auto node = timers.extract(timers.begin());
      timer_times.erase(node.key().second);
      node.mapped()();
    }
  }

  const absl::Duration tick;
  std::vector<uint8_t> read_buffer;
  const absl::Duration start;
  absl::Duration now;
  bool in_turn = false;
  std::atomic<bool> stopping{false};
  std::atomic<std::thread::id> thread{};

  std::vector<Entry> entries;  // by descriptor
  std::deque<Place> line;      // descriptors whose watchers are to be called
  bool waiting = false;        // Asio will tell when the epoll descriptor is ready
  bool posted = false;         // a turn for descriptors is posted
  bool calling = false;        // such a turn goes on
  absl::Duration slice = absl::InfiniteDuration();
  absl::Duration slice_end;
  TimerWheel wheel;
  std::map<TimerKey, absl::AnyInvocable<void()>> timers;
  std::map<TimerId, absl::Duration> timer_times;
  TimerId next_timer = 1;
  absl::Duration wake_at = absl::InfiniteDuration();  // what `timer` is set to
  std::vector<std::pair<HookId, absl::AnyInvocable<void()>>> hooks;
  HookId next_hook = 1;

  asio::io_context io{1};  // one thread runs it
  asio::executor_work_guard<asio::io_context::executor_type> work;
  asio::posix::stream_descriptor epoll;
  asio::steady_timer timer;
};

EventLoop::EventLoop() : EventLoop(Options()) {}

EventLoop::EventLoop(const Options& options) : impl_(std::make_unique<Impl>(options)) {}

EventLoop::~EventLoop() = default;

void EventLoop::Run() {
  impl_->thread = std::this_thread::get_id();
  while (!impl_->stopping) {
    impl_->io.run_one();
    impl_->EndTurn();
  }
  impl_->stopping = false;
  impl_->thread = std::thread::id();
}

void EventLoop::Stop() {
  impl_->stopping = true;
  asio::post(impl_->io, [] {});  // only to wake it
}

bool EventLoop::RunTurn(absl::Duration max_wait) {
  AssertOnLoop();
  const absl::Duration deadline = SteadyNow() + max_wait;
  do {
    const absl::Duration left = deadline - SteadyNow();
    // Asio runs nothing, not even what is ready, when there is no time to wait.
    const size_t ran = left > absl::ZeroDuration()
                           ? impl_->io.run_one_for(absl::ToChronoNanoseconds(left))
                           : impl_->io.poll_one();
    if (ran == 0) return false;
  } while (!impl_->in_turn);
  impl_->EndTurn();
  return true;
}

void EventLoop::Post(absl::AnyInvocable<void()> fn) {
  asio::post(impl_->io, [impl = impl_.get(), fn = std::move(fn)]() mutable {
    impl->BeginTurn();
    fn();
  });
}

EventLoop::TimerId EventLoop::RunAfter(absl::Duration delay, absl::AnyInvocable<void()> fn) {
  AssertOnLoop();
  const absl::Duration due = Now() + std::clamp(delay, absl::ZeroDuration(), kLongest);
  const TimerId id = impl_->next_timer++;
  impl_->timers.emplace(Impl::TimerKey(due, id), std::move(fn));
  impl_->timer_times.emplace(id, due);
  impl_->WakeAt(due);
  return id;
}

void EventLoop::Cancel(TimerId timer) {
  AssertOnLoop();
  const auto found = impl_->timer_times.find(timer);
  if (found == impl_->timer_times.end()) return;
  impl_->timers.erase(Impl::TimerKey(found->second, timer));
  impl_->timer_times.erase(found);
}

void EventLoop::Arm(Deadline* deadline, absl::Duration delay) {
  const absl::Duration due = Now() + std::clamp(delay, absl::ZeroDuration(), kLongest);
  impl_->wheel.Add(deadline, impl_->TickAtOrAfter(due));
  impl_->WakeAt(impl_->TimeOfTick(impl_->wheel.TickOf(*deadline)));
}

EventLoop::HookId EventLoop::AddTurnHook(absl::AnyInvocable<void()> hook) {
  AssertOnLoop();
  impl_->hooks.emplace_back(impl_->next_hook, std::move(hook));
  return impl_->next_hook++;
}

void EventLoop::RemoveTurnHook(HookId hook) {
  AssertOnLoop();
  std::erase_if(impl_->hooks, [hook](const auto& entry) { return entry.first == hook; });
}

void EventLoop::Watch(int fd, uint32_t interest, Watcher* watcher) {
  AssertOnLoop();
  const auto index = static_cast<size_t>(fd);
  if (index >= impl_->entries.size()) impl_->entries.resize(std::max(index + 1, 2 * index));
  Impl::Entry& entry = impl_->entries[index];
  FANWIRE_CHECK(entry.watcher == nullptr);
  entry.watcher = watcher;
  entry.ready = 0;
  ++entry.generation;
  impl_->Control(EPOLL_CTL_ADD, fd, interest);
}

void EventLoop::ChangeInterest(int fd, uint32_t interest) {
  impl_->Control(EPOLL_CTL_MOD, fd, interest);
}

void EventLoop::CallAgain(int fd) {
  impl_->Line(static_cast<uint32_t>(fd), impl_->entries[static_cast<size_t>(fd)].generation,
              kReadable);
  if (!impl_->calling && !impl_->posted) impl_->PostDescriptors();
}

void EventLoop::set_slice(absl::Duration time) { impl_->slice = time; }

bool EventLoop::SliceOver() const { return impl_->SliceOver(); }

void EventLoop::Unwatch(int fd) {
  AssertOnLoop();
  impl_->entries[static_cast<size_t>(fd)].watcher = nullptr;
  impl_->Control(EPOLL_CTL_DEL, fd, 0);
}

absl::Duration EventLoop::Now() const { return impl_->in_turn ? impl_->now : SteadyNow(); }

bool EventLoop::OnLoop() const {
  const std::thread::id running = impl_->thread.load(std::memory_order_relaxed);
  return running == std::thread::id() || running == std::this_thread::get_id();
}

void EventLoop::AssertOnLoop() const { FANWIRE_CHECK(OnLoop()); }

absl::Span<uint8_t> EventLoop::read_buffer() { return absl::MakeSpan(impl_->read_buffer); }

}  // namespace fanwire::fanout
