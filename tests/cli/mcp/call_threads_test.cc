#include "cli/mcp/call_threads.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>

#include "tests/testing/wait_for.h"

namespace fanwire::cli {
namespace {

TEST(CallThreadsTest, CallsRunBesideOneAnother) {
  std::promise<void> first, second;
  CallThreads threads(2, 0);
  // Each waits for the other.
  ASSERT_TRUE(threads.Run([&] {
    first.set_value();
    second.get_future().wait();
  }));
  ASSERT_TRUE(threads.Run([&] {
    first.get_future().wait();
    second.set_value();
  }));
}

TEST(CallThreadsTest, AThreadIsUsedAgain) {
  CallThreads threads(1, 0);
  for (int i = 0; i < 100; ++i) {
    std::atomic<bool> ran = false;
    // The thread may be on its way back from the last task.
    ASSERT_TRUE(WaitFor([&] { return threads.Run([&] { ran = true; }); }));
    ASSERT_TRUE(WaitFor([&] { return ran.load(); }));
  }
}

TEST(CallThreadsTest, AsManyAsAllowedWaitAndTheNextIsRefused) {
  std::promise<void> open;
  const std::shared_future<void> opened = open.get_future().share();
  std::atomic<int> ran = 0;
  CallThreads threads(2, 3);
  std::atomic<int> running = 0;
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(threads.Run([&, opened] {
      ++running;
      opened.wait();
      ++ran;
    }));
  }
  ASSERT_TRUE(WaitFor([&] { return running == 2; }));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(threads.Run([&] { ++ran; }));
  EXPECT_FALSE(threads.Run([&] { ++ran; }));
  open.set_value();
  EXPECT_TRUE(WaitFor([&] { return ran == 5; }));
}

TEST(CallThreadsTest, AtTheEndWhatRunsIsWaitedForAndWhatWaitsIsDropped) {
  std::promise<void> open;
  std::future<void> opened = open.get_future();
  auto waiting = std::make_shared<int>(0);
  bool ran = false;
  auto threads = std::make_unique<CallThreads>(1, 1);
  std::atomic<bool> running = false;
  ASSERT_TRUE(threads->Run([&] {
    running = true;
    opened.wait();
    ran = true;
  }));
  ASSERT_TRUE(WaitFor([&] { return running.load(); }));
  ASSERT_TRUE(threads->Run([waiting] { ++*waiting; }));
  std::thread end([&] { threads.reset(); });
  // The destructor has dropped the waiting task as soon as nobody else holds its number.
  ASSERT_TRUE(WaitFor([&] { return waiting.use_count() == 1; }));
  open.set_value();
  end.join();
  EXPECT_TRUE(ran);
  EXPECT_EQ(*waiting, 0);
}

}  // namespace
}  // namespace fanwire::cli
