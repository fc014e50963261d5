#include "control/publish/publisher_seqs.h"

#include <string>

#include "gtest/gtest.h"

namespace fanwire::control {

namespace {

// A publisher with a window of 100 seqs.
class PublisherSeqsTest : public ::testing::Test {
 protected:
  // The last accepted seq as a new stream is told, which sends `more` then and ends.
  uint64_t Stream(const std::string& id, int more) {
    const std::shared_ptr<PublisherLog> log = seqs_.Open(id);
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

  PublisherSeqs seqs_{{.max_publishers = 2, .window = 100, .max_seqs = 300}};
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
  const std::shared_ptr<PublisherLog> log = seqs_.Open("a");
  for (const char* id : {"b", "c", "d", "e"}) Stream(id, 1);
  EXPECT_EQ(seqs_.Open("a"), log);
  seqs_.Close("a");
  for (const char* id : {"b", "c", "d", "e"}) Stream(id, 1);
  EXPECT_EQ(seqs_.Open("a"), log);
  seqs_.Close("a");
  seqs_.Close("a");
}

TEST_F(PublisherSeqsTest, PublishersWithoutAStreamRememberOnlySoManySeqsTogether) {
  Stream("a", 1000);  // 128 in a ring
  Stream("b", 1000);
  EXPECT_EQ(seqs_.size(), 2u);
  PublisherSeqs few({.max_publishers = 10, .window = 100, .max_seqs = 300});
  for (const std::string id : {"a", "b", "c"}) {
    const std::shared_ptr<PublisherLog> log = few.Open(id);
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

}  // namespace
}  // namespace fanwire::control
