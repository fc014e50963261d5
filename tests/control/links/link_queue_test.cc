#include "control/links/link_queue.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire::control {

namespace {

using ::testing::SizeIs;

LinkQueueItem MakeItem(size_t bytes = 100, uint32_t handle = 0,
                       absl::Duration received = absl::InfiniteDuration()) {
  return {.handle = handle, .bytes = bytes, .received = received};
}

void Push(LinkQueue* queue, int count, uint32_t lane = 0, size_t bytes = 100) {
  for (int i = 0; i < count; ++i) queue->Push(lane, MakeItem(bytes, lane));
}

// Takes a batch without encoding it.
std::vector<LinkQueueItem> Take(LinkQueue* queue) {
  std::vector<LinkQueueItem> items;
  queue->TakeBatch(&items);
  return items;
}

// Sends a batch, as if each item were one of the worker's.
std::vector<LinkQueueItem> Send(LinkQueue* queue) {
  std::vector<LinkQueueItem> items = Take(queue);
  uint64_t bytes = 0;
  for (const LinkQueueItem& item : items) bytes += item.bytes;
  queue->FinishBatch(items.size(), bytes);
  return items;
}

// Sends batches while there is one to send; returns how many items of `lane` went.
int64_t SendAll(LinkQueue* queue, uint32_t lane) {
  int64_t sent = 0;
  while (queue->CanTakeBatch()) {
    const std::vector<LinkQueueItem> items = Send(queue);
    sent += std::count_if(items.begin(), items.end(),
                          [&](const LinkQueueItem& item) { return item.handle == lane; });
  }
  return sent;
}

// Acknowledges all that was sent.
void AcknowledgeAll(LinkQueue* queue) { queue->Acknowledge(UINT64_MAX, UINT64_MAX); }

// ------------------------------------------------------------------------------- queue

TEST(LinkQueueTest, ALaneIsFirstInFirstOut) {
  LinkQueue queue({});
  for (uint32_t i = 0; i < 600; ++i) queue.Push(0, MakeItem(100, i));
  uint32_t next = 0;
  while (queue.CanTakeBatch()) {
    for (const LinkQueueItem& item : Send(&queue)) EXPECT_EQ(item.handle, next++);
  }
  EXPECT_EQ(next, 600u);
}

TEST(LinkQueueTest, IsFullAtItsNumberOfItems) {
  LinkQueue queue({.max_queued_items = 3});
  Push(&queue, 2);
  EXPECT_FALSE(queue.IsFull(0, 1));
  Push(&queue, 1);
  EXPECT_TRUE(queue.IsFull(0, 1));
  Send(&queue);
  EXPECT_FALSE(queue.IsFull(0, 1));
}

TEST(LinkQueueTest, IsFullForAnItemThatWouldCrossItsBytes) {
  LinkQueue queue({.max_queued_bytes = 1000});
  Push(&queue, 1, 0, 600);
  EXPECT_FALSE(queue.IsFull(0, 400));
  EXPECT_TRUE(queue.IsFull(0, 401));
}

TEST(LinkQueueTest, AFullQueueStillTakesWhatIsPushed) {
  LinkQueue queue({.max_queued_items = 1});
  Push(&queue, 5);
  EXPECT_EQ(queue.queued_items(), 5u);
  EXPECT_EQ(queue.queued_bytes(), 500u);
}

TEST(LinkQueueTest, AFullQueueLeavesEachLaneItsEqualPart) {
  LinkQueue queue({.max_queued_items = 100});
  Push(&queue, 100, 0);
  EXPECT_TRUE(queue.IsFull(0, 1));
  int first = 0, second = 0;
  while (!queue.IsFull(1, 1)) Push(&queue, 1, 1), ++first;
  EXPECT_EQ(first, 50);
  while (!queue.IsFull(2, 1)) Push(&queue, 1, 2), ++second;
  EXPECT_EQ(second, 33);
}

TEST(LinkQueueTest, AQueueFullOfBytesLeavesEachLaneItsEqualPart) {
  LinkQueue queue({.max_queued_bytes = 10'000});
  Push(&queue, 1, 0, 10'000);
  EXPECT_TRUE(queue.IsFull(0, 1));
  EXPECT_FALSE(queue.IsFull(1, 5000));
  EXPECT_TRUE(queue.IsFull(1, 5001));
}

TEST(LinkQueueTest, HasRoomUpToAQuarterOfItemsAndOfBytes) {
  LinkQueue queue({.max_queued_bytes = 4000, .max_queued_items = 40});
  Push(&queue, 10, 0, 0);
  EXPECT_TRUE(queue.HasRoom());
  Push(&queue, 1, 0, 0);
  EXPECT_FALSE(queue.HasRoom());
  queue.Clear();
  Push(&queue, 1, 0, 1000);
  EXPECT_TRUE(queue.HasRoom());
  Push(&queue, 1, 0, 1);
  EXPECT_FALSE(queue.HasRoom());
}

// ------------------------------------------------------------------------------- batches

TEST(LinkQueueTest, ABatchHasAtMostItsNumberOfItems) {
  LinkQueue queue({});
  EXPECT_FALSE(queue.CanTakeBatch());
  Push(&queue, static_cast<int>(LinkQueue::kBatchItems) + 1, 0, 0);
  EXPECT_THAT(Send(&queue), SizeIs(LinkQueue::kBatchItems));
  EXPECT_TRUE(queue.CanTakeBatch());
  EXPECT_THAT(Send(&queue), SizeIs(1));
  EXPECT_FALSE(queue.CanTakeBatch());
}

TEST(LinkQueueTest, TheItemThatCrossesABatchsBytesIsItsLast) {
  LinkQueue queue({});
  Push(&queue, 10, 0, LinkQueue::kBatchBytes / 2 - 1);
  EXPECT_THAT(Send(&queue), SizeIs(3));
}

TEST(LinkQueueTest, ABatchTakesOfALaneThatHasJustBegunBesideAFloodOnAnother) {
  LinkQueue queue({});
  Push(&queue, 5000, 0, 1000);
  Push(&queue, 1, 1, 1000);
  const std::vector<LinkQueueItem> items = Send(&queue);
  EXPECT_TRUE(std::any_of(items.begin(), items.end(),
                          [](const LinkQueueItem& item) { return item.handle == 1; }));
}

// ------------------------------------------------------------------------------- window

TEST(LinkQueueTest, TheWindowIsShutAtItsItemsUntilSomeAreAcknowledged) {
  LinkQueue queue({.window_items = 100});
  Push(&queue, 600, 0, 1);
  EXPECT_EQ(SendAll(&queue, 0), 256);  // one batch, for which the window was open
  EXPECT_EQ(queue.in_flight_items(), 256u);
  queue.Acknowledge(156, 156);
  EXPECT_FALSE(queue.CanTakeBatch());
  queue.Acknowledge(157, 157);
  EXPECT_TRUE(queue.CanTakeBatch());
}

TEST(LinkQueueTest, TheWindowIsShutAtItsBytesUntilSomeAreAcknowledged) {
  LinkQueue queue({.window_bytes = 1000});
  Push(&queue, 2, 0, 300 << 10);
  Send(&queue);
  EXPECT_FALSE(queue.CanTakeBatch());
  AcknowledgeAll(&queue);
  EXPECT_EQ(queue.in_flight_bytes(), 0u);
  EXPECT_TRUE(queue.CanTakeBatch());
}

TEST(LinkQueueTest, TheWindowCountsWhatWasEncodedNotWhatWasTaken) {
  LinkQueue queue({});
  Push(&queue, 3);
  Take(&queue);
  queue.FinishBatch(/*items=*/4, /*bytes=*/250);  // an event's name more, a publication expired
  EXPECT_EQ(queue.sent_items(), 4u);
  EXPECT_EQ(queue.in_flight_items(), 4u);
  EXPECT_EQ(queue.in_flight_bytes(), 250u);
}

TEST(LinkQueueTest, AShutWindowLeavesEachLaneItsEqualPart) {
  LinkQueue queue({.window_items = 20});
  Push(&queue, 1000, 0, 1);
  ASSERT_GE(SendAll(&queue, 0), 20);
  ASSERT_GT(queue.queued_items(), 0u);
  Push(&queue, 4, 1, 1);
  EXPECT_EQ(SendAll(&queue, 1), 4);
  Push(&queue, 100, 1, 1);
  EXPECT_EQ(SendAll(&queue, 1), 6);  // with the four, half of 20
  EXPECT_EQ(SendAll(&queue, 0), 0);
}

TEST(LinkQueueTest, ALanesPartOfTheWindowIsFreeAgainOnceItsBatchesAreAcknowledged) {
  LinkQueue queue({.window_items = 20});
  Push(&queue, 5, 1, 1);
  ASSERT_EQ(SendAll(&queue, 1), 5);
  Push(&queue, 1000, 0, 1);
  ASSERT_GE(SendAll(&queue, 0), 20);
  Push(&queue, 100, 1, 1);
  EXPECT_EQ(SendAll(&queue, 1), 5);
  queue.Acknowledge(5, 5);  // the first batch; the window is still shut
  EXPECT_EQ(SendAll(&queue, 1), 5);
  AcknowledgeAll(&queue);
  EXPECT_GT(SendAll(&queue, 0), 0);
}

TEST(LinkQueueTest, ALanesPartOfTheWindowIsOfBytesToo) {
  LinkQueue queue({.window_bytes = 2000});
  Push(&queue, 1, 1, 600);
  ASSERT_EQ(SendAll(&queue, 1), 1);
  Push(&queue, 1, 0, 2000);
  ASSERT_EQ(SendAll(&queue, 0), 1);
  Push(&queue, 10, 0, 500);
  Push(&queue, 10, 1, 500);
  EXPECT_EQ(SendAll(&queue, 1), 1);  // with the 600, over 1000
  queue.Acknowledge(1, 600);         // the window is still shut
  EXPECT_EQ(SendAll(&queue, 1), 1);
  EXPECT_EQ(SendAll(&queue, 0), 0);
}

TEST(LinkQueueTest, ABatchInWhichLanesTakeTurnsCountsForEachOfThem) {
  LinkQueue queue({.window_items = 300});
  Push(&queue, 100, 0, 1000);
  Push(&queue, 100, 1, 1000);
  ASSERT_THAT(Send(&queue), SizeIs(200));  // 16 of a lane, then 16 of the other
  AcknowledgeAll(&queue);
  // Nothing of theirs is in flight any more: each may have its part of the window, which is shut.
  Push(&queue, 600, 2, 1);
  ASSERT_EQ(SendAll(&queue, 2), 512);
  Push(&queue, 200, 0, 1);
  EXPECT_EQ(SendAll(&queue, 0), 150);  // half of 300
  Push(&queue, 200, 1, 1);
  EXPECT_EQ(SendAll(&queue, 1), 100);  // a third
}

TEST(LinkQueueTest, AcknowledgementsNeverGoBackAndNeverBeyondWhatWasSent) {
  LinkQueue queue({});
  Push(&queue, 10);
  Send(&queue);
  AcknowledgeAll(&queue);
  EXPECT_EQ(queue.in_flight_items(), 0u);
  Push(&queue, 1);
  Send(&queue);
  EXPECT_EQ(queue.in_flight_items(), 1u);
  queue.Acknowledge(3, 3);
  EXPECT_EQ(queue.in_flight_items(), 1u);
  EXPECT_EQ(queue.in_flight_bytes(), 100u);
}

// ------------------------------------------------------------------------------- oldest received

TEST(LinkQueueTest, TheOldestReceivedIsOfWhatWaitsAndOfWhatIsNotAcknowledged) {
  LinkQueue queue({});
  EXPECT_EQ(queue.OldestReceived(), absl::InfiniteDuration());
  Push(&queue, 1);  // no publication
  EXPECT_EQ(queue.OldestReceived(), absl::InfiniteDuration());
  queue.Push(0, MakeItem(100, 0, absl::Seconds(20)));
  queue.Push(1, MakeItem(100, 1, absl::Seconds(10)));  // a repair, behind a younger one
  EXPECT_EQ(queue.OldestReceived(), absl::Seconds(10));
  Take(&queue);
  EXPECT_EQ(queue.OldestReceived(), absl::Seconds(10));  // while its batch is encoded
  queue.FinishBatch(3, 300);
  EXPECT_EQ(queue.OldestReceived(), absl::Seconds(10));
  queue.Push(0, MakeItem(100, 0, absl::Seconds(30)));
  queue.Acknowledge(2, 200);
  EXPECT_EQ(queue.OldestReceived(), absl::Seconds(10));  // a part of its batch is not acknowledged
  queue.Acknowledge(3, 300);
  EXPECT_EQ(queue.OldestReceived(), absl::Seconds(30));
}

TEST(LinkQueueTest, ABatchOfWhichNothingWasSentIsAcknowledgedWithTheOneBefore) {
  LinkQueue queue({});
  queue.Push(0, MakeItem(100, 0, absl::Seconds(10)));
  Send(&queue);
  queue.Push(0, MakeItem(100, 0, absl::Seconds(5)));
  Take(&queue);
  queue.FinishBatch(0, 0);
  EXPECT_EQ(queue.OldestReceived(), absl::Seconds(5));
  queue.Acknowledge(1, 100);
  EXPECT_EQ(queue.OldestReceived(), absl::InfiniteDuration());
  queue.Push(0, MakeItem(100, 0, absl::Seconds(7)));
  Take(&queue);
  queue.FinishBatch(0, 0);
  EXPECT_EQ(queue.OldestReceived(), absl::InfiniteDuration());
}

TEST(LinkQueueTest, ClearForgetsWhatWaitsAndKeepsWhatIsNotAcknowledged) {
  LinkQueue queue({});
  queue.Push(0, MakeItem(100, 0, absl::Seconds(10)));
  Send(&queue);
  queue.Push(0, MakeItem(100, 0, absl::Seconds(5)));
  queue.Clear();
  EXPECT_EQ(queue.queued_items(), 0u);
  EXPECT_EQ(queue.queued_bytes(), 0u);
  EXPECT_FALSE(queue.CanTakeBatch());
  EXPECT_EQ(queue.in_flight_items(), 1u);
  EXPECT_EQ(queue.OldestReceived(), absl::Seconds(10));
}

TEST(LinkQueueTest, ABatchThatIsBeingEncodedOutlivesClear) {
  LinkQueue queue({});
  Push(&queue, 2);
  EXPECT_THAT(Take(&queue), SizeIs(2));
  queue.Clear();
  queue.FinishBatch(2, 200);
  EXPECT_EQ(queue.in_flight_items(), 2u);
}

}  // namespace
}  // namespace fanwire::control
