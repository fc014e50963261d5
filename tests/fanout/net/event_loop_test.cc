#include "fanout/net/event_loop.h"

#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire::fanout {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr absl::Duration kPatience = absl::Seconds(20);

EventLoop::Options MillisecondTicks() {
  EventLoop::Options options;
  options.tick = absl::Milliseconds(1);
  return options;
}

class CallbackWatcher final : public Watcher {
 public:
  explicit CallbackWatcher(std::function<void(uint32_t)> fn) : fn_(std::move(fn)) {}
  void OnReady(uint32_t ready) override { fn_(ready); }

 private:
  std::function<void(uint32_t)> fn_;
};

class CallbackDeadline final : public Deadline {
 public:
  explicit CallbackDeadline(std::function<void()> fn) : fn_(std::move(fn)) {}
  void OnDeadline() override { fn_(); }

 private:
  std::function<void()> fn_;
};

// Two connected sockets.
struct Pair {
  Pair() { EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0); }
  ~Pair() {
    ::close(fds[0]);
    ::close(fds[1]);
  }
  void Write() { EXPECT_EQ(::write(fds[1], "x", 1), 1); }
  void Read() {
    char byte = 0;
    EXPECT_EQ(::read(fds[0], &byte, 1), 1);
  }
  int fds[2];
};

TEST(EventLoopTest, PostedFunctionsRunInOrderAndOnePerTurn) {
  EventLoop loop;
  std::vector<int> ran;
  loop.Post([&] { ran.push_back(1); });
  loop.Post([&] { ran.push_back(2); });
  EXPECT_TRUE(loop.RunTurn(kPatience));
  EXPECT_THAT(ran, ElementsAre(1));
  EXPECT_TRUE(loop.RunTurn(kPatience));
  EXPECT_THAT(ran, ElementsAre(1, 2));
  EXPECT_FALSE(loop.RunTurn(absl::ZeroDuration()));
}

TEST(EventLoopTest, WhatIsReadyRunsWithoutTimeToWait) {
  EventLoop loop;
  bool ran = false;
  loop.Post([&] { ran = true; });
  EXPECT_TRUE(loop.RunTurn(absl::ZeroDuration()));
  EXPECT_TRUE(ran);
}

TEST(EventLoopTest, PostFromManyThreadsLosesNothing) {
  EventLoop loop;
  constexpr int kThreads = 4, kPosts = 500;
  int ran = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < kPosts; ++k) {
        loop.Post([&] {
          if (++ran == kThreads * kPosts) loop.Stop();
        });
      }
    });
  }
  loop.Run();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ran, kThreads * kPosts);
}

TEST(EventLoopTest, StopEndsRunAndLeavesTheRestForTheNextRun) {
  EventLoop loop;
  std::vector<int> ran;
  loop.Post([&] {
    ran.push_back(1);
    loop.Stop();
  });
  loop.Post([&] {
    ran.push_back(2);
    loop.Stop();
  });
  loop.Run();
  EXPECT_THAT(ran, ElementsAre(1));
  loop.Run();
  EXPECT_THAT(ran, ElementsAre(1, 2));
}

TEST(EventLoopTest, StopBeforeRunMakesItReturn) {
  EventLoop loop;
  loop.Stop();
  loop.Run();
}

TEST(EventLoopTest, OnLoopTellsTheLoopsThreadWhileItRuns) {
  EventLoop loop;
  EXPECT_TRUE(loop.OnLoop());
  bool on_loop = false, other_on_loop = true;
  loop.Post([&] {
    on_loop = loop.OnLoop();
    std::thread([&] { other_on_loop = loop.OnLoop(); }).join();
    loop.Stop();
  });
  loop.Run();
  EXPECT_TRUE(on_loop);
  EXPECT_FALSE(other_on_loop);
}

TEST(EventLoopTest, TimersRunInOrderOfTimeAndNotEarly) {
  EventLoop loop;
  std::vector<int> ran;
  const absl::Duration start = loop.Now();
  absl::Duration late;
  loop.RunAfter(absl::Milliseconds(12), [&] {
    ran.push_back(3);
    late = loop.Now();
  });
  loop.RunAfter(absl::Milliseconds(4), [&] { ran.push_back(2); });
  loop.RunAfter(absl::ZeroDuration(), [&] { ran.push_back(1); });
  while (ran.size() < 3) ASSERT_TRUE(loop.RunTurn(kPatience));
  EXPECT_THAT(ran, ElementsAre(1, 2, 3));
  EXPECT_GE(late - start, absl::Milliseconds(12));
}

TEST(EventLoopTest, CancelledTimerDoesNotRun) {
  EventLoop loop;
  std::vector<int> ran;
  const EventLoop::TimerId first = loop.RunAfter(absl::Milliseconds(1), [&] { ran.push_back(1); });
  loop.RunAfter(absl::Milliseconds(5), [&] { ran.push_back(2); });
  loop.Cancel(first);
  loop.Cancel(first);
  loop.Cancel(0);
  while (ran.empty()) ASSERT_TRUE(loop.RunTurn(kPatience));
  EXPECT_THAT(ran, ElementsAre(2));
}

TEST(EventLoopTest, TimerThatSetsItselfForNowLetsOthersRun) {
  EventLoop loop;
  int rounds = 0;
  std::function<void()> again = [&] {
    ++rounds;
    loop.RunAfter(absl::ZeroDuration(), [&] { again(); });
  };
  again();
  bool posted = false;
  loop.Post([&] { posted = true; });
  while (!posted) ASSERT_TRUE(loop.RunTurn(kPatience));
  EXPECT_LT(rounds, 100);
}

TEST(EventLoopTest, DeadlineFiresOnceAtOrAfterItsTime) {
  EventLoop loop(MillisecondTicks());
  const absl::Duration start = loop.Now();
  std::vector<absl::Duration> fired;
  CallbackDeadline deadline([&] { fired.push_back(loop.Now() - start); });
  loop.Arm(&deadline, absl::Milliseconds(8));
  while (fired.empty()) ASSERT_TRUE(loop.RunTurn(kPatience));
  EXPECT_GE(fired[0], absl::Milliseconds(8));
  EXPECT_FALSE(loop.RunTurn(absl::Milliseconds(5)));
}

TEST(EventLoopTest, EarlierDeadlineOvertakesALaterOne) {
  EventLoop loop(MillisecondTicks());
  std::vector<int> fired;
  CallbackDeadline late([&] { fired.push_back(2); }), early([&] { fired.push_back(1); });
  loop.Arm(&late, absl::InfiniteDuration());
  loop.Arm(&early, absl::Milliseconds(3));
  while (fired.empty()) ASSERT_TRUE(loop.RunTurn(kPatience));
  EXPECT_THAT(fired, ElementsAre(1));
  EXPECT_TRUE(late.armed());
}

TEST(EventLoopTest, WatcherIsToldUntilTheDescriptorIsRead) {
  EventLoop loop;
  Pair pair;
  int told = 0;
  CallbackWatcher watcher([&](uint32_t ready) {
    EXPECT_EQ(ready, kReadable);
    if (++told == 2) pair.Read();
  });
  loop.Watch(pair.fds[0], kReadable, &watcher);
  EXPECT_FALSE(loop.RunTurn(absl::ZeroDuration()));
  pair.Write();
  EXPECT_TRUE(loop.RunTurn(kPatience));
  EXPECT_TRUE(loop.RunTurn(kPatience));
  EXPECT_FALSE(loop.RunTurn(absl::Milliseconds(2)));
  EXPECT_EQ(told, 2);
  loop.Unwatch(pair.fds[0]);
}

TEST(EventLoopTest, InterestCanBeChangedAndAHangUpIsReadable) {
  EventLoop loop;
  Pair pair;
  std::vector<uint32_t> told;
  CallbackWatcher watcher([&](uint32_t ready) { told.push_back(ready); });
  loop.Watch(pair.fds[0], 0, &watcher);
  pair.Write();
  EXPECT_FALSE(loop.RunTurn(absl::Milliseconds(2)));
  loop.ChangeInterest(pair.fds[0], kReadable | kWritable);
  EXPECT_TRUE(loop.RunTurn(kPatience));
  EXPECT_THAT(told, ElementsAre(kReadable | kWritable));
  loop.ChangeInterest(pair.fds[0], 0);
  ::shutdown(pair.fds[1], SHUT_RDWR);
  EXPECT_TRUE(loop.RunTurn(kPatience));
  EXPECT_THAT(told, ElementsAre(kReadable | kWritable, kReadable | kBroken));
  loop.Unwatch(pair.fds[0]);
}

TEST(EventLoopTest, UnwatchDropsWhatTheTurnStillHadToSay) {
  EventLoop loop;
  Pair a, b;
  std::vector<int> told;
  CallbackWatcher watch_a([&](uint32_t) {
    told.push_back(0);
    loop.Unwatch(b.fds[0]);
    a.Read();
  });
  CallbackWatcher watch_b([&](uint32_t) {
    told.push_back(1);
    loop.Unwatch(a.fds[0]);
    b.Read();
  });
  loop.Watch(a.fds[0], kReadable, &watch_a);
  loop.Watch(b.fds[0], kReadable, &watch_b);
  a.Write();
  b.Write();
  EXPECT_TRUE(loop.RunTurn(kPatience));
  EXPECT_EQ(told.size(), 1u);
  loop.Unwatch(told[0] == 0 ? a.fds[0] : b.fds[0]);
}

TEST(EventLoopTest, DescriptorWatchedAgainInTheSameTurnGetsNoEventOfItsPredecessor) {
  EventLoop loop;
  Pair a, b;
  std::vector<int> told;
  CallbackWatcher successor([&](uint32_t) { told.push_back(2); });
  Pair* pairs[] = {&a, &b};
  // Whichever comes first replaces the other's watcher, after emptying the other's socket.
  const auto replace_other = [&](int self) {
    return [&, self](uint32_t) {
      told.push_back(self);
      pairs[self]->Read();
      pairs[1 - self]->Read();
      loop.Unwatch(pairs[1 - self]->fds[0]);
      loop.Watch(pairs[1 - self]->fds[0], kReadable, &successor);
    };
  };
  CallbackWatcher watch_a(replace_other(0)), watch_b(replace_other(1));
  loop.Watch(a.fds[0], kReadable, &watch_a);
  loop.Watch(b.fds[0], kReadable, &watch_b);
  a.Write();
  b.Write();
  EXPECT_TRUE(loop.RunTurn(kPatience));
  EXPECT_EQ(told.size(), 1u);
  loop.Unwatch(a.fds[0]);
  loop.Unwatch(b.fds[0]);
}

TEST(EventLoopTest, HooksRunAtTheEndOfEachTurnUntilRemoved) {
  EventLoop loop;
  std::vector<int> ran;
  loop.AddTurnHook([&] { ran.push_back(10); });
  const EventLoop::HookId second = loop.AddTurnHook([&] { ran.push_back(20); });
  loop.Post([&] { ran.push_back(1); });
  loop.Post([&] { ran.push_back(2); });
  EXPECT_TRUE(loop.RunTurn(kPatience));
  EXPECT_THAT(ran, ElementsAre(1, 10, 20));
  loop.RemoveTurnHook(second);
  EXPECT_TRUE(loop.RunTurn(kPatience));
  EXPECT_THAT(ran, ElementsAre(1, 10, 20, 2, 10));
}

TEST(EventLoopTest, NowStandsStillWithinATurn) {
  EventLoop loop;
  absl::Duration first, second;
  loop.Post([&] {
    first = loop.Now();
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // work that takes time
    second = loop.Now();
  });
  EXPECT_TRUE(loop.RunTurn(kPatience));
  EXPECT_EQ(first, second);
  EXPECT_GE(loop.Now() - second, absl::Milliseconds(2));
}

TEST(EventLoopTest, FunctionsNotRunAreDestroyedWithTheLoop) {
  auto held = std::make_shared<int>(1);
  {
    EventLoop loop;
    loop.Post([held] {});
    loop.RunAfter(absl::Hours(1), [held] {});
    EXPECT_EQ(held.use_count(), 3);
  }
  EXPECT_EQ(held.use_count(), 1);
}

// Watchers of `count` descriptors that are all ready.
struct Ready {
  Ready(EventLoop* loop, int count) : loop(loop), pairs(static_cast<size_t>(count)) {
    for (int i = 0; i < count; ++i) {
      watchers.push_back(
          std::make_unique<CallbackWatcher>([this, i](uint32_t ready) { on_ready(i, ready); }));
      loop->Watch(fd(i), kReadable, watchers.back().get());
      pairs[static_cast<size_t>(i)].Write();
    }
  }
  ~Ready() {
    for (size_t i = 0; i < pairs.size(); ++i) loop->Unwatch(pairs[i].fds[0]);
  }
  int fd(int i) const { return pairs[static_cast<size_t>(i)].fds[0]; }
  void Read(int i) { pairs[static_cast<size_t>(i)].Read(); }

  EventLoop* const loop;
  std::vector<Pair> pairs;
  std::vector<std::unique_ptr<CallbackWatcher>> watchers;
  std::function<void(int, uint32_t)> on_ready;
};

TEST(EventLoopTest, WhenTheSliceIsOverOtherWorkComesBeforeTheNextDescriptor) {
  EventLoop loop;
  loop.set_slice(absl::ZeroDuration());
  Ready ready(&loop, 3);
  std::vector<int> ran;
  ready.on_ready = [&](int i, uint32_t) {
    ready.Read(i);
    ran.push_back(i);
    loop.Post([&ran, i] { ran.push_back(100 + i); });
  };
  while (ran.size() < 6) ASSERT_TRUE(loop.RunTurn(kPatience));
  EXPECT_THAT(ran, ElementsAre(0, 100, 1, 101, 2, 102));
}

TEST(EventLoopTest, WhoHasMoreToDoWaitsInLineBehindTheOthers) {
  EventLoop loop;
  loop.set_slice(absl::ZeroDuration());
  Ready ready(&loop, 3);
  std::vector<int> ran;
  ready.on_ready = [&](int i, uint32_t) {
    if (ran.size() < 3) ready.Read(i);
    EXPECT_TRUE(loop.SliceOver());
    ran.push_back(i);
    if (ran.size() < 9) loop.CallAgain(ready.fd(i));
  };
  while (ran.size() < 9) ASSERT_TRUE(loop.RunTurn(kPatience));
  EXPECT_THAT(ran, ElementsAre(0, 1, 2, 0, 1, 2, 0, 1, 2));
}

TEST(EventLoopTest, AWatcherThatIsCalledAgainDoesNotKeepNewDescriptorsOut) {
  EventLoop loop;
  loop.set_slice(absl::ZeroDuration());
  Ready busy(&loop, 1);
  Pair late;
  bool told = false;
  busy.on_ready = [&](int, uint32_t) { loop.CallAgain(busy.fd(0)); };  // never reads
  CallbackWatcher watcher([&](uint32_t) {
    told = true;
    late.Read();
  });
  loop.Watch(late.fds[0], kReadable, &watcher);
  EXPECT_TRUE(loop.RunTurn(kPatience));
  late.Write();
  for (int i = 0; i < 5 && !told; ++i) ASSERT_TRUE(loop.RunTurn(kPatience));
  EXPECT_TRUE(told);
  loop.Unwatch(late.fds[0]);
}

TEST(EventLoopTest, ATimerMayHaveAWatcherCalledThatIsNotReady) {
  EventLoop loop(MillisecondTicks());
  Ready ready(&loop, 1);
  std::vector<uint32_t> told;
  ready.on_ready = [&](int, uint32_t bits) {
    if (told.empty()) ready.Read(0);
    told.push_back(bits);
  };
  while (told.empty()) ASSERT_TRUE(loop.RunTurn(kPatience));
  loop.RunAfter(absl::ZeroDuration(), [&] {
    loop.CallAgain(ready.fd(0));
    loop.CallAgain(ready.fd(0));  // it has its place already
  });
  while (told.size() < 2) ASSERT_TRUE(loop.RunTurn(kPatience));
  EXPECT_FALSE(loop.RunTurn(absl::Milliseconds(5)));
  EXPECT_THAT(told, ElementsAre(kReadable, kReadable));
}

}  // namespace
}  // namespace fanwire::fanout
