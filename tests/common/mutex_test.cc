#include "common/mutex.h"

#include <thread>

#include "gtest/gtest.h"

namespace fanwire {
namespace {

TEST(MutexTest, GuardsAcrossThreads) {
  Mutex mu;
  int count = 0;
  const auto add = [&] {
    for (int i = 0; i < 10'000; ++i) {
      MutexLock lock(&mu);
      ++count;
    }
  };
  std::thread other(add);
  add();
  other.join();
  EXPECT_EQ(count, 20'000);
}

TEST(MutexTest, TryLockFailsWhileHeld) {
  Mutex mu;
  mu.Lock();
  bool taken = true;
  std::thread([&] {
    if (mu.TryLock()) {
      mu.Unlock();
    } else {
      taken = false;
    }
  }).join();
  EXPECT_FALSE(taken);
  mu.Unlock();
}

TEST(MutexTest, WhoHoldsItMayAssertThat) {
  Mutex mu;
  {
    MutexLock lock(&mu);
    mu.AssertHeld();
  }
  if (mu.TryLock()) {
    mu.AssertHeld();
    mu.Unlock();
  }
}

#ifndef NDEBUG
constexpr char kNotHeld[] = "the calling thread does not hold this mutex";

TEST(MutexDeathTest, WhoDoesNotHoldItDiesOfTheAssertion) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  Mutex mu;
  EXPECT_DEATH(mu.AssertHeld(), kNotHeld);
  mu.Lock();
  mu.Unlock();
  EXPECT_DEATH(mu.AssertHeld(), kNotHeld);
}

TEST(MutexDeathTest, AnotherThreadsLockIsNotOnesOwn) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  Mutex mu;
  MutexLock lock(&mu);
  EXPECT_DEATH(std::thread([&] { mu.AssertHeld(); }).join(), kNotHeld);
}

constexpr char kOutOfOrder[] = "holds a mutex of the same or a later rank";

TEST(MutexDeathTest, AnEarlierRankIsNotTakenUnderALaterOne) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  Mutex registry(LockRank::kRegistry);
  Mutex shard(LockRank::kShard);
  MutexLock lock(&shard);
  EXPECT_DEATH(MutexLock taken(&registry), kOutOfOrder);
}

TEST(MutexDeathTest, TwoLeavesAreNotHeldAtOnce) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  Mutex one;
  Mutex other;
  MutexLock lock(&one);
  EXPECT_DEATH(MutexLock taken(&other), kOutOfOrder);
}
#endif

TEST(MutexTest, LaterRanksAreTakenUnderEarlierOnes) {
  Mutex registry(LockRank::kRegistry);
  Mutex shard(LockRank::kShard);
  Mutex other_shard(LockRank::kShard);
  Mutex leaf;
  const auto take_all = [&] {
    MutexLock first(&registry);
    MutexLock second(&shard);
    MutexLock third(&other_shard);
    MutexLock fourth(&leaf);
  };
  take_all();
  take_all();
}

TEST(CondVarTest, AfterAWaitTheMutexIsHeldByWhoWaited) {
  Mutex mu;
  CondVar changed;
  bool ready = false;
  std::thread other([&] {
    MutexLock lock(&mu);
    mu.AssertHeld();
    ready = true;
    changed.SignalAll();
  });
  {
    MutexLock lock(&mu);
    while (!ready) {
      changed.Wait(&mu);
      mu.AssertHeld();
    }
    changed.WaitWithTimeout(&mu, absl::Milliseconds(1));
    mu.AssertHeld();
  }
  other.join();
}

TEST(CondVarTest, WakesAndTimesOut) {
  Mutex mu;
  CondVar changed;
  bool ready = false;
  std::thread other([&] {
    MutexLock lock(&mu);
    ready = true;
    changed.SignalAll();
  });
  {
    MutexLock lock(&mu);
    while (!ready) changed.Wait(&mu);
    EXPECT_FALSE(changed.WaitWithTimeout(&mu, absl::Milliseconds(1)));
  }
  other.join();
}

}  // namespace
}  // namespace fanwire
