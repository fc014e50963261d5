#include "control/publish/publisher_seqs.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/testing/status.h"

namespace fanwire::control {

namespace {

// A publisher with a window of 100 seqs.
class PublisherSeqsTest : public ::testing::Test {
 protected:
  // The last accepted seq as a new stream is told, which sends `more` then and ends.
  uint64_t Stream(const std::string& id, int more) {
    const std::shared_ptr<PublisherLog> log = Open(id);
    uint64_t last = 0;
    const uint64_t owner = log->Begin(&last);
    for (int i = 1; i <= more; ++i) {
      PublisherLog::Earlier earlier;
      EXPECT_EQ(log->Take(owner, last + static_cast<uint64_t>(i), 1, {}, &earlier),
                PublisherLog::Claim::kNew);
      log->Settle(last + static_cast<uint64_t>(i), {});
    }
    seqs_.Close(id);
    return last;
  }

  std::shared_ptr<PublisherLog> Open(const std::string& id) {
    auto log = seqs_.Open(id);
    EXPECT_OK(log);
    return log.ok() ? *std::move(log) : std::make_shared<PublisherLog>(1);
  }

  PublisherSeqs seqs_{
      {.max_publishers = 2, .window = 100, .max_seqs = 300, .keep_idle = absl::Minutes(10)}};
};

TEST_F(PublisherSeqsTest, EachPublisherGoesOnWhereItWas) {
  EXPECT_EQ(Stream("a", 5), 0u);
  EXPECT_EQ(Stream("b", 9), 0u);
  EXPECT_EQ(Stream("a", 0), 5u);
  EXPECT_EQ(Stream("b", 0), 9u);
}

TEST_F(PublisherSeqsTest, OneTooManyForgetsTheLongestUnused) {
  Stream("a", 1);
  Stream("b", 2);
  Stream("a", 0);
  Stream("c", 4);
  EXPECT_EQ(seqs_.size(), 2u);
  EXPECT_EQ(Stream("a", 0), 1u);
  EXPECT_EQ(Stream("c", 0), 4u);
  EXPECT_EQ(Stream("b", 0), 0u);
}

TEST_F(PublisherSeqsTest, WhoSendsNothingIsForgottenAtOnceAndPushesNobodyOut) {
  Stream("a", 1);
  Stream("b", 1);
  for (int i = 0; i < 100; ++i) Stream("x" + std::to_string(i), 0);
  EXPECT_EQ(seqs_.size(), 2u);
  EXPECT_EQ(Stream("a", 0), 1u);
}

TEST_F(PublisherSeqsTest, WhoHasAStreamIsNotForgotten) {
  const std::shared_ptr<PublisherLog> log = Open("a");
  for (const char* id : {"b", "c", "d", "e"}) Stream(id, 1);
  EXPECT_EQ(Open("a"), log);
  seqs_.Close("a");
  for (const char* id : {"b", "c", "d", "e"}) Stream(id, 1);
  EXPECT_EQ(Open("a"), log);
  seqs_.Close("a");
  seqs_.Close("a");
}

TEST_F(PublisherSeqsTest, WhereAllHaveAStreamAFurtherPublisherIsRefused) {
  Open("a");
  Open("b");
  EXPECT_THAT(
      seqs_.Open("c"),
      StatusIs(absl::StatusCode::kResourceExhausted,
               "publisher_id: 2 publishers have an open stream already; end a stream that is not "
               "needed, publish without a publisher_id, or raise control.max_publishers"));
  EXPECT_EQ(seqs_.size(), 2u);
  Open("b");  // known
  seqs_.Close("b");
  seqs_.Close("b");
  Open("c");
  seqs_.Close("a");
  seqs_.Close("c");
}

TEST_F(PublisherSeqsTest, AFurtherPublisherThatSendsPushesOutOneWithoutAStream) {
  Stream("a", 1);
  Open("a");
  Stream("b", 7);
  Stream("c", 0);
  seqs_.ReleaseIdle(absl::Hours(1));
  EXPECT_EQ(seqs_.size(), 2u);
  const std::shared_ptr<PublisherLog> log = Open("c");
  seqs_.ReleaseIdle(absl::Hours(1));
  EXPECT_EQ(seqs_.size(), 3u);  // it has sent nothing
  EXPECT_FALSE(seqs_.Open("b").ok());
  uint64_t last = 0;
  PublisherLog::Earlier earlier;
  EXPECT_EQ(log->Take(log->Begin(&last), 1, 1, {}, &earlier), PublisherLog::Claim::kNew);
  seqs_.ReleaseIdle(absl::Hours(1));
  EXPECT_EQ(seqs_.size(), 2u);
  log->Settle(1, {});
  seqs_.Close("c");
  EXPECT_EQ(Stream("b", 0), 0u);
  seqs_.Close("a");
}

TEST_F(PublisherSeqsTest, AnOpenStreamThatSendsNothingForLongGivesItsMemoryBack) {
  const std::shared_ptr<PublisherLog> log = Open("a");
  uint64_t last = 0;
  const uint64_t owner = log->Begin(&last);
  PublisherLog::Earlier earlier;
  const auto publish = [&](uint64_t seq) {
    EXPECT_EQ(log->Take(owner, seq, 1, {}, &earlier), PublisherLog::Claim::kNew);
    log->Settle(seq, {});
  };
  publish(1);
  seqs_.ReleaseIdle(absl::Hours(1));
  seqs_.ReleaseIdle(absl::Hours(1) + absl::Minutes(9));
  EXPECT_GT(log->capacity(), 0u);
  publish(2);
  seqs_.ReleaseIdle(absl::Hours(1) + absl::Minutes(11));
  seqs_.ReleaseIdle(absl::Hours(1) + absl::Minutes(20));
  EXPECT_EQ(log->Take(owner, 2, 1, {}, &earlier), PublisherLog::Claim::kRepeated);
  seqs_.ReleaseIdle(absl::Hours(1) + absl::Minutes(21));
  EXPECT_GT(log->capacity(), 0u);
  seqs_.ReleaseIdle(absl::Hours(1) + absl::Minutes(31));
  EXPECT_EQ(log->capacity(), 0u);
  publish(3);
  seqs_.Close("a");
  EXPECT_EQ(Stream("a", 0), 3u);
}

TEST_F(PublisherSeqsTest, WhoHasNoStreamKeepsItsSeqs) {
  Stream("a", 5);
  seqs_.ReleaseIdle(absl::Hours(1));
  seqs_.ReleaseIdle(absl::Hours(100));
  const std::shared_ptr<PublisherLog> log = Open("a");
  EXPECT_GT(log->capacity(), 0u);
  seqs_.Close("a");
}

TEST_F(PublisherSeqsTest, PublishersWithoutAStreamRememberOnlySoManySeqsTogether) {
  Stream("a", 1000);  // 100 in a ring
  Stream("b", 1000);
  EXPECT_EQ(seqs_.size(), 2u);
  PublisherSeqs few({.max_publishers = 10, .window = 100, .max_seqs = 250});
  for (const std::string id : {"a", "b", "c"}) {
    const std::shared_ptr<PublisherLog> log = *few.Open(id);
    uint64_t last = 0;
    const uint64_t owner = log->Begin(&last);
    PublisherLog::Earlier earlier;
    for (uint64_t seq = 1; seq <= 1000; ++seq) {
      log->Take(owner, seq, 1, {}, &earlier);
      log->Settle(seq, {});
    }
    few.Close(id);
  }
  EXPECT_EQ(few.size(), 2u);
}

TEST_F(PublisherSeqsTest, RestoredPublishersGoOnWhereTheyWereAsManyAsMayBe) {
  std::vector<PublisherSeqs::Restored> kept;
  for (const std::string id : {"a", "b", "c"}) {
    kept.push_back({.id = id, .seqs = {{.seq = 7}, {.seq = 8}}});
  }
  seqs_.Restore(kept);
  EXPECT_EQ(seqs_.size(), 2u);
  EXPECT_EQ(Stream("c", 0), 8u);
  EXPECT_EQ(Stream("b", 1), 8u);
  EXPECT_EQ(Stream("b", 0), 9u);
  EXPECT_EQ(Stream("a", 0), 0u);
}

TEST(PublisherSeqsRestoreTest, OfTooManySeqsTheLatestOfEachPublisherAreKnown) {
  PublisherSeqs seqs({.max_publishers = 10, .window = 100, .max_seqs = 20});
  std::vector<PublisherSeqs::Restored> kept;
  for (const std::string id : {"a", "b", "c", "d"}) {
    kept.push_back({.id = id, .seqs = {}});
    for (uint64_t seq = 1; seq <= 50; ++seq) kept.back().seqs.push_back({.seq = seq});
  }
  seqs.Restore(kept);
  EXPECT_EQ(seqs.size(), 4u);
  for (const PublisherSeqs::Restored& publisher : kept) {
    const auto log = seqs.Open(publisher.id);
    ASSERT_OK(log);
    uint64_t last = 0;
    const uint64_t owner = (*log)->Begin(&last);
    EXPECT_EQ(last, 50u);
    PublisherLog::Earlier earlier;
    const auto take = [&](uint64_t seq) { return (*log)->Take(owner, seq, 0, {}, &earlier); };
    EXPECT_EQ(take(46), PublisherLog::Claim::kRepeated);
    EXPECT_EQ(take(45), PublisherLog::Claim::kUnknown);
  }
}

}  // namespace
}  // namespace fanwire::control
