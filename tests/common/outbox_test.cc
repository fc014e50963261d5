#include "common/outbox.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(OutboxTest, NothingRunsBeforeRun) {
  Outbox queue;
  std::vector<int> ran;
  queue.Add([&] { ran.push_back(1); });
  EXPECT_THAT(ran, IsEmpty());
  queue.Run();
  queue.Run();
  EXPECT_THAT(ran, ElementsAre(1));
}

TEST(OutboxTest, WhatAFunctionAddsRunsAfterIt) {
  Outbox queue;
  std::vector<int> ran;
  queue.Add([&] {
    queue.Add([&] { ran.push_back(3); });
    queue.Run();  // returns at once: the outer Run() runs the added function
    ran.push_back(1);
  });
  queue.Add([&] { ran.push_back(2); });
  queue.Run();
  EXPECT_THAT(ran, ElementsAre(1, 2, 3));
}

TEST(OutboxTest, ThreadsRunOneFunctionAtATimeAndEachThreadsInOrder) {
  constexpr int kThreads = 4;
  constexpr int kEach = 2000;
  Outbox queue;
  std::atomic<int> inside = 0;
  std::atomic<bool> overlapped = false;
  std::vector<std::vector<int>> ran(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        queue.Add([&, t, i] {
          if (inside.fetch_add(1) != 0) overlapped = true;
          ran[static_cast<size_t>(t)].push_back(i);
          inside.fetch_sub(1);
        });
        queue.Run();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(overlapped);
  for (const std::vector<int>& each : ran) {
    ASSERT_EQ(each.size(), static_cast<size_t>(kEach));
    EXPECT_TRUE(std::is_sorted(each.begin(), each.end()));
  }
}

}  // namespace
}  // namespace fanwire
