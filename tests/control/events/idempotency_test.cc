#include "control/events/idempotency.h"

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Claim = IdempotencyWindow::Claim;

class IdempotencyTest : public ::testing::Test {
 protected:
  Claim Begin(absl::string_view key, uint64_t tag = 0) {
    outcome_ = {};
    return window_.Begin(key, now_, {.tag = tag}, &outcome_, &id_);
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

TEST(IdempotencyManyTest, ALargeWindowKeepsAboutItsNumber) {
  IdempotencyWindow window(absl::Minutes(10), 2000);
  PublishOutcome outcome;
  std::string id;
  for (int i = 0; i < 10'000; ++i) {
    ASSERT_EQ(window.Begin(absl::StrCat("key-", i), absl::Seconds(1), {}, &outcome, &id),
              Claim::kNew);
    window.Settle(absl::StrCat("key-", i), {}, absl::Seconds(1));
  }
  EXPECT_LE(window.size(), 2000);
  EXPECT_GE(window.size(), 1500);
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
        std::string id;
        switch (window.Begin(key, absl::Seconds(1), {.tag = 1}, &outcome, &id)) {
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
