#include "fanout/publish_pacer.h"

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire::fanout {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr absl::Duration kPace = absl::Milliseconds(50);
constexpr PublishPacer::Rate kNoRate;

absl::Duration Millis(int64_t ms) { return absl::Seconds(100) + absl::Milliseconds(ms); }

PublishPacer::Item CursorAt(const std::string& data, const std::string& channel = "cursor:a",
                            const std::string& event = "cursor.moved") {
  return {.event = {.channel = channel, .event = event}, .data = data};
}

std::vector<std::string> DataOf(const std::vector<PublishPacer::Item>& items) {
  std::vector<std::string> data;
  for (const PublishPacer::Item& item : items) data.push_back(item.data);
  return data;
}

class PublishPacerTest : public ::testing::Test {
 protected:
  // Offers a conflated event; returns what is sent at once.
  std::vector<std::string> Move(const std::string& data, int64_t ms,
                                const std::string& channel = "cursor:a") {
    PublishPacer::Outcome outcome = pacer_.Offer(CursorAt(data, channel), kPace, rate_, Millis(ms));
    EXPECT_FALSE(outcome.refused.has_value());
    if (outcome.replaced.has_value()) replaced_.push_back(outcome.replaced->data);
    return DataOf(outcome.send);
  }
  std::vector<std::string> Due(int64_t ms) { return DataOf(pacer_.TakeDue(rate_, Millis(ms))); }

  PublishPacer::Rate rate_ = kNoRate;
  PublishPacer pacer_{/*burst=*/10, Millis(0)};
  std::vector<std::string> replaced_;
};

TEST_F(PublishPacerTest, TheFirstIsSentAtOnceAndTheNewestWhenTheIntervalIsOver) {
  EXPECT_THAT(Move("1", 0), ElementsAre("1"));
  EXPECT_EQ(pacer_.deadline(), absl::InfiniteDuration());
  EXPECT_THAT(Move("2", 10), IsEmpty());
  EXPECT_THAT(Move("3", 20), IsEmpty());
  EXPECT_THAT(Move("4", 49), IsEmpty());
  EXPECT_EQ(pacer_.deadline(), Millis(50));
  EXPECT_THAT(Due(49), IsEmpty());
  EXPECT_THAT(Due(50), ElementsAre("4"));
  EXPECT_THAT(replaced_, ElementsAre("2", "3"));
  // The interval counts from what was sent last.
  EXPECT_THAT(Move("5", 99), IsEmpty());
  EXPECT_THAT(Due(100), ElementsAre("5"));
  EXPECT_THAT(Move("6", 150), ElementsAre("6"));
  EXPECT_EQ(pacer_.deadline(), absl::InfiniteDuration());
}

TEST_F(PublishPacerTest, EachChannelAndNameHasAnIntervalOfItsOwn) {
  EXPECT_THAT(Move("1", 0), ElementsAre("1"));
  EXPECT_THAT(Move("2", 1, "cursor:b"), ElementsAre("2"));
  EXPECT_THAT(
      DataOf(pacer_.Offer(CursorAt("3", "cursor:a", "other"), kPace, rate_, Millis(2)).send),
      ElementsAre("3"));
  EXPECT_THAT(Move("4", 3), IsEmpty());
  EXPECT_THAT(Move("5", 4, "cursor:b"), IsEmpty());
  EXPECT_THAT(Due(60), ElementsAre("4", "5"));
}

TEST_F(PublishPacerTest, WhatWaitsOnAChannelIsSentBeforeWhatComesLater) {
  EXPECT_THAT(Move("1", 0), ElementsAre("1"));
  EXPECT_THAT(Move("2", 1), IsEmpty());
  PublishPacer::Outcome other =
      pacer_.Offer(CursorAt("elsewhere", "diagram:b", "diagram.updated"), {}, rate_, Millis(2));
  EXPECT_THAT(DataOf(other.send), ElementsAre("elsewhere"));
  PublishPacer::Outcome same =
      pacer_.Offer(CursorAt("3", "cursor:a", "diagram.updated"), {}, rate_, Millis(3));
  EXPECT_THAT(DataOf(same.send), ElementsAre("2", "3"));
  EXPECT_EQ(pacer_.deadline(), absl::InfiniteDuration());
  EXPECT_THAT(Move("4", 20), IsEmpty());  // within the interval after 2
  EXPECT_THAT(Due(53), ElementsAre("4"));
}

TEST_F(PublishPacerTest, OfTwoNamesThatWaitOnAChannelTheOlderIsSentFirst) {
  Move("a1", 0);
  EXPECT_THAT(DataOf(pacer_.Offer(CursorAt("b1", "cursor:a", "b"), kPace, rate_, Millis(10)).send),
              ElementsAre("b1"));
  (void)pacer_.Offer(CursorAt("b2", "cursor:a", "b"), kPace, rate_, Millis(20));  // due at 60
  Move("a2", 30);                                                                 // due at 50
  EXPECT_THAT(Due(50), ElementsAre("b2", "a2"));
}

TEST_F(PublishPacerTest, WhatIsOverTheRateIsRefused) {
  rate_ = {.limit = 10, .burst = 2};
  PublishPacer pacer(2, Millis(0));
  const auto offer = [&](int64_t ms) {
    return pacer.Offer(CursorAt("x", "diagram:a", "diagram.updated"), {}, rate_, Millis(ms));
  };
  EXPECT_THAT(offer(0).send, SizeIs(1));
  EXPECT_THAT(offer(0).send, SizeIs(1));
  const PublishPacer::Outcome refused = offer(0);
  EXPECT_THAT(refused.send, IsEmpty());
  EXPECT_TRUE(refused.refused.has_value());
  EXPECT_NEAR(pacer.SecondsToNext(rate_), 0.1, 1e-6);
  EXPECT_THAT(offer(101).send, SizeIs(1));
  EXPECT_TRUE(offer(102).refused.has_value());
}

TEST_F(PublishPacerTest, WhatIsConflatedWaitsForTheRateAndIsNeverRefused) {
  rate_ = {.limit = 2, .burst = 1};
  PublishPacer pacer(1, Millis(0));
  const auto move = [&](const std::string& data, int64_t ms) {
    PublishPacer::Outcome outcome = pacer.Offer(CursorAt(data), kPace, rate_, Millis(ms));
    EXPECT_FALSE(outcome.refused.has_value());
    return DataOf(outcome.send);
  };
  EXPECT_THAT(move("1", 0), ElementsAre("1"));
  EXPECT_THAT(move("2", 10), IsEmpty());
  EXPECT_THAT(DataOf(pacer.TakeDue(rate_, Millis(50))), IsEmpty());  // the next is allowed at 500
  EXPECT_THAT(move("3", 60), IsEmpty());
  EXPECT_GE(pacer.deadline(), Millis(500) - absl::Milliseconds(1));
  EXPECT_THAT(DataOf(pacer.TakeDue(rate_, Millis(502))), ElementsAre("3"));
  // Behind the interval, but over the rate.
  EXPECT_THAT(move("4", 600), IsEmpty());
  EXPECT_THAT(DataOf(pacer.TakeDue(rate_, Millis(1010))), ElementsAre("4"));
}

TEST_F(PublishPacerTest, AnEventThatMayNotOvertakeWhatWaitsForTheRateIsRefused) {
  rate_ = {.limit = 1, .burst = 1};
  PublishPacer pacer(1, Millis(0));
  (void)pacer.Offer(CursorAt("1"), kPace, rate_, Millis(0));
  (void)pacer.Offer(CursorAt("2"), kPace, rate_, Millis(1));
  PublishPacer::Outcome later =
      pacer.Offer(CursorAt("3", "cursor:a", "diagram.updated"), {}, rate_, Millis(2));
  EXPECT_THAT(later.send, IsEmpty());
  EXPECT_TRUE(later.refused.has_value());
  EXPECT_THAT(DataOf(pacer.TakeDue(rate_, Millis(1100))), ElementsAre("2"));
}

TEST_F(PublishPacerTest, FurtherNamesAreSentAtOnce) {
  for (size_t i = 0; i < PublishPacer::kMaxSlots; ++i) {
    EXPECT_THAT(Move("x", 0, absl::StrCat("cursor:", i)), SizeIs(1));
  }
  EXPECT_THAT(Move("1", 1, "cursor:more"), ElementsAre("1"));
  EXPECT_THAT(Move("2", 2, "cursor:more"), ElementsAre("2"));
  // When intervals are over there is room again.
  EXPECT_THAT(Move("3", 60, "cursor:more"), ElementsAre("3"));
  EXPECT_THAT(Move("4", 61, "cursor:more"), IsEmpty());
}

TEST_F(PublishPacerTest, MoreBytesThanMayWaitAreSentAtOnceAndInOrder) {
  const std::string large(PublishPacer::kMaxWaitingBytes - 10, 'x');
  Move("1", 0);
  Move("2", 0, "cursor:b");
  EXPECT_THAT(Move(large, 1), IsEmpty());
  EXPECT_THAT(Move("small", 2, "cursor:b"), IsEmpty());
  EXPECT_THAT(Move("does not fit", 3, "cursor:b"), ElementsAre("small", "does not fit"));
  EXPECT_THAT(Move(large, 4), IsEmpty());  // in place of the other
  EXPECT_THAT(Due(100), ElementsAre(large));
  EXPECT_THAT(Move(std::string(10, 'y'), 101), IsEmpty());
}

TEST_F(PublishPacerTest, AtTheEndAllThatWaitsIsTakenInItsOrder) {
  for (const char* channel : {"cursor:a", "cursor:b", "cursor:c"}) Move("1", 0, channel);
  Move("b", 1, "cursor:b");
  Move("c", 2, "cursor:c");
  Move("a", 3, "cursor:a");
  EXPECT_THAT(DataOf(pacer_.TakeAll()), ElementsAre("b", "c", "a"));
  EXPECT_EQ(pacer_.deadline(), absl::InfiniteDuration());
  EXPECT_THAT(pacer_.TakeAll(), IsEmpty());
}

// Whatever a client does: in order on each channel, nothing twice, the last always, and of what is
// conflated never two within the interval unless something else on the channel forced it.
TEST(PublishPacerPropertyTest, OrderIsKeptAndTheLastIsAlwaysSent) {
  for (uint32_t seed = 1; seed <= 200; ++seed) {
    std::mt19937 random(seed);
    const PublishPacer::Rate rate{.limit = 5.0 + random() % 100, .burst = 1.0 + random() % 20};
    PublishPacer pacer(rate.burst, Millis(0));
    std::vector<int> sent[2], offered[2];
    std::vector<int> refused, replaced;
    const auto take = [&](const std::vector<PublishPacer::Item>& items) {
      for (const PublishPacer::Item& item : items) {
        sent[item.event.channel == "cursor:b"].push_back(std::stoi(item.data));
      }
    };
    int64_t ms = 0;
    for (int n = 0; n < 300; ++n) {
      ms += random() % 20;
      if (pacer.deadline() <= Millis(ms)) take(pacer.TakeDue(rate, Millis(ms)));
      const bool b = random() % 2 == 0;
      const bool conflated = random() % 3 > 0;
      offered[b].push_back(n);
      PublishPacer::Outcome outcome =
          pacer.Offer(CursorAt(std::to_string(n), b ? "cursor:b" : "cursor:a",
                               conflated ? (random() % 2 == 0 ? "one" : "two") : "plain"),
                      conflated ? kPace : absl::ZeroDuration(), rate, Millis(ms));
      take(outcome.send);
      if (outcome.refused.has_value()) {
        ASSERT_FALSE(conflated) << seed;
        refused.push_back(n);
      }
      if (outcome.replaced.has_value()) replaced.push_back(std::stoi(outcome.replaced->data));
    }
    for (int i = 0; i < 10'000 && pacer.deadline() < absl::InfiniteDuration(); ++i) {
      take(pacer.TakeDue(rate, pacer.deadline()));
    }
    ASSERT_EQ(pacer.deadline(), absl::InfiniteDuration()) << seed;
    size_t count = refused.size() + replaced.size();
    for (int channel = 0; channel < 2; ++channel) {
      ASSERT_TRUE(std::is_sorted(sent[channel].begin(), sent[channel].end())) << seed;
      ASSERT_EQ(std::adjacent_find(sent[channel].begin(), sent[channel].end()), sent[channel].end())
          << seed;
      count += sent[channel].size();
    }
    ASSERT_EQ(count, 300u) << seed;
  }
}

}  // namespace
}  // namespace fanwire::fanout
