#include "control/routing/receipt_tracker.h"

#include <atomic>
#include <thread>
#include <vector>

#include "common/timer_queue.h"
#include "control/routing/delivery_report.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_clock.h"

namespace fanwire::control {

namespace {

class ReceiptTrackerTest : public ::testing::Test {
 protected:
  static DeliveryReport Report(uint64_t tracking_id, int64_t matched, int64_t written,
                               bool final = true) {
    DeliveryReport report;
    report.tracking_id = tracking_id;
    report.counts.matched = matched;
    report.counts.written = written;
    report.final = final;
    return report;
  }
  void Await(uint64_t record, absl::Duration wait = absl::Seconds(5)) {
    tracker_.Await(record, clock_.Now() + wait, [this](const ReceiptTracker::Result& result) {
      ++results_;
      result_ = result;
    });
  }
  void Pass(absl::Duration time) {
    clock_.Advance(time);
    timers_.RunDue();
  }

  FakeClock clock_;
  TimerQueue timers_{&clock_};
  ReceiptTracker tracker_{&clock_, &timers_};
  int results_ = 0;
  ReceiptTracker::Result result_;
};

TEST_F(ReceiptTrackerTest, WithoutWorkersItIsCompleteAtOnce) {
  Await(tracker_.Open());
  EXPECT_EQ(results_, 1);
  EXPECT_FALSE(result_.timed_out);
  EXPECT_EQ(result_.counts.workers_total, 0);
  EXPECT_EQ(tracker_.open(), 0);
}

TEST_F(ReceiptTrackerTest, EndsWithTheSumWhenTheLastWorkerHasReported) {
  const uint64_t record = tracker_.Open();
  tracker_.AddPart(record, 1);
  tracker_.AddPart(record, 2);
  Await(record);
  DeliveryReport first = Report(record, 5, 3);
  first.counts.dropped[1] = 1;
  first.counts.lost_connection = 1;
  first.first_written_us = 20;
  first.last_written_us = 40;
  tracker_.OnReport(1, first);
  EXPECT_EQ(results_, 0);
  DeliveryReport second = Report(record, 2, 1);
  second.counts.expired = 1;
  second.first_written_us = 10;
  second.last_written_us = 30;
  tracker_.OnReport(2, second);
  ASSERT_EQ(results_, 1);
  EXPECT_FALSE(result_.timed_out);
  EXPECT_EQ(result_.counts.matched, 7);
  EXPECT_EQ(result_.counts.written, 4);
  EXPECT_EQ(result_.counts.dropped[1], 1);
  EXPECT_EQ(result_.counts.lost_connection, 1);
  EXPECT_EQ(result_.counts.expired, 1);
  EXPECT_EQ(result_.counts.workers_total, 2);
  EXPECT_EQ(result_.counts.workers_reported, 2);
  EXPECT_EQ(result_.first_written_us, 10);
  EXPECT_EQ(result_.last_written_us, 40);
  EXPECT_EQ(tracker_.open(), 0);
}

TEST_F(ReceiptTrackerTest, ReportsMayComeBeforeAnybodyAwaitsThem) {
  const uint64_t record = tracker_.Open();
  tracker_.AddPart(record, 1);
  tracker_.OnReport(1, Report(record, 4, 4));
  Await(record);
  EXPECT_EQ(results_, 1);
  EXPECT_EQ(result_.counts.written, 4);
}

TEST_F(ReceiptTrackerTest, ReportsAreCumulativeAndTheLastOneCounts) {
  const uint64_t record = tracker_.Open();
  tracker_.AddPart(record, 1);
  Await(record);
  tracker_.OnReport(1, Report(record, 4, 1, /*final=*/false));
  tracker_.OnReport(1, Report(record, 4, 3, /*final=*/false));
  EXPECT_EQ(results_, 0);
  tracker_.OnReport(1, Report(record, 4, 4));
  EXPECT_EQ(results_, 1);
  EXPECT_EQ(result_.counts.matched, 4);
  EXPECT_EQ(result_.counts.written, 4);
}

TEST_F(ReceiptTrackerTest, AtTheDeadlineItEndsWithTheCountsSoFar) {
  const uint64_t record = tracker_.Open();
  tracker_.AddPart(record, 1);
  tracker_.AddPart(record, 2);
  Await(record, absl::Seconds(5));
  tracker_.OnReport(1, Report(record, 4, 4));
  tracker_.OnReport(2, Report(record, 6, 1, /*final=*/false));
  Pass(absl::Seconds(5) - absl::Nanoseconds(1));
  EXPECT_EQ(results_, 0);
  Pass(absl::Nanoseconds(1));
  ASSERT_EQ(results_, 1);
  EXPECT_TRUE(result_.timed_out);
  EXPECT_EQ(result_.counts.matched, 10);
  EXPECT_EQ(result_.counts.written, 5);
  EXPECT_EQ(result_.counts.workers_total, 2);
  EXPECT_EQ(result_.counts.workers_reported, 1);
  tracker_.OnReport(2, Report(record, 6, 6));
  EXPECT_EQ(results_, 1);
}

TEST_F(ReceiptTrackerTest, AWorkerThatIsGoneIsNotWaitedForAndCountsAsNotReported) {
  const uint64_t record = tracker_.Open();
  tracker_.AddPart(record, 1);
  tracker_.AddPart(record, 2);
  Await(record);
  tracker_.OnReport(2, Report(record, 6, 2, /*final=*/false));
  tracker_.WorkerGone(2);
  EXPECT_EQ(results_, 0);
  tracker_.OnReport(1, Report(record, 4, 4));
  ASSERT_EQ(results_, 1);
  EXPECT_FALSE(result_.timed_out);
  EXPECT_EQ(result_.counts.written, 6);
  EXPECT_EQ(result_.counts.workers_total, 2);
  EXPECT_EQ(result_.counts.workers_reported, 1);
}

TEST_F(ReceiptTrackerTest, AWorkerThatIsGoneEndsEveryRecordThatWaitsForItAlone) {
  const uint64_t first = tracker_.Open(), second = tracker_.Open(), other = tracker_.Open();
  for (const uint64_t record : {first, second, other}) tracker_.AddPart(record, 1);
  tracker_.AddPart(other, 2);
  for (const uint64_t record : {first, second, other}) Await(record);
  tracker_.WorkerGone(1);
  EXPECT_EQ(results_, 2);
  EXPECT_EQ(tracker_.open(), 1);
}

TEST_F(ReceiptTrackerTest, ACopyThatWasNotQueuedAfterAllIsNoPart) {
  const uint64_t record = tracker_.Open();
  tracker_.AddPart(record, 1);
  tracker_.AddPart(record, 2);
  tracker_.RemovePart(record, 1);
  Await(record);
  tracker_.OnReport(2, Report(record, 1, 1));
  EXPECT_EQ(results_, 1);
  EXPECT_EQ(result_.counts.workers_total, 1);
}

TEST_F(ReceiptTrackerTest, CopiesOnOneWorkerAreReportedApartAndTheWorkerIsCountedOnce) {
  const uint64_t record = tracker_.Open();
  tracker_.AddPart(record, 1);
  tracker_.AddPart(record + 1, 1);
  tracker_.AddPart(record + 15, 2);
  Await(record);
  tracker_.OnReport(1, Report(record + 1, 2, 2));
  tracker_.OnReport(2, Report(record + 15, 1, 1));
  EXPECT_EQ(results_, 0);
  tracker_.OnReport(1, Report(record, 3, 3));
  ASSERT_EQ(results_, 1);
  EXPECT_EQ(result_.counts.written, 6);
  EXPECT_EQ(result_.counts.workers_total, 2);
  EXPECT_EQ(result_.counts.workers_reported, 2);
}

TEST_F(ReceiptTrackerTest, AWorkerReportedOnlyIfAllOfItsCopiesAre) {
  const uint64_t record = tracker_.Open();
  tracker_.AddPart(record, 1);
  tracker_.AddPart(record + 1, 1);
  Await(record);
  tracker_.OnReport(1, Report(record, 3, 3));
  tracker_.WorkerGone(1);
  ASSERT_EQ(results_, 1);
  EXPECT_EQ(result_.counts.workers_total, 1);
  EXPECT_EQ(result_.counts.workers_reported, 0);
}

TEST_F(ReceiptTrackerTest, NobodysReportsChangeNothing) {
  const uint64_t record = tracker_.Open();
  tracker_.AddPart(record, 1);
  Await(record);
  tracker_.OnReport(2, Report(record, 9, 9));      // another worker
  tracker_.OnReport(1, Report(record + 1, 9, 9));  // another copy
  tracker_.OnReport(1, Report(12345, 9, 9));       // no record
  tracker_.OnReport(1, Report(0, 9, 9));
  EXPECT_EQ(results_, 0);
  tracker_.OnReport(1, Report(record, 1, 1));
  EXPECT_EQ(result_.counts.written, 1);
}

TEST_F(ReceiptTrackerTest, ACancelledRecordIsForgotten) {
  const uint64_t record = tracker_.Open();
  tracker_.AddPart(record, 1);
  tracker_.Cancel(record);
  tracker_.OnReport(1, Report(record, 1, 1));
  Await(record);
  Pass(absl::Minutes(1));
  EXPECT_EQ(results_, 0);
  EXPECT_EQ(tracker_.open(), 0);
}

TEST_F(ReceiptTrackerTest, AShorterWaitThatComesLaterEndsInTime) {
  const uint64_t slow = tracker_.Open(), quick = tracker_.Open();
  tracker_.AddPart(slow, 1);
  tracker_.AddPart(quick, 1);
  Await(slow, absl::Seconds(10));
  Await(quick, absl::Seconds(1));
  Pass(absl::Seconds(1));
  EXPECT_EQ(results_, 1);
  Pass(absl::Seconds(9));
  EXPECT_EQ(results_, 2);
}

TEST_F(ReceiptTrackerTest, EndsAtItsDeadlineThoughTheRecordBeforeEndedEarly) {
  const uint64_t first = tracker_.Open(), second = tracker_.Open();
  tracker_.AddPart(first, 1);
  tracker_.AddPart(second, 1);
  Await(first);
  tracker_.OnReport(1, Report(first, 1, 1));
  EXPECT_EQ(results_, 1);
  Pass(absl::Seconds(1));
  Await(second);
  Pass(absl::Seconds(4));
  EXPECT_EQ(results_, 1);
  Pass(absl::Seconds(1));
  EXPECT_EQ(results_, 2);
  EXPECT_TRUE(result_.timed_out);
}

// One publisher that always waits for its receipt, for ten times the wait.
TEST_F(ReceiptTrackerTest, SetsNoTimerForEachRecord) {
  const auto open = [this] {
    const uint64_t record = tracker_.Open();
    tracker_.AddPart(record, 1);
    Await(record);
    return record;
  };
  uint64_t last = open();
  for (int i = 0; i < 500; ++i) {
    const uint64_t next = open();
    tracker_.OnReport(1, Report(last, 1, 1));
    last = next;
    Pass(absl::Milliseconds(100));
    ASSERT_LE(timers_.size(), 2u);
  }
  EXPECT_FALSE(result_.timed_out);
  EXPECT_EQ(tracker_.open(), 1);
}

TEST_F(ReceiptTrackerTest, EveryRecordEndsOnceThoughReportsAndDeadlinesMeet) {
  constexpr int kRecords = 2000;
  std::vector<uint64_t> records;
  std::vector<std::atomic<int>> ended(kRecords);
  for (int i = 0; i < kRecords; ++i) {
    records.push_back(tracker_.Open());
    tracker_.AddPart(records.back(), 1);
    tracker_.AddPart(records.back(), 2);
  }
  std::vector<std::thread> threads;
  threads.emplace_back([&] {
    for (int i = 0; i < kRecords; ++i) {
      tracker_.Await(records[i], clock_.Now() + absl::Microseconds(i % 7),
                     [&, i](const ReceiptTracker::Result&) { ++ended[i]; });
    }
  });
  for (const uint64_t link : {uint64_t{1}, uint64_t{2}}) {
    threads.emplace_back([&, link] {
      for (const uint64_t record : records) tracker_.OnReport(link, Report(record, 1, 1));
    });
  }
  threads.emplace_back([&] {
    for (int i = 0; i < 200; ++i) {
      Pass(absl::Microseconds(1));
      if (i % 50 == 0) tracker_.WorkerGone(2);
    }
  });
  for (std::thread& thread : threads) thread.join();
  Pass(absl::Seconds(1));
  for (int i = 0; i < kRecords; ++i) EXPECT_EQ(ended[i], 1) << i;
  EXPECT_EQ(tracker_.open(), 0);
}

}  // namespace
}  // namespace fanwire::control
