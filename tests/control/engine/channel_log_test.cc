#include "control/engine/channel_log.h"

#include <algorithm>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ChannelLogTest : public ::testing::Test {
 protected:
  // An unsealed publication whose envelope, sealed, has about `bytes` bytes.
  PublicationPtr Make(size_t bytes = 100) {
    const size_t before = bytes - Publication::kSealBytes;
    PublicationPtr publication =
        Publication::Make({.max_envelope_bytes = bytes, .received_at = now_});
    std::fill_n(publication->buffer(), before, 'x');
    publication->SetEnvelope(before, 0, 0);
    return publication;
  }
  void Append(ChannelLog* log, int count, size_t bytes = 100) {
    for (int i = 0; i < count; ++i) log->Append(Make(bytes), now_);
  }
  // What ReadAfter() gives, as offsets; {-1}: it is gone.
  std::vector<int64_t> Read(ChannelLog* log, int64_t after, int64_t until,
                            size_t max_bytes = 1 << 20) {
    std::vector<PublicationPtr> page;
    const ReadOutcome outcome = log->ReadAfter(after, until, max_bytes, now_, &page,
                                               []() -> EngineCallback { return nullptr; });
    if (outcome == ReadOutcome::kGone) return {-1};
    std::vector<int64_t> offsets;
    for (const PublicationPtr& publication : page) {
      EXPECT_EQ(publication->epoch(), log->head().epoch);
      offsets.push_back(publication->offset());
    }
    return offsets;
  }

  absl::Duration now_ = absl::Seconds(100);
  MemoryBudget budget_{1 << 20};
};

TEST_F(ChannelLogTest, ANewLogHasAnEpochAndNothingElse) {
  ChannelLog log({}, &budget_), other({}, &budget_);
  EXPECT_NE(log.head().epoch, Epoch());
  EXPECT_NE(log.head().epoch, other.head().epoch);
  EXPECT_EQ(log.head().offset, 0);
  const HistoryState state = log.Describe(now_);
  EXPECT_EQ(state.oldest_offset, 0);
  EXPECT_EQ(state.publications, 0);
  EXPECT_EQ(state.bytes, 0);
  EXPECT_EQ(log.oldest_received_at(), absl::InfiniteDuration());
  EXPECT_TRUE(log.Trim(now_));
  EXPECT_THAT(Read(&log, 0, 0), IsEmpty());
}

TEST_F(ChannelLogTest, OffsetsCountFromOne) {
  ChannelLog log({.size = 10}, &budget_);
  Append(&log, 3);
  EXPECT_EQ(log.head().offset, 3);
  EXPECT_THAT(Read(&log, 0, 3), ElementsAre(1, 2, 3));
  EXPECT_THAT(Read(&log, 1, 2), ElementsAre(2));
  EXPECT_THAT(Read(&log, 3, 3), IsEmpty());
  EXPECT_EQ(log.Describe(now_).oldest_offset, 1);
}

TEST_F(ChannelLogTest, KeepsAsManyAsItsSizeSaysOverAndOver) {
  ChannelLog log({.size = 5}, &budget_);
  for (int64_t head = 1; head <= 40; ++head) {
    Append(&log, 1);
    const int64_t oldest = std::max<int64_t>(1, head - 4);
    ASSERT_EQ(log.Describe(now_).oldest_offset, oldest);
    const std::vector<int64_t> kept = Read(&log, oldest - 1, head);
    ASSERT_EQ(kept.size(), static_cast<size_t>(head - oldest + 1));
    ASSERT_EQ(kept.front(), oldest);
    ASSERT_EQ(kept.back(), head);
    if (oldest > 1) {
      ASSERT_THAT(Read(&log, oldest - 2, head), ElementsAre(-1));
    }
  }
}

TEST_F(ChannelLogTest, WithoutHistoryItCountsAndKeepsNothing) {
  ChannelLog log({.size = 0}, &budget_);
  Append(&log, 3);
  EXPECT_EQ(log.head().offset, 3);
  EXPECT_EQ(budget_.used, 0);
  EXPECT_THAT(Read(&log, 2, 3), ElementsAre(-1));
  EXPECT_THAT(Read(&log, 3, 3), IsEmpty());
}

TEST_F(ChannelLogTest, WhatIsTooOldGoesWithoutANewOneAndTheOffsetsGoOn) {
  ChannelLog log({.size = 10, .ttl = absl::Seconds(10)}, &budget_);
  Append(&log, 2);
  now_ += absl::Seconds(5);
  Append(&log, 1);
  now_ += absl::Seconds(5) - absl::Nanoseconds(1);
  EXPECT_THAT(Read(&log, 0, 3), ElementsAre(1, 2, 3));
  now_ += absl::Nanoseconds(1);
  EXPECT_THAT(Read(&log, 0, 3), ElementsAre(-1));
  EXPECT_THAT(Read(&log, 2, 3), ElementsAre(3));
  EXPECT_FALSE(log.Trim(now_));
  now_ += absl::Seconds(5);
  EXPECT_TRUE(log.Trim(now_));
  EXPECT_EQ(budget_.used, 0);
  EXPECT_THAT(Read(&log, 2, 3), ElementsAre(-1));
  Append(&log, 1);
  EXPECT_EQ(log.head().offset, 4);
  EXPECT_THAT(Read(&log, 3, 4), ElementsAre(4));
}

TEST_F(ChannelLogTest, AnAppendLetsGoOfWhatIsTooOld) {
  ChannelLog log({.size = 10, .ttl = absl::Seconds(10)}, &budget_);
  Append(&log, 5);
  now_ += absl::Seconds(10);
  Append(&log, 1);
  EXPECT_EQ(log.Describe(now_).publications, 1);
}

TEST_F(ChannelLogTest, AnAppendToAFullLogLetsGoOfAllThatIsTooOld) {
  ChannelLog log({.size = 4, .ttl = absl::Seconds(10)}, &budget_);
  Append(&log, 3);
  now_ += absl::Seconds(5);
  Append(&log, 1);
  now_ += absl::Seconds(4);
  Append(&log, 1);  // the first goes for its place, young as it is
  EXPECT_EQ(log.Describe(now_).publications, 4);
  now_ += absl::Seconds(1);
  Append(&log, 1);  // two are too old, not only the one whose place is needed
  // Not by Describe(), which looks itself.
  EXPECT_EQ(log.oldest_received_at(), absl::Seconds(105));
  EXPECT_THAT(Read(&log, 3, 6), ElementsAre(4, 5, 6));
}

TEST_F(ChannelLogTest, APageEndsBeforeItsBytesAreExceededButHoldsOneAtLeast) {
  ChannelLog log({.size = 10}, &budget_);
  Append(&log, 6, 200);
  std::vector<PublicationPtr> page;
  ASSERT_EQ(log.ReadAfter(0, 1, 1, now_, &page, []() -> EngineCallback { return nullptr; }),
            ReadOutcome::kOk);
  const size_t each = page[0]->envelope().size();
  EXPECT_THAT(Read(&log, 0, 6, 1), ElementsAre(1));
  EXPECT_THAT(Read(&log, 0, 6, 2 * each), ElementsAre(1, 2));
  EXPECT_THAT(Read(&log, 0, 6, 3 * each - 1), ElementsAre(1, 2));
  EXPECT_THAT(Read(&log, 2, 6, 100 * each), ElementsAre(3, 4, 5, 6));
}

TEST_F(ChannelLogTest, ReadingStopsAtTheHead) {
  ChannelLog log({.size = 10}, &budget_);
  Append(&log, 2);
  EXPECT_THAT(Read(&log, 1, 100), ElementsAre(2));
}

TEST_F(ChannelLogTest, AnotherPolicyHoldsAtOnce) {
  ChannelLog log({.size = 10}, &budget_);
  Append(&log, 6);
  log.SetPolicy({.size = 2, .ttl = absl::Hours(1)}, now_);
  EXPECT_THAT(Read(&log, 4, 6), ElementsAre(5, 6));
  EXPECT_THAT(Read(&log, 3, 6), ElementsAre(-1));
  log.SetPolicy({.size = 4, .ttl = absl::Hours(1)}, now_);
  Append(&log, 2);
  EXPECT_THAT(Read(&log, 4, 8), ElementsAre(5, 6, 7, 8));
  now_ += absl::Seconds(2);
  log.SetPolicy({.size = 4, .ttl = absl::Seconds(1)}, now_);
  EXPECT_EQ(log.Describe(now_).publications, 0);
  log.SetPolicy({.size = 0, .ttl = absl::Hours(1)}, now_);
  Append(&log, 1);
  EXPECT_EQ(log.Describe(now_).publications, 0);
  EXPECT_EQ(log.head().offset, 9);
}

TEST_F(ChannelLogTest, TheBudgetKnowsWhatIsKeptAndIsFreedWithTheLog) {
  {
    ChannelLog log({.size = 3}, &budget_), other({.size = 3}, &budget_);
    Append(&log, 5);
    Append(&other, 1);
    EXPECT_GE(budget_.used, 4 * 100);
    // All that a channel takes that holds history.
    const int64_t kept = log.Describe(now_).bytes + other.Describe(now_).bytes;
    EXPECT_GE(budget_.used, kept + 2 * (kChannelStateBytes + int64_t{sizeof(ChannelLog)}));
    EXPECT_LE(budget_.used, kept + 2 * (kChannelStateBytes + int64_t{sizeof(ChannelLog)} + 100));
  }
  EXPECT_EQ(budget_.used, 0);
}

TEST_F(ChannelLogTest, ALongRingIsCountedAndGivenBack) {
  ChannelLog log({.size = 1000}, &budget_);
  Append(&log, 1);
  const int64_t one = budget_.used;
  Append(&log, 999);
  EXPECT_GE(budget_.used, one + log.Describe(now_).bytes + int64_t{1000 * sizeof(void*)} - 200);
  for (int i = 0; i < 999; ++i) log.DropOldest();
  EXPECT_EQ(budget_.used, one);
  EXPECT_THAT(Read(&log, 999, 1000), ElementsAre(1000));
  Append(&log, 20);
  EXPECT_THAT(Read(&log, 1018, 1020), ElementsAre(1019, 1020));
  log.SetPolicy({.size = 0}, now_);
  EXPECT_EQ(budget_.used, 0);
}

TEST_F(ChannelLogTest, ALogKeepsWhatItGetsWhateverTheBudget) {
  MemoryBudget budget(1);
  ChannelLog log({.size = 100}, &budget);
  Append(&log, 10);
  EXPECT_EQ(log.Describe(now_).publications, 10);
}

TEST_F(ChannelLogTest, TheOldestSaysWhenItWasReceived) {
  ChannelLog log({.size = 10}, &budget_);
  const absl::Duration first = now_;
  Append(&log, 1);
  now_ += absl::Seconds(1);
  Append(&log, 1);
  EXPECT_EQ(log.oldest_received_at(), first);
  log.DropOldest();
  EXPECT_EQ(log.oldest_received_at(), now_);
  log.DropOldest();
  EXPECT_EQ(log.oldest_received_at(), absl::InfiniteDuration());
  EXPECT_EQ(budget_.used, 0);
}

TEST_F(ChannelLogTest, FindsTheFirstThatWasReceivedThenOrLater) {
  ChannelLog log({.size = 5}, &budget_);
  EXPECT_EQ(log.FirstSince(-absl::InfiniteDuration()), 1);
  for (int i = 0; i < 8; ++i) {  // 101 s to 108 s; the first three are gone
    now_ += absl::Seconds(1);
    Append(&log, 1);
  }
  EXPECT_EQ(log.FirstSince(-absl::InfiniteDuration()), 4);
  EXPECT_EQ(log.FirstSince(absl::Seconds(104)), 4);
  EXPECT_EQ(log.FirstSince(absl::Seconds(104) + absl::Nanoseconds(1)), 5);
  EXPECT_EQ(log.FirstSince(absl::Seconds(106)), 6);
  EXPECT_EQ(log.FirstSince(absl::Seconds(108)), 8);
  EXPECT_EQ(log.FirstSince(absl::Seconds(108) + absl::Nanoseconds(1)), 9);
  EXPECT_EQ(log.FirstSince(absl::InfiniteDuration()), 9);
}

TEST_F(ChannelLogTest, TheFirstSinceATimeIsFoundAlthoughThreadsAppendedOutOfOrder) {
  ChannelLog log({.size = 100}, &budget_);
  for (const int tenths : {0, 10, 20, 29, 25, 31, 28, 40}) {
    now_ = absl::Milliseconds(100 * tenths) + absl::Seconds(100);
    log.Append(Make(), absl::Seconds(110));
  }
  EXPECT_EQ(log.FirstSince(absl::Seconds(100) + absl::Milliseconds(2700)), 4);
  EXPECT_EQ(log.FirstSince(absl::Seconds(100) + absl::Milliseconds(3000)), 6);
  EXPECT_EQ(log.FirstSince(absl::Seconds(100) + absl::Milliseconds(3500)), 8);
  EXPECT_EQ(log.FirstSince(absl::Seconds(100) + absl::Milliseconds(4100)), 9);
}

}  // namespace
}  // namespace fanwire::control
