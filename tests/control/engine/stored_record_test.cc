#include "control/engine/stored_record.h"

#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_clock.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> KeysOf(const EventRecord& event) {
  std::vector<std::string> keys;
  VisitRecordKeys(event, [&](absl::string_view key, bool /*is_seq*/) { keys.emplace_back(key); });
  return keys;
}

TEST(StoredRecordTest, EachPartOfARecordHasAKeyThatTellsIt) {
  EXPECT_THAT(KeysOf({.service = "s"}), IsEmpty());
  const std::string key("a\0b", 3), id("p\0", 2);  // any text may be one
  const std::vector<std::string> keys = KeysOf(
      {.service = "s", .idempotency_key = key, .publisher_id = id, .seq = (uint64_t{1} << 40) + 7});
  ASSERT_EQ(keys.size(), 2u);
  const StoredRecordValue value = {.channel = "c", .id = "i", .fingerprint = 9};
  EventRecord event;
  ASSERT_TRUE(ReadRecord(keys[0], value, &event));
  EXPECT_EQ(event.service, "s");
  EXPECT_EQ(event.idempotency_key, key);
  EXPECT_EQ(event.fingerprint, 9u);
  EXPECT_EQ(event.channel, "c");
  EXPECT_EQ(event.id, "i");
  EXPECT_TRUE(event.publisher_id.empty());
  ASSERT_TRUE(ReadRecord(keys[1], value, &event));
  EXPECT_EQ(event.publisher_id, id);
  EXPECT_EQ(event.seq, (uint64_t{1} << 40) + 7);
  EXPECT_EQ(event.seq_fingerprint, 9u);
  EXPECT_TRUE(event.idempotency_key.empty());
}

TEST(StoredRecordTest, ValuesComeBackAsTheyWere) {
  const StoredRecordValue value = {.channel = "a:b",
                                   .id = "event-1",
                                   .fingerprint = UINT64_MAX,
                                   .position = {.epoch = {.value = 5}, .offset = 7},
                                   .received_us = 1'700'000'000'000'000,
                                   .generation = 3};
  std::string bytes;
  WriteRecordValue(value, &bytes);
  StoredRecordValue read;
  ASSERT_TRUE(ReadRecordValue(bytes, &read));
  EXPECT_EQ(read.channel, value.channel);
  EXPECT_EQ(read.id, value.id);
  EXPECT_EQ(read.fingerprint, value.fingerprint);
  EXPECT_EQ(read.position, value.position);
  EXPECT_EQ(read.received_us, value.received_us);
  EXPECT_EQ(read.generation, value.generation);
}

TEST(StoredRecordTest, WhatIsMalformedIsNoRecord) {
  EventRecord event;
  const std::string short_seq("pme\0\0\0\0", 7);
  for (const std::string& key :
       {std::string(), std::string("k"), std::string("kservice"), std::string("p"), short_seq,
        std::string("pme3456789012"), std::string("x\0y", 3)}) {
    EXPECT_FALSE(ReadRecord(key, {}, &event)) << key;
  }
  StoredRecordValue value;
  EXPECT_FALSE(ReadRecordValue("\xff\xff", &value));
}

TEST(StoredRecordTest, RecordsAreOverWithTheirTimeAndSeqsAlsoWithTheirWindow) {
  FakeClock clock;
  RecordFilters filters({.key_ttl = absl::Minutes(10), .seq_ttl = absl::Hours(24), .seq_window = 3},
                        &clock);
  const auto now = [&] { return absl::ToInt64Microseconds(clock.WallNow() - absl::UnixEpoch()); };
  const int64_t received = now();
  const std::string key = KeysOf({.service = "s", .idempotency_key = "k"})[0];
  const auto seq = [](uint64_t number) { return KeysOf({.publisher_id = "me", .seq = number})[0]; };
  const auto left = [&] {
    std::vector<uint64_t> numbers;
    for (uint64_t number = 1; number <= 6; ++number) {
      if (!filters.IsOver(seq(number), received)) numbers.push_back(number);
    }
    return numbers;
  };
  EXPECT_FALSE(filters.IsOver(key, received));
  EXPECT_THAT(left(), ElementsAre(1, 2, 3, 4, 5, 6));
  filters.NoteSeq("me", 5, received);
  filters.NoteSeq("me", 4, received);
  filters.NoteSeq("you", 100, received);
  EXPECT_THAT(left(), ElementsAre(3, 4, 5, 6));
  clock.Advance(absl::Minutes(10));
  EXPECT_TRUE(filters.IsOver(key, received));
  EXPECT_THAT(left(), ElementsAre(3, 4, 5, 6));
  filters.NoteSeq("you", 101, now());
  clock.Advance(absl::Hours(24) - absl::Minutes(10));
  EXPECT_THAT(left(), IsEmpty());
  filters.Expire();  // "me"; what comes later is not compared with it
  EXPECT_FALSE(filters.IsOver(seq(1), now()));
}

}  // namespace

}  // namespace fanwire::control
