#include "control/publish/publisher_seqs.h"

#include "gtest/gtest.h"

namespace fanwire::control {

namespace {

TEST(PublisherSeqsTest, OfAnUnknownPublisherNothingIsAccepted) {
  PublisherSeqs seqs(2);
  EXPECT_EQ(seqs.LastAccepted("a"), 0u);
}

TEST(PublisherSeqsTest, TheHighestAcceptedSeqOfEachPublisherIsRemembered) {
  PublisherSeqs seqs(2);
  seqs.Accepted("a", 5);
  seqs.Accepted("b", 9);
  seqs.Accepted("a", 7);
  seqs.Accepted("a", 6);
  EXPECT_EQ(seqs.LastAccepted("a"), 7u);
  EXPECT_EQ(seqs.LastAccepted("b"), 9u);
}

TEST(PublisherSeqsTest, OneTooManyForgetsTheLongestUnused) {
  PublisherSeqs seqs(2);
  seqs.Accepted("a", 1);
  seqs.Accepted("b", 2);
  seqs.Accepted("a", 3);
  seqs.Accepted("c", 4);
  EXPECT_EQ(seqs.LastAccepted("b"), 0u);
  EXPECT_EQ(seqs.LastAccepted("a"), 3u);
  EXPECT_EQ(seqs.LastAccepted("c"), 4u);
}

TEST(PublisherSeqsTest, AskingIsAUse) {
  PublisherSeqs seqs(2);
  seqs.Accepted("a", 1);
  seqs.Accepted("b", 2);
  EXPECT_EQ(seqs.LastAccepted("a"), 1u);
  seqs.Accepted("c", 3);
  EXPECT_EQ(seqs.LastAccepted("a"), 1u);
  EXPECT_EQ(seqs.LastAccepted("b"), 0u);
}

}  // namespace
}  // namespace fanwire::control
