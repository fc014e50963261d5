#include "control/routing/publish_receipts.h"

#include <vector>

#include "common/timer_queue.h"
#include "control/events/idempotency.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/control/routing/router_fixture.h"
#include "tests/fakes/fake_clock.h"
#include "tests/testing/status.h"

namespace fanwire::control {

namespace {

class PublishReceiptsTest : public ::testing::Test {
 protected:
  // A publication at offset 7, routed to two workers.
  PendingReceipt MakePending(const std::string& key = "") {
    PendingReceipt pending;
    pending.Begin(&sink_, 5);
    pending.id = "id";
    pending.service = &service_;
    pending.outcome.position.offset = 7;
    pending.outcome.delivery.workers_total = 2;
    if (!key.empty()) {
      EXPECT_EQ(Claim(key), IdempotencyWindow::Claim::kNew);
      pending.idempotency_key = key;
    }
    return pending;
  }
  IdempotencyWindow::Claim Claim(const std::string& key) {
    PublishOutcome outcome;
    std::string id, channel;
    return service_.idempotency.Begin(key, {}, clock_.Now(), {.sink = &other_, .tag = 9}, &outcome,
                                      &id, &channel);
  }
  // The event took 30 us so far.
  void Answer(PendingReceipt pending, ReceiptLevel level, uint64_t record = 0) {
    const absl::Duration now = clock_.Now();
    receipts_.Answer(&pending, level, record, now - absl::Microseconds(30), now,
                     now + absl::Seconds(5));
  }

  FakeClock clock_;
  TimerQueue timers_{&clock_};
  ReceiptTracker tracker_{&clock_, &timers_};
  RefusalCounts elsewhere_;
  PublishReceipts receipts_{&tracker_, &elsewhere_, &clock_};
  ServiceState service_{"s", absl::Minutes(10), 100};
  FakeReceiptSink sink_;
  FakeReceiptSink other_;
};

TEST_F(PublishReceiptsTest, AcceptedIsAnsweredAtOnceWithoutCountsOfWorkers) {
  Answer(MakePending(), ReceiptLevel::kAccepted);
  ASSERT_EQ(sink_.count(), 1u);
  EXPECT_EQ(sink_.last().tag, 5u);
  EXPECT_EQ(sink_.last().id, "id");
  EXPECT_EQ(sink_.last().outcome.position.offset, 7);
  EXPECT_EQ(sink_.last().outcome.level, ReceiptLevel::kAccepted);
  EXPECT_EQ(sink_.last().outcome.delivery.workers_total, 0);
  EXPECT_EQ(sink_.last().outcome.stages.accepted, 30);
  EXPECT_EQ(sink_.last().outcome.stages.routed, 0);
}

TEST_F(PublishReceiptsTest, RoutedSaysHowManyWorkersGotIt) {
  Answer(MakePending(), ReceiptLevel::kRouted);
  ASSERT_EQ(sink_.count(), 1u);
  EXPECT_EQ(sink_.last().outcome.level, ReceiptLevel::kRouted);
  EXPECT_EQ(sink_.last().outcome.delivery.workers_total, 2);
  EXPECT_EQ(sink_.last().outcome.stages.routed, 30);
}

TEST_F(PublishReceiptsTest, WrittenComesWithTheWorkersReportAndItsTimesFollowTheRouting) {
  const uint64_t record = tracker_.Open();
  tracker_.AddPart(record, 1);
  Answer(MakePending(), ReceiptLevel::kWritten, record);
  EXPECT_EQ(sink_.count(), 0u);
  tracker_.OnReport(1, {.tracking_id = record,
                        .counts = {.matched = 3, .written = 3},
                        .first_written_us = 5,
                        .last_written_us = 9,
                        .final = true});
  ASSERT_EQ(sink_.count(), 1u);
  EXPECT_EQ(sink_.last().outcome.level, ReceiptLevel::kWritten);
  EXPECT_EQ(sink_.last().outcome.delivery.written, 3);
  EXPECT_EQ(sink_.last().outcome.stages.first_written, 35);
  EXPECT_EQ(sink_.last().outcome.stages.last_written, 39);
}

TEST_F(PublishReceiptsTest, WrittenThatIsNotReportedInTimeStaysRouted) {
  const uint64_t record = tracker_.Open();
  tracker_.AddPart(record, 1);
  Answer(MakePending(), ReceiptLevel::kWritten, record);
  clock_.Advance(absl::Seconds(5));
  timers_.RunDue();
  ASSERT_EQ(sink_.count(), 1u);
  EXPECT_TRUE(sink_.last().outcome.timed_out);
  EXPECT_EQ(sink_.last().outcome.level, ReceiptLevel::kRouted);
}

TEST_F(PublishReceiptsTest, PublishersOfTheSameKeyGetTheSameReceiptAsDuplicates) {
  const PendingReceipt pending = MakePending("key");
  EXPECT_EQ(Claim("key"), IdempotencyWindow::Claim::kWaiting);
  Answer(pending, ReceiptLevel::kRouted);
  EXPECT_FALSE(sink_.last().outcome.duplicate);
  ASSERT_EQ(other_.count(), 1u);
  EXPECT_EQ(other_.last().tag, 9u);
  EXPECT_EQ(other_.last().id, "id");
  EXPECT_EQ(other_.last().outcome.position.offset, 7);
  EXPECT_TRUE(other_.last().outcome.duplicate);
  EXPECT_EQ(Claim("key"), IdempotencyWindow::Claim::kSettled);
}

TEST_F(PublishReceiptsTest, ARefusalIsCountedAndGivenToAllAndFreesTheKey) {
  const PendingReceipt pending = MakePending("key");
  EXPECT_EQ(Claim("key"), IdempotencyWindow::Claim::kWaiting);
  receipts_.Refuse(pending, absl::UnavailableError("not now"));
  for (const FakeReceiptSink* const sink : {&sink_, &other_}) {
    ASSERT_EQ(sink->count(), 1u);
    EXPECT_THAT(sink->last().outcome.status, StatusIs(absl::StatusCode::kUnavailable, "not now"));
  }
  EXPECT_EQ(service_.refused.Get().of(RefusalReason::kUnavailable), 1);
  EXPECT_EQ(service_.refused.Get().total(), 1);
  EXPECT_EQ(Claim("key"), IdempotencyWindow::Claim::kNew);
}

TEST_F(PublishReceiptsTest, ARefusalWithoutAServiceIsGivenAndCountedElsewhere) {
  PendingReceipt pending;
  pending.Begin(&sink_, 1);
  receipts_.Refuse(pending, absl::NotFoundError("none"));
  EXPECT_THAT(sink_.last().outcome.status, StatusIs(absl::StatusCode::kNotFound, "none"));
  EXPECT_EQ(elsewhere_.Get().of(RefusalReason::kUnknownService), 1);
}

TEST_F(PublishReceiptsTest, WhoWaitsForWrittenIsToldOfThePositionBefore) {
  const uint64_t record = tracker_.Open();
  tracker_.AddPart(record, 1);
  Answer(MakePending(), ReceiptLevel::kWritten, record);
  EXPECT_EQ(sink_.count(), 0u);
  ASSERT_EQ(sink_.accepted().size(), 1u);
  EXPECT_EQ(sink_.accepted()[0].tag, 5u);
  EXPECT_EQ(sink_.accepted()[0].id, "id");
  EXPECT_EQ(sink_.accepted()[0].outcome.position.offset, 7);
  Answer(MakePending(), ReceiptLevel::kAccepted);
  EXPECT_EQ(sink_.accepted().size(), 1u);  // the receipt says it
}

}  // namespace
}  // namespace fanwire::control
