#include "control/engine/redis_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "common/clock.h"

namespace fanwire::control {
namespace {

using ::testing::ElementsAre;

class RedisLoopTest : public ::testing::Test {
 protected:
  // Runs `task` on the loop's thread, and waits for its end.
  void Do(RedisLoop::Task task) {
    std::promise<void> done;
    ASSERT_TRUE(loop_.Post([&] {
      task();
      done.set_value();
    }));
    done.get_future().wait();
  }

  RedisLoop loop_{Clock::Real()};
};

TEST_F(RedisLoopTest, RunsInOrderWhatWasPostedBeforeTheStartAndAfterIt) {
  std::vector<int> ran;
  loop_.Post([&] { ran.push_back(1); });
  loop_.Start();
  loop_.Post([&] { ran.push_back(2); });
  loop_.Post([&] { ran.push_back(loop_.OnLoopThread() ? 3 : -1); });
  loop_.Stop();
  EXPECT_THAT(ran, ElementsAre(1, 2, 3));
}

TEST_F(RedisLoopTest, RunsThePostsOfManyThreads) {
  loop_.Start();
  int ran = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 5000; ++j) loop_.Post([&] { ++ran; });
    });
  }
  for (std::thread& thread : threads) thread.join();
  loop_.Stop();
  EXPECT_EQ(ran, 20000);
}

TEST_F(RedisLoopTest, DropsWhatIsPostedAfterTheStop) {
  loop_.Start();
  loop_.Stop();
  auto held = std::make_shared<int>(0);
  EXPECT_FALSE(loop_.Post([held] { ++*held; }));
  EXPECT_EQ(held.use_count(), 1);
  EXPECT_EQ(*held, 0);
}

TEST_F(RedisLoopTest, RunsNoTimerOnceTheStopHasBegun) {
  loop_.Start();
  bool ran = false;
  std::promise<void> go;
  loop_.Post([&] {
    loop_.After(absl::ZeroDuration(), [&] { ran = true; });
    go.get_future().wait();
  });
  std::thread stop([&] { loop_.Stop(); });
  while (loop_.Post([] {})) std::this_thread::yield();
  go.set_value();
  stop.join();
  EXPECT_FALSE(ran);
}

TEST_F(RedisLoopTest, RunsTimersInTheOrderOfTheirTimes) {
  loop_.Start();
  std::vector<int> ran;
  std::promise<void> done;
  loop_.Post([&] {
    loop_.After(absl::Milliseconds(20), [&] {
      ran.push_back(3);
      done.set_value();
    });
    loop_.After(absl::Milliseconds(10), [&] { ran.push_back(2); });
    loop_.After(absl::ZeroDuration(), [&] { ran.push_back(1); });
  });
  done.get_future().wait();
  EXPECT_THAT(ran, ElementsAre(1, 2, 3));
}

TEST_F(RedisLoopTest, NeverRunsATimerThatWasCancelled) {
  loop_.Start();
  std::vector<int> ran;
  std::promise<void> done;
  loop_.Post([&] {
    // One timer cancels another that is due in the same round.
    auto second = std::make_shared<RedisLoop::TimerId>();
    loop_.After(absl::ZeroDuration(), [&, second] { loop_.Cancel(*second); });
    *second = loop_.After(absl::ZeroDuration(), [&] { ran.push_back(2); });
    loop_.After(absl::Milliseconds(5), [&] { done.set_value(); });
  });
  done.get_future().wait();
  EXPECT_THAT(ran, ElementsAre());
}

TEST_F(RedisLoopTest, TellsWhatASocketIsReadyForAsItIsAsked) {
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  loop_.Start();
  std::promise<void> written;
  std::promise<void> read;
  RedisLoop::SocketId id = 0;
  Do([&] {
    id = loop_.Watch(pair[0], [&](bool readable, bool writable) {
      if (writable) {
        EXPECT_FALSE(readable);
        loop_.SetInterest(id, true, false);
        written.set_value();
      } else if (readable) {
        loop_.Unwatch(id);
        read.set_value();
      }
    });
    loop_.SetInterest(id, false, true);
  });
  written.get_future().wait();
  ASSERT_EQ(write(pair[1], "x", 1), 1);
  read.get_future().wait();
  loop_.Stop();
  close(pair[0]);
  close(pair[1]);
}

TEST_F(RedisLoopTest, CallsNoSocketThatAnotherOfTheSameRoundUnwatched) {
  int first[2];
  int second[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, first), 0);
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, second), 0);
  ASSERT_EQ(write(first[1], "x", 1), 1);
  ASSERT_EQ(write(second[1], "x", 1), 1);
  loop_.Start();
  int calls = 0;
  std::promise<void> done;
  loop_.Post([&] {
    auto ids = std::make_shared<std::vector<RedisLoop::SocketId>>();
    for (const int fd : {first[0], second[0]}) {
      ids->push_back(loop_.Watch(fd, [&, ids](bool, bool) {
        ++calls;
        for (const RedisLoop::SocketId id : *ids) loop_.Unwatch(id);
        loop_.After(absl::ZeroDuration(), [&] { done.set_value(); });
      }));
    }
    for (const RedisLoop::SocketId id : *ids) loop_.SetInterest(id, true, false);
  });
  done.get_future().wait();
  loop_.Stop();
  EXPECT_EQ(calls, 1);
  for (const int fd : {first[0], first[1], second[0], second[1]}) close(fd);
}

}  // namespace
}  // namespace fanwire::control
