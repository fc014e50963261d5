#include "control/publish/publisher_log.h"

#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Claim = PublisherLog::Claim;

class PublisherLogTest : public ::testing::Test {
 protected:
  PublisherLogTest() { owner_ = log_.Begin(&last_); }

  Claim Take(uint64_t seq, uint64_t fingerprint = 1) {
    return log_.Take(owner_, seq, fingerprint, {.tag = seq}, &earlier_);
  }
  std::vector<uint64_t> Accept(uint64_t seq, const std::string& id = "id") {
    PublishOutcome outcome;
    outcome.id = id;
    outcome.position = {.epoch = {.value = 5}, .offset = static_cast<int64_t>(100 + seq)};
    return Tags(log_.Settle(seq, outcome));
  }
  std::vector<uint64_t> Refuse(uint64_t seq) {
    PublishOutcome outcome;
    outcome.status = absl::UnavailableError("not now");
    return Tags(log_.Settle(seq, outcome));
  }
  void Publish(uint64_t seq) {
    EXPECT_EQ(Take(seq), Claim::kNew) << seq;
    EXPECT_THAT(Accept(seq), IsEmpty());
  }
  // What the next stream's welcome says.
  uint64_t LastAccepted() {
    owner_ = log_.Begin(&last_);
    return last_;
  }
  static std::vector<uint64_t> Tags(const std::vector<PublisherLog::Waiter>& waiters) {
    std::vector<uint64_t> tags;
    for (const PublisherLog::Waiter& waiter : waiters) tags.push_back(waiter.tag);
    return tags;
  }

  PublisherLog log_{4};
  uint64_t owner_ = 0;
  uint64_t last_ = 0;
  PublisherLog::Earlier earlier_;
};

TEST_F(PublisherLogTest, AnAcceptedSeqThatComesAgainIsAnsweredWithItsPosition) {
  EXPECT_EQ(last_, 0u);
  Publish(1);
  Publish(2);
  EXPECT_EQ(Take(1), Claim::kRepeated);
  EXPECT_EQ(earlier_.position.offset, 101);
  EXPECT_EQ(earlier_.position.epoch.value, 5u);
  EXPECT_EQ(earlier_.id, "id");
  EXPECT_EQ(LastAccepted(), 2u);
  EXPECT_EQ(Take(2), Claim::kRepeated);
  EXPECT_EQ(Take(3), Claim::kNew);
}

TEST_F(PublisherLogTest, UuidsAndShortIdsAreKeptAndOthersAreNot) {
  const std::pair<std::string, bool> ids[] = {
      {"1f190019-5ba2-4ac8-a3ad-698272caf5c9", true},
      {"00000000-0000-0000-0000-000000000000", true},
      {"1F190019-5BA2-4AC8-A3AD-698272CAF5C9", false},
      {std::string(16, 'x'), true},
      {std::string(17, 'x'), false},
      {std::string(36, 'x'), false},
      {"é", true},
      {"", false},
  };
  uint64_t seq = 0;
  for (const auto& [id, kept] : ids) {
    EXPECT_EQ(Take(++seq), Claim::kNew);
    Accept(seq, id);
    EXPECT_EQ(Take(seq), Claim::kRepeated);
    EXPECT_EQ(earlier_.id, kept ? id : "");
  }
}

TEST_F(PublisherLogTest, APlaceThatIsUsedAgainHasNothingOfTheSeqBefore) {
  for (uint64_t seq = 1; seq <= 20; ++seq) Publish(seq);
  EXPECT_EQ(Take(21), Claim::kNew);
  Accept(21, std::string(17, 'x'));
  EXPECT_EQ(Take(21), Claim::kRepeated);
  EXPECT_EQ(earlier_.id, "");
}

TEST_F(PublisherLogTest, ThereIsMemoryForTheWindowAndNotForMore) {
  PublisherLog log(100);
  uint64_t last = 0;
  const uint64_t owner = log.Begin(&last);
  for (uint64_t seq = 1; seq <= 1000; ++seq) {
    EXPECT_EQ(log.Take(owner, seq, 1, {}, &earlier_), Claim::kNew);
    log.Settle(seq, {});
    EXPECT_LE(log.capacity(), 100u);
  }
  EXPECT_EQ(log.Take(owner, 901, 1, {}, &earlier_), Claim::kRepeated);
  EXPECT_EQ(log.Take(owner, 900, 1, {}, &earlier_), Claim::kUnknown);
}

TEST_F(PublisherLogTest, WhatIsReleasedTakesNoMemoryAndGoesOnWhereItWas) {
  Publish(1);
  Publish(2);
  EXPECT_EQ(Take(3), Claim::kNew);
  log_.Release();  // one is in flight
  EXPECT_EQ(Take(2), Claim::kRepeated);
  Refuse(3);
  log_.Release();
  EXPECT_EQ(log_.capacity(), 0u);
  EXPECT_EQ(Take(2), Claim::kUnknown);
  EXPECT_EQ(LastAccepted(), 2u);
  EXPECT_EQ(log_.last(), 3u);
  Publish(4);
  EXPECT_EQ(Take(4), Claim::kRepeated);
  EXPECT_EQ(LastAccepted(), 4u);
}

TEST_F(PublisherLogTest, EveryUseIsCounted) {
  const uint64_t before = log_.uses();
  Take(1);
  EXPECT_EQ(log_.uses(), before + 1);
  Take(1);
  EXPECT_EQ(log_.uses(), before + 2);
  LastAccepted();
  EXPECT_EQ(log_.uses(), before + 3);
}

TEST_F(PublisherLogTest, ARefusedSeqIsPublishedWhenItComesAgain) {
  Publish(1);
  EXPECT_EQ(Take(2, 7), Claim::kNew);
  EXPECT_THAT(Refuse(2), IsEmpty());
  Publish(3);
  EXPECT_EQ(LastAccepted(), 3u);
  EXPECT_EQ(Take(2, 8), Claim::kNew);  // corrected
  EXPECT_EQ(Take(2, 8), Claim::kWaiting);
  EXPECT_THAT(Accept(2), ElementsAre(2));
  EXPECT_EQ(Take(2, 8), Claim::kRepeated);
  EXPECT_EQ(earlier_.position.offset, 102);
}

TEST_F(PublisherLogTest, ASeqInFlightIsNeitherAcceptedNorPublishedTwice) {
  Publish(1);
  EXPECT_EQ(Take(2), Claim::kNew);
  EXPECT_EQ(Take(3), Claim::kNew);
  Accept(3);
  EXPECT_EQ(LastAccepted(), 1u);
  EXPECT_EQ(Take(2), Claim::kWaiting);
  EXPECT_THAT(Accept(2), ElementsAre(2));
  EXPECT_EQ(LastAccepted(), 3u);
}

TEST_F(PublisherLogTest, WhoWaitsForASeqThatIsRefusedIsToldSoAndMaySendItAgain) {
  EXPECT_EQ(Take(1), Claim::kNew);
  EXPECT_EQ(Take(1), Claim::kWaiting);
  EXPECT_THAT(Refuse(1), ElementsAre(1));
  EXPECT_EQ(Take(1), Claim::kNew);
}

TEST_F(PublisherLogTest, AnOutcomeCountsOnce) {
  EXPECT_EQ(Take(1), Claim::kNew);
  Accept(1);
  EXPECT_THAT(Refuse(1), IsEmpty());
  EXPECT_EQ(Take(1), Claim::kRepeated);
  EXPECT_THAT(Accept(9), IsEmpty());  // never taken
}

TEST_F(PublisherLogTest, ASeqOfAnotherEventIsAConflict) {
  EXPECT_EQ(Take(1, 1), Claim::kNew);
  EXPECT_EQ(Take(1, 2), Claim::kConflict);
  Accept(1);
  EXPECT_EQ(Take(1, 2), Claim::kConflict);
  EXPECT_EQ(Take(1, 1), Claim::kRepeated);
}

TEST_F(PublisherLogTest, WhatWasLeftOutOrIsTooLongAgoIsUnknown) {
  EXPECT_EQ(Take(0), Claim::kUnknown);
  Publish(1);
  Publish(7);
  EXPECT_EQ(Take(6), Claim::kUnknown);
  for (uint64_t seq = 8; seq <= 30; ++seq) Publish(seq);
  EXPECT_EQ(Take(7), Claim::kUnknown);
  EXPECT_EQ(Take(26), Claim::kUnknown);
  EXPECT_EQ(Take(27), Claim::kRepeated);
  EXPECT_EQ(log_.last(), 30u);
}

TEST_F(PublisherLogTest, TheLastAcceptedSeqIsKnownAlsoWhenItsRecordIsGone) {
  Publish(1);
  for (uint64_t seq = 2; seq <= 40; ++seq) {
    EXPECT_EQ(Take(seq), Claim::kNew);
    Refuse(seq);
  }
  EXPECT_EQ(LastAccepted(), 1u);
}

TEST_F(PublisherLogTest, WhatIsInFlightIsKeptBeyondTheWindow) {
  for (uint64_t seq = 1; seq <= 100; ++seq) EXPECT_EQ(Take(seq), Claim::kNew);
  EXPECT_GE(log_.capacity(), 100u);
  EXPECT_EQ(Take(1), Claim::kWaiting);
  EXPECT_THAT(Accept(1), ElementsAre(1));
  for (uint64_t seq = 2; seq <= 100; ++seq) Accept(seq);
  Publish(101);
  EXPECT_EQ(LastAccepted(), 101u);
  EXPECT_EQ(Take(97), Claim::kUnknown);
  EXPECT_EQ(Take(98), Claim::kRepeated);
}

TEST_F(PublisherLogTest, OnlyTheLatestStreamTakesSeqs) {
  Publish(1);
  uint64_t last = 0;
  const uint64_t later = log_.Begin(&last);
  EXPECT_EQ(last, 1u);
  EXPECT_EQ(Take(2), Claim::kStale);
  EXPECT_EQ(Take(1), Claim::kStale);
  EXPECT_EQ(log_.Take(later, 2, 1, {}, &earlier_), Claim::kNew);
  EXPECT_THAT(Accept(2), IsEmpty());  // by whomever
}

TEST_F(PublisherLogTest, OfManyStreamsThatSendTheSameSeqsEachIsPublishedOnce) {
  constexpr uint64_t kSeqs = 2000;
  PublisherLog log(kSeqs);
  std::atomic<int> published{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      uint64_t seq = 1;
      while (seq <= kSeqs) {
        uint64_t last = 0;
        const uint64_t owner = log.Begin(&last);
        for (seq = last + 1; seq <= kSeqs; ++seq) {
          PublisherLog::Earlier earlier;
          const Claim claim = log.Take(owner, seq, 1, {}, &earlier);
          if (claim == Claim::kStale) break;
          if (claim != Claim::kNew) continue;
          ++published;
          log.Settle(seq, {});
          std::this_thread::yield();
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(published, static_cast<int>(kSeqs));
}

// ------------------------------------------------------------------------------- restored

TEST(PublisherLogRestoreTest, RestoredSeqsAreKnown) {
  PublisherLog log(4);
  std::vector<PublisherLog::Restored> kept;
  for (const uint64_t seq : {3, 5, 6}) {
    kept.push_back({.seq = seq,
                    .fingerprint = 1,
                    .position = {.epoch = {.value = 5}, .offset = static_cast<int64_t>(100 + seq)},
                    .id = "kept"});
  }
  log.Restore(kept);
  uint64_t last = 0;
  const uint64_t owner = log.Begin(&last);
  EXPECT_EQ(last, 6u);
  EXPECT_EQ(log.last(), 6u);
  PublisherLog::Earlier earlier;
  const auto take = [&](uint64_t seq, uint64_t fingerprint = 1) {
    return log.Take(owner, seq, fingerprint, {}, &earlier);
  };
  EXPECT_EQ(take(5), Claim::kRepeated);
  EXPECT_EQ(earlier.position.offset, 105);
  EXPECT_EQ(earlier.id, "kept");
  EXPECT_EQ(take(6, 2), Claim::kConflict);
  EXPECT_EQ(take(2), Claim::kUnknown);  // too long ago
  // It was refused, or is the repetition of another event.
  EXPECT_EQ(take(4), Claim::kNew);
  EXPECT_EQ(take(4), Claim::kWaiting);
  PublishOutcome outcome;
  outcome.position = {.epoch = {.value = 5}, .offset = 200};
  log.Settle(4, outcome);
  EXPECT_EQ(take(4), Claim::kRepeated);
  EXPECT_EQ(earlier.position.offset, 200);
  EXPECT_EQ(take(3), Claim::kRepeated);
  EXPECT_EQ(take(8), Claim::kNew);
  EXPECT_EQ(take(7), Claim::kUnknown);  // it was left out here
  EXPECT_EQ(take(6), Claim::kRepeated);
}

TEST(PublisherLogRestoreTest, WhatLeavesTheWindowIsNotTakenAgain) {
  PublisherLog log(4);
  std::vector<PublisherLog::Restored> kept;
  for (uint64_t seq = 1; seq <= 20; seq += 2) kept.push_back({.seq = seq, .fingerprint = 1});
  log.Restore(kept);
  uint64_t last = 0;
  const uint64_t owner = log.Begin(&last);
  PublisherLog::Earlier earlier;
  const auto take = [&](uint64_t seq) { return log.Take(owner, seq, 1, {}, &earlier); };
  EXPECT_EQ(last, 19u);
  EXPECT_EQ(take(11), Claim::kUnknown);
  EXPECT_EQ(take(12), Claim::kUnknown);
  EXPECT_EQ(take(13), Claim::kRepeated);
  EXPECT_EQ(take(14), Claim::kNew);  // it takes the place of 13
  EXPECT_EQ(take(13), Claim::kUnknown);
  EXPECT_EQ(take(20), Claim::kNew);
  EXPECT_EQ(take(15), Claim::kRepeated);
  EXPECT_EQ(take(14), Claim::kWaiting);
}

}  // namespace
}  // namespace fanwire::control
