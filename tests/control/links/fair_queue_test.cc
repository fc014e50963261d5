#include "control/links/fair_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace fanwire::control {

namespace {

struct Numbered {
  int number = 0;
  size_t bytes = 0;
};
using Queue = FairQueue<Numbered>;

constexpr auto kAll = [](uint32_t) { return true; };
constexpr size_t kTurn = static_cast<size_t>(Queue::kTurnCost);

// Takes up to `count` items and writes their lanes: "0001".
std::string Lanes(Queue* queue, size_t count) {
  std::string lanes;
  uint32_t lane;
  Numbered item;
  while (lanes.size() < count && queue->Pop(kAll, &lane, &item)) lanes += std::to_string(lane);
  return lanes;
}

TEST(FairQueueTest, OneLaneIsFirstInFirstOut) {
  Queue queue;
  EXPECT_TRUE(queue.empty());
  for (int i = 0; i < 1000; ++i) queue.Push(0, {.number = i, .bytes = 1000});
  EXPECT_EQ(queue.size(), 1000u);
  EXPECT_EQ(queue.bytes(), 1'000'000u);
  uint32_t lane = 7;
  Numbered item;
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(queue.Pop(kAll, &lane, &item));
    EXPECT_EQ(item.number, i);
    EXPECT_EQ(lane, 0u);
  }
  EXPECT_FALSE(queue.Pop(kAll, &lane, &item));
  EXPECT_EQ(queue.bytes(), 0u);
}

TEST(FairQueueTest, AFullLaneHoldsUpAnotherForOneTurnAtMost) {
  Queue queue;
  for (int i = 0; i < 1000; ++i) queue.Push(0, {.bytes = kTurn / 4});
  queue.Push(3, {.bytes = 10});
  EXPECT_EQ(Lanes(&queue, 6).find('3'), 4u);  // four of a quarter are a turn
}

TEST(FairQueueTest, LanesShareByBytesNotByItems) {
  Queue queue;
  for (int i = 0; i < 1000; ++i) queue.Push(1, {.bytes = kTurn});
  for (int i = 0; i < 10'000; ++i) queue.Push(2, {.bytes = kTurn / 8});
  size_t bytes[3] = {};
  uint32_t lane;
  Numbered item;
  for (int i = 0; i < 900; ++i) {
    ASSERT_TRUE(queue.Pop(kAll, &lane, &item));
    bytes[lane] += item.bytes;
  }
  EXPECT_NEAR(static_cast<double>(bytes[1]), static_cast<double>(bytes[2]), 4.0 * kTurn);
}

TEST(FairQueueTest, AnItemOfManyTurnsIsPaidForByWaiting) {
  Queue queue;
  queue.Push(0, {.bytes = 10 * kTurn});
  for (int i = 0; i < 3; ++i) queue.Push(0, {.bytes = 10});
  for (int i = 0; i < 100; ++i) queue.Push(1, {.bytes = kTurn / 2});
  const std::string lanes = Lanes(&queue, 30);
  EXPECT_EQ(lanes[0], '0');
  EXPECT_GT(lanes.find('0', 1), 15u);
}

TEST(FairQueueTest, ALaneThatMayNotGoIsLeftOutAndKeepsItsOrder) {
  Queue queue;
  for (int i = 0; i < 3; ++i) queue.Push(0, {.number = i});
  queue.Push(1, {.number = 10});
  const auto not_zero = [](uint32_t lane) { return lane != 0; };
  uint32_t lane;
  Numbered item;
  EXPECT_TRUE(queue.AnyFor(not_zero));
  ASSERT_TRUE(queue.Pop(not_zero, &lane, &item));
  EXPECT_EQ(item.number, 10);
  EXPECT_FALSE(queue.Pop(not_zero, &lane, &item));
  EXPECT_FALSE(queue.AnyFor(not_zero));
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(queue.Pop(kAll, &lane, &item));
    EXPECT_EQ(item.number, i);
  }
}

TEST(FairQueueTest, CountsItsLanes) {
  Queue queue;
  queue.Push(5, {.bytes = 7});
  queue.Push(5, {.bytes = 8});
  queue.Push(2, {.bytes = 1});
  EXPECT_EQ(queue.lanes(), 2u);
  EXPECT_EQ(queue.lane_size(5), 2u);
  EXPECT_EQ(queue.lane_bytes(5), 15u);
  EXPECT_EQ(queue.lane_size(0), 0u);
  EXPECT_EQ(queue.lane_size(99), 0u);
  size_t bytes = 0;
  queue.ForEach([&](const Numbered& item) { bytes += item.bytes; });
  EXPECT_EQ(bytes, 16u);
  queue.Clear();
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.lanes(), 0u);
  EXPECT_EQ(queue.bytes(), 0u);
}

}  // namespace
}  // namespace fanwire::control
