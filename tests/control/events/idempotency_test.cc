#include "control/events/idempotency.h"

#include <array>
#include <atomic>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Claim = IdempotencyWindow::Claim;

class IdempotencyTest : public ::testing::Test {
 protected:
  Claim Begin(absl::string_view key, uint64_t tag = 0,
              const IdempotencyWindow::Content& content = {.fingerprint = 1, .channel = "c"}) {
    outcome_ = {};
    return window_.Begin(key, content, now_, {.tag = tag}, &outcome_, &id_, &channel_);
  }
  std::vector<uint64_t> Settle(absl::string_view key, absl::string_view id = "id") {
    PublishOutcome outcome;
    outcome.id = id;
    outcome.position = {.epoch = {.value = 5}, .offset = 7};
    return Tags(window_.Settle(key, outcome, now_));
  }
  static std::vector<uint64_t> Tags(const std::vector<IdempotencyWindow::Waiter>& waiters) {
    std::vector<uint64_t> tags;
    for (const IdempotencyWindow::Waiter& waiter : waiters) tags.push_back(waiter.tag);
    return tags;
  }

  IdempotencyWindow window_{absl::Minutes(10), 5};
  absl::Duration now_ = absl::Seconds(1000);
  PublishOutcome outcome_;
  std::string id_;
  std::string channel_;
};

TEST_F(IdempotencyTest, TheSecondOfAKeyGetsTheFirstOnesReceiptMarkedADuplicate) {
  EXPECT_EQ(Begin("key"), Claim::kNew);
  PublishOutcome first;
  first.id = "id-1";
  first.position = {.epoch = {.value = 5}, .offset = 7};
  first.level = ReceiptLevel::kWritten;
  first.timed_out = true;
  first.stages.last_written = 99;
  first.delivery.matched = 3;
  first.delivery.dropped[2] = 1;
  EXPECT_THAT(window_.Settle("key", first, now_), IsEmpty());
  EXPECT_EQ(Begin("key"), Claim::kSettled);
  EXPECT_EQ(outcome_.id, "id-1");
  EXPECT_EQ(outcome_.id.data(), id_.data());
  EXPECT_EQ(outcome_.position, first.position);
  EXPECT_EQ(outcome_.level, ReceiptLevel::kWritten);
  EXPECT_TRUE(outcome_.timed_out);
  EXPECT_TRUE(outcome_.duplicate);
  EXPECT_EQ(outcome_.stages.last_written, 99);
  EXPECT_EQ(outcome_.delivery.matched, 3);
  EXPECT_EQ(outcome_.delivery.dropped[2], 1);
}

TEST_F(IdempotencyTest, WhoComesInBetweenWaitsAndIsNamedInOrder) {
  EXPECT_EQ(Begin("key", 1), Claim::kNew);
  EXPECT_EQ(Begin("key", 2), Claim::kWaiting);
  EXPECT_EQ(Begin("key", 3), Claim::kWaiting);
  EXPECT_THAT(Settle("key"), ElementsAre(2, 3));
  EXPECT_EQ(Begin("key", 4), Claim::kSettled);
}

TEST_F(IdempotencyTest, ARefusedEventFreesItsKey) {
  EXPECT_EQ(Begin("key", 1), Claim::kNew);
  EXPECT_EQ(Begin("key", 2), Claim::kWaiting);
  EXPECT_THAT(Tags(window_.Release("key")), ElementsAre(2));
  EXPECT_EQ(window_.size(), 0);
  EXPECT_EQ(Begin("key", 3), Claim::kNew);
}

TEST_F(IdempotencyTest, AKeyIsFreeAgainWhenTheWindowHasPassed) {
  Begin("key");
  Settle("key");
  now_ += absl::Minutes(10) - absl::Nanoseconds(1);
  EXPECT_EQ(Begin("key"), Claim::kSettled);
  now_ += absl::Nanoseconds(1);
  EXPECT_EQ(Begin("key"), Claim::kNew);
}

TEST_F(IdempotencyTest, TheWindowBeginsWithTheReceipt) {
  Begin("key");
  now_ += absl::Hours(1);
  window_.Expire(now_);
  EXPECT_EQ(Begin("key"), Claim::kWaiting);
  Settle("key");
  EXPECT_EQ(Begin("key"), Claim::kSettled);
}

TEST_F(IdempotencyTest, ExpireForgetsWhatIsTooOld) {
  Begin("a");
  Settle("a");
  now_ += absl::Minutes(5);
  Begin("b");
  Settle("b");
  now_ += absl::Minutes(5);
  window_.Expire(now_);
  EXPECT_EQ(window_.size(), 1);
  EXPECT_EQ(Begin("b"), Claim::kSettled);
}

TEST_F(IdempotencyTest, BeyondTheirNumberTheOldestKeysGo) {
  for (int i = 0; i < 8; ++i) {
    Begin(absl::StrCat(i));
    Settle(absl::StrCat(i));
  }
  EXPECT_EQ(window_.size(), 5);
  EXPECT_EQ(Begin("3"), Claim::kSettled);
  EXPECT_EQ(Begin("2"), Claim::kNew);
}

TEST_F(IdempotencyTest, KeysUnderWayAreNeverForgotten) {
  for (int i = 0; i < 8; ++i) EXPECT_EQ(Begin(absl::StrCat("open", i)), Claim::kNew);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(Begin(absl::StrCat("open", i)), Claim::kWaiting);
  for (int i = 0; i < 8; ++i) Settle(absl::StrCat("open", i));
  EXPECT_EQ(window_.size(), 5);
}

TEST_F(IdempotencyTest, AKeyOfAnotherEventIsAConflictThatNamesTheFirstChannel) {
  EXPECT_EQ(Begin("key", 1, {.fingerprint = 1, .channel = "workflow:1"}), Claim::kNew);
  // Also while the first is under way, and it neither waits nor harms who does.
  EXPECT_EQ(Begin("key", 2, {.fingerprint = 2, .channel = "workflow:2"}), Claim::kConflict);
  EXPECT_EQ(channel_, "workflow:1");
  EXPECT_EQ(Begin("key", 3, {.fingerprint = 1, .channel = "workflow:1"}), Claim::kWaiting);
  EXPECT_THAT(Settle("key", "an-id"), ElementsAre(3));
  channel_.clear();
  EXPECT_EQ(Begin("key", 4, {.fingerprint = 2, .channel = "workflow:2"}), Claim::kConflict);
  EXPECT_EQ(channel_, "workflow:1");
  EXPECT_EQ(Begin("key", 5, {.fingerprint = 1, .channel = "workflow:1"}), Claim::kSettled);
  EXPECT_EQ(id_, "an-id");
  // A key that is free belongs to whoever comes next.
  now_ += absl::Minutes(10);
  EXPECT_EQ(Begin("key", 6, {.fingerprint = 2, .channel = "workflow:2"}), Claim::kNew);
  window_.Release("key");
  EXPECT_EQ(Begin("key", 7, {.fingerprint = 3, .channel = "workflow:3"}), Claim::kNew);
}

// A window of ten minutes.
class Filled {
 public:
  explicit Filled(uint32_t max_keys) : window_(absl::Minutes(10), max_keys) {}

  static std::string Text(int key) { return absl::StrCat("key-", key); }

  Claim Publish(int key, absl::Duration now = absl::Seconds(1)) {
    const std::string text = Text(key);
    PublishOutcome outcome;
    std::string id, channel;
    const Claim claim = window_.Begin(text, {}, now, {}, &outcome, &id, &channel);
    if (claim == Claim::kNew) window_.Settle(text, {}, now);
    return claim;
  }
  IdempotencyWindow& window() { return window_; }

 private:
  IdempotencyWindow window_;
};

TEST(IdempotencyManyTest, AsManyKeysAsConfiguredAreAllRemembered) {
  constexpr int kKeys = 100'000;
  Filled filled(kKeys);
  for (int i = 0; i < kKeys; ++i) ASSERT_EQ(filled.Publish(i), Claim::kNew);
  int twice = 0;
  for (int i = 0; i < kKeys; ++i) twice += filled.Publish(i) == Claim::kSettled ? 0 : 1;
  EXPECT_EQ(twice, 0);
  EXPECT_EQ(filled.window().size(), kKeys);
  EXPECT_EQ(filled.window().evicted(), 0);
}

TEST(IdempotencyManyTest, BeyondTheirNumberExactlyTheOldestKeysGoAndAreCounted) {
  Filled filled(2000);
  for (int i = 0; i < 10'000; ++i) ASSERT_EQ(filled.Publish(i), Claim::kNew);
  EXPECT_EQ(filled.window().size(), 2000);
  EXPECT_EQ(filled.window().evicted(), 8000);
  for (int i = 8000; i < 10'000; ++i) ASSERT_EQ(filled.Publish(i), Claim::kSettled) << i;
  EXPECT_EQ(filled.Publish(7999), Claim::kNew);
}

TEST(IdempotencyManyTest, KeysWhoseTimeIsOverAreNotCountedAsEvicted) {
  Filled filled(2000);
  for (int i = 0; i < 2000; ++i) filled.Publish(i);
  filled.window().Expire(absl::Minutes(20));
  EXPECT_EQ(filled.window().size(), 0);
  EXPECT_EQ(filled.window().evicted(), 0);
  for (int i = 0; i < 2000; ++i) ASSERT_EQ(filled.Publish(i), Claim::kNew);
  EXPECT_EQ(filled.window().evicted(), 0);
}

TEST(IdempotencyManyTest, KeysWhoseTimeIsOverAreNotCountedAsEvictedWhenTheyMakeRoom) {
  const auto part_of = [](int key) {
    return IdempotencyWindow::PartIndex(absl::HashOf(absl::string_view(Filled::Text(key))));
  };
  Filled filled(2000);
  for (int i = 0; i < 2000; ++i) filled.Publish(i);
  // Keys of one part alone: nobody looks at the others, whose keys are too old by now.
  constexpr absl::Duration kLater = absl::Minutes(20);
  const size_t part = part_of(0);
  int key = 2000;
  for (int i = 0; i < 1000; ++key) {
    if (part_of(key) != part) continue;
    ASSERT_EQ(filled.Publish(key, kLater), Claim::kNew);
    ++i;
  }
  EXPECT_LE(filled.window().size(), 2000);
  EXPECT_EQ(filled.window().evicted(), 0);
}

TEST(IdempotencyManyTest, ManyThreadsForgetNoMoreThanIsTooMany) {
  constexpr int kThreads = 4, kKeys = 5000, kMax = 1000;
  Filled filled(kMax);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kKeys; ++i) filled.Publish(t * kKeys + i);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(filled.window().size(), kMax);
  EXPECT_EQ(filled.window().evicted(), kThreads * kKeys - kMax);
}

// flat_hash_map tells the entries of a group apart by the lowest seven bits of their hashes.
TEST(IdempotencyManyTest, KeysOfOnePartDifferInTheBitsThatTheMapInsideUses) {
  std::array<std::set<uint64_t>, IdempotencyWindow::kParts> low_bits;
  std::array<int, IdempotencyWindow::kParts> keys{};
  for (int i = 0; i < 100'000; ++i) {
    const uint64_t hash = absl::HashOf(absl::string_view(absl::StrCat("key-", i)));
    const size_t part = IdempotencyWindow::PartIndex(hash);
    ASSERT_LT(part, IdempotencyWindow::kParts);
    ++keys[part];
    low_bits[part].insert(hash & 0x7f);
  }
  for (size_t part = 0; part < IdempotencyWindow::kParts; ++part) {
    EXPECT_EQ(low_bits[part].size(), 128u) << part;
    EXPECT_GT(keys[part], 100'000 / 16 / 2) << part;
  }
}

TEST(IdempotencyManyTest, OfManyThreadsWithOneKeyOneIsNewAndAllOthersAreAnsweredOnce) {
  IdempotencyWindow window(absl::Minutes(10), 100'000);
  constexpr int kThreads = 4, kKeys = 300;
  std::atomic<int> fresh{0}, answered{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kKeys; ++i) {
        const std::string key = absl::StrCat("key-", i);
        PublishOutcome outcome;
        std::string id, channel;
        switch (window.Begin(key, {}, absl::Seconds(1), {.tag = 1}, &outcome, &id, &channel)) {
          case Claim::kNew:
            ++fresh;
            std::this_thread::yield();
            outcome.id = key;
            answered += static_cast<int>(window.Settle(key, outcome, absl::Seconds(1)).size());
            break;
          case Claim::kSettled:
            EXPECT_EQ(outcome.id, key);
            ++answered;
            break;
          case Claim::kWaiting:
            break;
          case Claim::kConflict:
            ADD_FAILURE() << "a conflict";
            break;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(fresh, kKeys);
  EXPECT_EQ(answered, (kThreads - 1) * kKeys);
}

}  // namespace
}  // namespace fanwire::control
