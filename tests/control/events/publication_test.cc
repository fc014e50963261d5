#include "control/events/publication.h"

#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire::control {

namespace {

using ::testing::MatchesRegex;

void Fill(absl::string_view envelope, size_t data_begin, size_t data_bytes, Publication* out) {
  std::memcpy(out->buffer(), envelope.data(), envelope.size());
  out->SetEnvelope(envelope.size(), data_begin, data_bytes);
}

TEST(EpochTest, TheTextOfEveryEpochNamesItAgain) {
  for (const uint64_t value : {uint64_t{1}, uint64_t{0x0123456789abcdef}, UINT64_MAX}) {
    const Epoch epoch{.value = value};
    Epoch parsed;
    ASSERT_TRUE(Epoch::Parse(epoch.ToText(), &parsed)) << epoch.ToText();
    EXPECT_EQ(parsed, epoch);
  }
  EXPECT_EQ(Epoch{.value = 0xabc}.ToText(), "0000000000000abc");
}

TEST(EpochTest, ADrawnEpochIsSixteenDigitsAndNotTheLastOne) {
  const Epoch epoch = Epoch::Random();
  EXPECT_THAT(epoch.ToText(), MatchesRegex("[0-9a-f]{16}"));
  EXPECT_NE(epoch, Epoch::Random());
}

TEST(EpochTest, NoEpochHasAnEmptyText) { EXPECT_EQ(Epoch().ToText(), ""); }

TEST(EpochTest, WhatIsNoTextOfOursNamesNoEpochAndChangesNothing) {
  for (const char* text :
       {"", "1", "0000000000000000", "0123456789ABCDEF", "0123456789abcdeg", "0123456789abcde",
        "0123456789abcdef0", " 123456789abcdef", "-123456789abcdef", "0x23456789abcdef"}) {
    Epoch epoch{.value = 7};
    EXPECT_FALSE(Epoch::Parse(text, &epoch)) << '"' << text << '"';
    EXPECT_EQ(epoch.value, 7u);
  }
}

TEST(PublicationTest, HoldsWhatItWasMadeWith) {
  const std::string envelope = R"({"id":"x","data":{"a":1}})";
  const PublicationPtr publication = Publication::Make({.event = "workflow.started",
                                                        .exclude_connection = "conn-1",
                                                        .max_envelope_bytes = 100,
                                                        .received_us = 17,
                                                        .received_at = absl::Seconds(5),
                                                        .expires_at = absl::Seconds(9),
                                                        .conflate_key = 3,
                                                        .tracking_id = 32});
  Fill(envelope, 17, 7, publication.get());
  EXPECT_EQ(publication->event(), "workflow.started");
  EXPECT_EQ(publication->exclude_connection(), "conn-1");
  EXPECT_EQ(publication->envelope(), envelope);
  EXPECT_EQ(publication->data(), R"({"a":1})");
  EXPECT_EQ(publication->offset(), 0);
  EXPECT_EQ(publication->epoch(), Epoch());
  EXPECT_EQ(publication->received_us(), 17);
  EXPECT_EQ(publication->received_at(), absl::Seconds(5));
  EXPECT_EQ(publication->expires_at(), absl::Seconds(9));
  EXPECT_EQ(publication->conflate_key(), 3u);
  EXPECT_EQ(publication->tracking_id(), 32u);
  EXPECT_GE(publication->memory_bytes(), sizeof(Publication) + 100);
}

TEST(PublicationTest, ASealPutsThePositionBeforeTheClosingBraceAndMovesNoData) {
  const PublicationPtr publication =
      Publication::Make({.event = "e", .max_envelope_bytes = 12 + Publication::kSealBytes});
  Fill(R"({"data":{}})", 8, 2, publication.get());
  publication->Seal(Epoch{.value = 0xfe}, 42);
  EXPECT_EQ(publication->envelope(), R"({"data":{},"offset":42,"epoch":"00000000000000fe"})");
  EXPECT_EQ(publication->data(), "{}");
  EXPECT_EQ(publication->offset(), 42);
  EXPECT_EQ(publication->epoch(), Epoch{.value = 0xfe});
}

TEST(PublicationTest, TheLargestPositionFitsIntoTheBytesOfASeal) {
  const PublicationPtr publication =
      Publication::Make({.max_envelope_bytes = 2 + Publication::kSealBytes});
  Fill("{}", 0, 2, publication.get());
  publication->Seal(Epoch{.value = UINT64_MAX}, std::numeric_limits<int64_t>::max());
  EXPECT_EQ(publication->envelope(),
            R"({,"offset":9223372036854775807,"epoch":"ffffffffffffffff"})");
}

using PublicationDeathTest = ::testing::Test;

TEST(PublicationDeathTest, AnEnvelopeLargerThanItsRoomIsABug) {
  const PublicationPtr publication = Publication::Make({.event = "e", .max_envelope_bytes = 4});
  EXPECT_DEATH(publication->SetEnvelope(5, 0, 0), "CHECK failed");
}

TEST(PublicationDeathTest, ASealWithoutRoomOrASecondSealIsABug) {
  const PublicationPtr tight = Publication::Make({.max_envelope_bytes = 4});
  Fill("{}", 0, 2, tight.get());
  EXPECT_DEATH(tight->Seal(Epoch{.value = 1}, 1), "CHECK failed");
  const PublicationPtr roomy = Publication::Make({.max_envelope_bytes = 200});
  Fill("{}", 0, 2, roomy.get());
  roomy->Seal(Epoch{.value = 1}, 1);
  EXPECT_DEATH(roomy->Seal(Epoch{.value = 1}, 2), "CHECK failed");
}

TEST(PublicationPtrTest, CopiesAndMovesShareOneAndTheLastLetsItGo) {
  PublicationPtr first = Publication::Make({.event = "e", .max_envelope_bytes = 1});
  Publication* const raw = first.get();
  PublicationPtr second = first;
  EXPECT_EQ(second, first);
  PublicationPtr third = std::move(first);
  EXPECT_FALSE(first);  // NOLINT(bugprone-use-after-move): that it is empty is the promise
  EXPECT_EQ(third.get(), raw);
  second = nullptr;
  third = PublicationPtr(third);
  EXPECT_EQ(third->event(), "e");
}

TEST(PublicationPtrTest, ManyThreadsMayShareAndReadOne) {
  const PublicationPtr publication =
      Publication::Make({.event = "shared", .max_envelope_bytes = 64});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([copy = publication] {
      for (int i = 0; i < 1000; ++i) {
        const PublicationPtr another = copy;
        ASSERT_EQ(another->event(), "shared");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace fanwire::control
