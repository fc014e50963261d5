#include "control/workers/worker_queries.h"

#include <optional>

#include "common/timer_queue.h"
#include "fanwire/v1/worker.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_clock.h"

namespace fanwire::control {

namespace {

using ::testing::SizeIs;

class WorkerQueriesTest : public ::testing::Test {
 protected:
  uint64_t Open(std::set<uint64_t> links, int32_t absent = 0) {
    return queries_.Open(std::move(links), absent, absl::Seconds(2), [this](QueryResult result) {
      EXPECT_FALSE(result_.has_value());  // told once
      result_ = std::move(result);
    });
  }
  void Reply(uint64_t link, uint64_t query_id, bool last = true) {
    v1::QueryReply reply;
    reply.set_query_id(query_id);
    reply.set_last(last);
    queries_.OnReply(link, reply);
  }

  FakeClock clock_;
  TimerQueue timers_{&clock_};
  WorkerQueries queries_{&clock_, &timers_};
  std::optional<QueryResult> result_;
};

TEST_F(WorkerQueriesTest, IsDoneWhenAllHaveAnswered) {
  const uint64_t id = Open({1, 2});
  Reply(1, id);
  EXPECT_FALSE(result_.has_value());
  Reply(2, id);
  ASSERT_TRUE(result_.has_value());
  EXPECT_THAT(result_->replies, SizeIs(2));
  EXPECT_EQ(result_->workers_total, 2);
  EXPECT_EQ(result_->workers_answered, 2);
  EXPECT_EQ(queries_.open(), 0);
}

TEST_F(WorkerQueriesTest, WhoCannotBeAskedHasNotAnswered) {
  const uint64_t id = Open({1}, /*absent=*/2);
  Reply(1, id);
  ASSERT_TRUE(result_.has_value());
  EXPECT_EQ(result_->workers_total, 3);
  EXPECT_EQ(result_->workers_asked, 1);
  EXPECT_EQ(result_->workers_answered, 1);
}

TEST_F(WorkerQueriesTest, AWorkersAnswerMayComeInParts) {
  const uint64_t id = Open({1});
  Reply(1, id, /*last=*/false);
  Reply(1, id, /*last=*/false);
  EXPECT_FALSE(result_.has_value());
  Reply(1, id);
  ASSERT_TRUE(result_.has_value());
  EXPECT_THAT(result_->replies, SizeIs(3));
  EXPECT_EQ(result_->workers_answered, 1);
}

TEST_F(WorkerQueriesTest, EndsAtItsTimeWithWhatThereIs) {
  const uint64_t id = Open({1, 2, 3});
  Reply(1, id);
  Reply(2, id, /*last=*/false);
  clock_.Advance(absl::Milliseconds(1999));
  timers_.RunDue();
  EXPECT_FALSE(result_.has_value());
  clock_.Advance(absl::Milliseconds(1));
  timers_.RunDue();
  ASSERT_TRUE(result_.has_value());
  EXPECT_THAT(result_->replies, SizeIs(2));
  EXPECT_EQ(result_->workers_total, 3);
  EXPECT_EQ(result_->workers_answered, 1);
}

TEST_F(WorkerQueriesTest, IsToldOnceAlthoughItsTimeComesLater) {
  const uint64_t id = Open({1});
  Reply(1, id);
  clock_.Advance(absl::Seconds(3));
  timers_.RunDue();
  Reply(1, id);
  ASSERT_TRUE(result_.has_value());
  EXPECT_THAT(result_->replies, SizeIs(1));
}

TEST_F(WorkerQueriesTest, AWorkerThatIsGoneHasNotAnsweredAndEndsIt) {
  const uint64_t id = Open({1, 2});
  Reply(1, id);
  Reply(2, id, /*last=*/false);
  queries_.LinkGone(2);
  ASSERT_TRUE(result_.has_value());
  EXPECT_THAT(result_->replies, SizeIs(2));
  EXPECT_EQ(result_->workers_answered, 1);
}

TEST_F(WorkerQueriesTest, AWorkerThatGoesAfterItsAnswerHasAnswered) {
  const uint64_t id = Open({1, 2});
  Reply(1, id);
  queries_.LinkGone(1);
  EXPECT_FALSE(result_.has_value());
  Reply(2, id);
  ASSERT_TRUE(result_.has_value());
  EXPECT_EQ(result_->workers_answered, 2);
}

TEST_F(WorkerQueriesTest, IgnoresRepliesOfThoseNotAskedAndToOthersQuestions) {
  const uint64_t id = Open({1});
  Reply(7, id);
  Reply(1, id + 1);
  EXPECT_FALSE(result_.has_value());
  Reply(1, id);
  ASSERT_TRUE(result_.has_value());
  EXPECT_THAT(result_->replies, SizeIs(1));
}

TEST_F(WorkerQueriesTest, QuestionsHaveTheirOwnIds) {
  int first_done = 0;
  const uint64_t first =
      queries_.Open({1}, 0, absl::Seconds(9), [&](const QueryResult&) { ++first_done; });
  const uint64_t second = Open({1});
  EXPECT_NE(first, second);
  Reply(1, second);
  EXPECT_TRUE(result_.has_value());
  EXPECT_EQ(first_done, 0);
  EXPECT_EQ(queries_.open(), 1);
}

}  // namespace
}  // namespace fanwire::control
