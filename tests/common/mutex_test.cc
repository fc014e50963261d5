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
