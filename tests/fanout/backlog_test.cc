#include "fanout/backlog.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/policies.h"

namespace fanwire::fanout {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using Kind = Backlog::Kind;
using PushOutcome = Backlog::PushOutcome;

constexpr size_t kItemBytes = 102;  // header and 100 bytes

class BacklogTest : public ::testing::Test {
 protected:
  static ChannelRef Make(const char* name, BacklogPolicy policy) {
    ChannelRef channel(new Channel);
    channel->name = name;
    channel->backlog = policy;
    return channel;
  }

  Backlog::Item Event(const ChannelRef& channel, int64_t offset, uint64_t key = 0) {
    std::string text = absl::StrCat(channel->name, offset);
    text.resize(100, ' ');
    return {.frame = Frame::Text(text), .channel = channel, .offset = offset, .conflate_key = key};
  }

  PushOutcome Push(Backlog::Item item, size_t budget = SIZE_MAX) {
    return backlog_.Push(std::move(item), budget,
                         [this](const Backlog::Item& item, DropReason reason) {
                           dropped_.emplace_back(Name(item), reason);
                         });
  }

  // Takes up to so many bytes; what came, by name and offset, notices in brackets.
  std::vector<std::string> Take(size_t max_bytes = SIZE_MAX,
                                absl::Duration now = absl::ZeroDuration()) {
    std::vector<Backlog::Item> items;
    backlog_.Take(
        max_bytes, now, &items,
        [](const Channel& channel, int64_t from, int64_t to, const char* reason) {
          return Frame::Raw(absl::StrCat("[", channel.name, " ", from, "-", to, " ", reason, "]"));
        },
        [this](const Backlog::Item& item) { expired_.push_back(Name(item)); });
    std::vector<std::string> names;
    for (const Backlog::Item& item : items) {
      names.push_back(item.kind == Kind::kNotice && item.offset == 0
                          ? std::string(item.frame->bytes())
                          : Name(item));
    }
    return names;
  }

  static std::string Name(const Backlog::Item& item) {
    return absl::StrCat(item.channel->name, item.offset);
  }

  const ChannelRef close_ = Make("c", BacklogPolicy::kClose);
  const ChannelRef oldest_ = Make("o", BacklogPolicy::kDropOldest);
  const ChannelRef other_ = Make("p", BacklogPolicy::kDropOldest);
  const ChannelRef latest_ = Make("l", BacklogPolicy::kLatest);
  std::vector<std::pair<std::string, DropReason>> dropped_;
  std::vector<std::string> expired_;
  Backlog backlog_;
};

TEST_F(BacklogTest, WhatCameFirstLeavesFirst) {
  for (int i = 1; i <= 3; ++i) Push(Event(close_, i));
  EXPECT_EQ(backlog_.size(), 3u);
  EXPECT_EQ(backlog_.bytes(), 3 * kItemBytes);
  EXPECT_THAT(Take(), ElementsAre("c1", "c2", "c3"));
  EXPECT_TRUE(backlog_.empty());
  EXPECT_EQ(backlog_.bytes(), 0u);
}

TEST_F(BacklogTest, TakeStopsAtItsBytesButGivesAtLeastOne) {
  for (int i = 1; i <= 4; ++i) Push(Event(close_, i));
  EXPECT_THAT(Take(1), ElementsAre("c1"));
  EXPECT_THAT(Take(kItemBytes + 1), ElementsAre("c2", "c3"));
  EXPECT_THAT(Take(kItemBytes), ElementsAre("c4"));
  EXPECT_THAT(Take(), IsEmpty());
}

TEST_F(BacklogTest, CloseRefusesWhatIsOverTheBudget) {
  EXPECT_EQ(Push(Event(close_, 1), 2 * kItemBytes), PushOutcome::kKept);
  EXPECT_EQ(Push(Event(close_, 2), 2 * kItemBytes), PushOutcome::kKept);
  EXPECT_EQ(Push(Event(close_, 3), 2 * kItemBytes), PushOutcome::kTooSlow);
  EXPECT_EQ(backlog_.size(), 2u);
  EXPECT_THAT(dropped_, IsEmpty());
}

TEST_F(BacklogTest, ASinglePublicationLargerThanTheBudgetIsKept) {
  EXPECT_EQ(Push(Event(close_, 1), 10), PushOutcome::kKept);
  EXPECT_EQ(Push(Event(close_, 2), 10), PushOutcome::kTooSlow);
}

TEST_F(BacklogTest, DropOldestDropsTheOldestAndSaysSoOnceBeforeTheNext) {
  for (int i = 1; i <= 5; ++i) Push(Event(oldest_, i), 3 * kItemBytes);
  EXPECT_THAT(dropped_, ElementsAre(Pair("o1", DropReason::kDropOldest),
                                    Pair("o2", DropReason::kDropOldest)));
  EXPECT_THAT(Take(), ElementsAre("[o 1-2 slow_subscriber]", "o3", "o4", "o5"));
  EXPECT_FALSE(backlog_.notices_due());
}

TEST_F(BacklogTest, DropOldestSparesChannelsThatClose) {
  Push(Event(close_, 1));
  Push(Event(oldest_, 1));
  EXPECT_EQ(Push(Event(oldest_, 2), 2 * kItemBytes), PushOutcome::kKept);
  EXPECT_THAT(Take(), ElementsAre("c1", "[o 1-1 slow_subscriber]", "o2"));
}

TEST_F(BacklogTest, WithNothingToDropEvenDropOldestIsTooSlow) {
  Push(Event(close_, 1));
  Push(Event(close_, 2));
  EXPECT_EQ(Push(Event(oldest_, 1), 2 * kItemBytes), PushOutcome::kTooSlow);
}

TEST_F(BacklogTest, AChannelsNoticeComesBeforeItsNextEventNotBeforeOthers) {
  Push(Event(oldest_, 1));
  Push(Event(other_, 1));
  Push(Event(oldest_, 2), 2 * kItemBytes);
  EXPECT_THAT(Take(), ElementsAre("p1", "[o 1-1 slow_subscriber]", "o2"));
}

TEST_F(BacklogTest, ANoticeWithoutALaterEventComesWithTheLastItem) {
  Push(Event(oldest_, 1));
  Push(Event(other_, 1), kItemBytes);
  EXPECT_THAT(Take(), ElementsAre("p1", "[o 1-1 slow_subscriber]"));
}

TEST_F(BacklogTest, LatestKeepsTheNewestOfEachKey) {
  Push(Event(latest_, 1, 1));
  Push(Event(latest_, 2, 2));
  Push(Event(latest_, 3, 1));
  EXPECT_THAT(dropped_, ElementsAre(Pair("l1", DropReason::kConflated)));
  EXPECT_EQ(backlog_.size(), 2u);
  EXPECT_EQ(backlog_.bytes(), 2 * kItemBytes);
  EXPECT_THAT(Take(), ElementsAre("[l 1-1 conflated]", "l2", "l3"));
}

TEST_F(BacklogTest, KeysOfTwoChannelsAreNotConfused) {
  const ChannelRef twin = Make("t", BacklogPolicy::kLatest);
  Push(Event(latest_, 1, 7));
  Push(Event(twin, 1, 7));
  EXPECT_THAT(dropped_, IsEmpty());
}

TEST_F(BacklogTest, WhatHasLeftIsNotSuperseded) {
  Push(Event(latest_, 1, 1));
  Push(Event(latest_, 2, 2));
  EXPECT_THAT(Take(1), ElementsAre("l1"));
  Push(Event(latest_, 3, 1));
  EXPECT_THAT(dropped_, IsEmpty());
  EXPECT_THAT(Take(), ElementsAre("l2", "l3"));
}

TEST_F(BacklogTest, LatestDropsTheOldestKeyWhenThereAreTooMany) {
  Push(Event(latest_, 1, 1));
  Push(Event(latest_, 2, 2), kItemBytes);
  EXPECT_THAT(dropped_, ElementsAre(Pair("l1", DropReason::kDropOldest)));
  Push(Event(latest_, 3, 1), kItemBytes);
  EXPECT_THAT(Take(), ElementsAre("[l 1-2 slow_subscriber]", "l3"));
}

TEST_F(BacklogTest, AStreamOfOneKeyTakesTheRoomOfOne) {
  Push(Event(close_, 1));
  for (int i = 1; i <= 10'000; ++i) Push(Event(latest_, i, 1));
  EXPECT_EQ(backlog_.size(), 2u);
  EXPECT_EQ(backlog_.bytes(), 2 * kItemBytes);
  EXPECT_THAT(Take(), ElementsAre("c1", "[l 1-9999 conflated]", "l10000"));
}

TEST_F(BacklogTest, ManyKeysThatComeAndGoStayInOrder) {
  // Holes are closed on the way, and numbers of items move.
  int64_t offset = 0;
  for (int round = 0; round < 50; ++round) {
    for (uint64_t key = 0; key < 40; ++key) Push(Event(latest_, ++offset, key));
  }
  EXPECT_EQ(backlog_.size(), 40u);
  std::vector<std::string> expected = {"[l 1-1960 conflated]"};
  for (int64_t i = 1961; i <= 2000; ++i) expected.push_back(absl::StrCat("l", i));
  EXPECT_EQ(Take(), expected);
}

TEST_F(BacklogTest, ANoticeCoversNothingThatComesAfterIt) {
  Push(Event(latest_, 1, 1));
  Push(Event(latest_, 2, 2));
  Push(Event(latest_, 3, 3));
  Push(Event(latest_, 4, 1));
  Push(Event(latest_, 5, 1));
  Push(Event(latest_, 7, 1));  // 6 was not for this session
  Push(Event(latest_, 8, 1));
  Push(Event(latest_, 9, 9));
  Push(Event(latest_, 10, 1));
  EXPECT_EQ(backlog_.FirstOffset(latest_.get()), 1);
  EXPECT_THAT(Take(),
              ElementsAre("[l 1-1 conflated]", "l2", "l3", "[l 4-8 conflated]", "l9", "l10"));
  EXPECT_FALSE(backlog_.notices_due());
}

TEST_F(BacklogTest, NoticesThatArePartOfTheSameGapWaitForItsEvent) {
  for (int i = 1; i <= 3; ++i) Push(Event(oldest_, i));
  backlog_.Skip(oldest_, 4, 4, "slow_subscriber");
  Push(Event(oldest_, 5));
  EXPECT_THAT(Take(1), ElementsAre("o1"));
  EXPECT_TRUE(backlog_.notices_due());
  EXPECT_THAT(Take(), ElementsAre("o2", "o3", "[o 4-4 slow_subscriber]", "o5"));
}

TEST_F(BacklogTest, SkipsInAnyOrderBecomeTheStretchesThatTheyMake) {
  for (const int64_t offset : {5, 1, 3, 2, 9, 8}) {
    backlog_.Skip(oldest_, offset, offset, "slow_subscriber");
  }
  Push(Event(oldest_, 4));
  Push(Event(oldest_, 6));
  Push(Event(oldest_, 10));
  EXPECT_THAT(Take(), ElementsAre("[o 1-3 slow_subscriber]", "o4", "[o 5-5 slow_subscriber]", "o6",
                                  "[o 8-9 slow_subscriber]", "o10"));
}

TEST_F(BacklogTest, OfTooManyStretchesTheOldestBecomeOne) {
  constexpr int64_t kStretches = Backlog::kMaxStretches + 10;
  for (int64_t i = 1; i <= kStretches; ++i) {
    Push(Event(oldest_, 2 * i));
    backlog_.Skip(oldest_, 2 * i + 1, 2 * i + 1, "slow_subscriber");
  }
  const std::vector<std::string> taken = Take();
  EXPECT_EQ(taken[0], "o2");
  EXPECT_EQ(taken[1], "[o 3-23 slow_subscriber]");
  EXPECT_EQ(taken[2], "o4");
  EXPECT_EQ(taken.back(),
            absl::StrCat("[o ", 2 * kStretches + 1, "-", 2 * kStretches + 1, " slow_subscriber]"));
  EXPECT_EQ(taken.size(), static_cast<size_t>(kStretches) + Backlog::kMaxStretches);
}

TEST_F(BacklogTest, WhatHasExpiredIsDroppedAndTold) {
  Backlog::Item short_lived = Event(close_, 1);
  short_lived.expires_at = absl::Seconds(5);
  Push(std::move(short_lived));
  Push(Event(close_, 2));
  EXPECT_THAT(Take(SIZE_MAX, absl::Seconds(5)), ElementsAre("[c 1-1 expired]", "c2"));
  EXPECT_THAT(expired_, ElementsAre("c1"));
}

TEST_F(BacklogTest, OfAnExpiredLastItemTheNoticeComesAllTheSame) {
  Backlog::Item short_lived = Event(close_, 1);
  short_lived.expires_at = absl::Seconds(5);
  Push(std::move(short_lived));
  EXPECT_THAT(Take(SIZE_MAX, absl::Seconds(6)), ElementsAre("[c 1-1 expired]"));
  EXPECT_TRUE(backlog_.empty());
}

TEST_F(BacklogTest, SlownessIsTheReasonThatPrevailsOverExpiry) {
  Backlog::Item short_lived = Event(oldest_, 1);
  short_lived.expires_at = absl::Seconds(5);
  Push(std::move(short_lived));
  Push(Event(other_, 1));
  EXPECT_THAT(Take(1, absl::Seconds(5)), ElementsAre("p1", "[o 1-1 expired]"));
  backlog_.Skip(oldest_, 1, 1, "expired");
  backlog_.Skip(oldest_, 2, 2, "slow_subscriber");
  backlog_.Skip(oldest_, 3, 3, "expired");
  Push(Event(oldest_, 4));
  EXPECT_THAT(Take(), ElementsAre("[o 1-3 slow_subscriber]", "o4"));
}

TEST_F(BacklogTest, WhatHasNoPositionLeavesNoNotice) {
  Push(Event(oldest_, 0));
  Push(Event(oldest_, 0), kItemBytes);
  EXPECT_THAT(dropped_, ElementsAre(Pair("o0", DropReason::kDropOldest)));
  EXPECT_FALSE(backlog_.notices_due());
}

TEST_F(BacklogTest, SessionBuddysDialectKnowsNoNotices) {
  const ChannelRef buddy = Make("metrics", BacklogPolicy::kLatest);
  buddy->dialect = Dialect::kSessionBuddy;
  Push(Event(buddy, 1, 1));
  Push(Event(buddy, 2, 1));
  EXPECT_THAT(Take(), ElementsAre("metrics2"));
}

TEST_F(BacklogTest, NoticesAndRecoveredItemsAreNeverDroppedByAPolicy) {
  Backlog::Item recovered = Event(oldest_, 1);
  recovered.kind = Kind::kRecovered;
  backlog_.Append(std::move(recovered));
  EXPECT_EQ(Push(Event(oldest_, 2), kItemBytes), PushOutcome::kTooSlow);
  EXPECT_THAT(dropped_, IsEmpty());
  EXPECT_THAT(Take(), ElementsAre("o1"));
}

TEST_F(BacklogTest, ClearDropsEverything) {
  Push(Event(oldest_, 1));
  Push(Event(latest_, 2, 1));
  backlog_.Skip(close_, 1, 2, "slow_subscriber");
  std::vector<std::string> gone;
  backlog_.Clear([&](const Backlog::Item& item) { gone.push_back(Name(item)); });
  EXPECT_THAT(gone, ElementsAre("o1", "l2"));
  EXPECT_TRUE(backlog_.empty());
  EXPECT_EQ(backlog_.bytes(), 0u);
  EXPECT_FALSE(backlog_.notices_due());
  EXPECT_EQ(Push(Event(latest_, 3, 1)), PushOutcome::kKept);
  EXPECT_THAT(dropped_, IsEmpty());
}

TEST_F(BacklogTest, ClearChannelLeavesTheOthersAsTheyAre) {
  Push(Event(oldest_, 1));
  Push(Event(other_, 1));
  Push(Event(oldest_, 2));
  Push(Event(other_, 2));
  backlog_.Skip(oldest_, 9, 9, "slow_subscriber");
  backlog_.Skip(other_, 8, 8, "slow_subscriber");
  std::vector<std::string> gone;
  backlog_.ClearChannel(oldest_.get(),
                        [&](const Backlog::Item& item) { gone.push_back(Name(item)); });
  EXPECT_THAT(gone, ElementsAre("o1", "o2"));
  EXPECT_EQ(backlog_.bytes(), 2 * kItemBytes);
  EXPECT_THAT(Take(), ElementsAre("p1", "p2", "[p 8-8 slow_subscriber]"));
}

}  // namespace
}  // namespace fanwire::fanout
