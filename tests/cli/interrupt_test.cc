#include "cli/interrupt.h"

#include <atomic>

#include "gtest/gtest.h"
#include "tests/testing/wait_for.h"

namespace fanwire::cli {
namespace {

TEST(InterruptScopeTest, TheFirstSignalBecomesACall) {
  for (const int number : {SIGINT, SIGTERM}) {
    std::atomic<int> calls{0};
    const InterruptScope scope([&] { ++calls; });
    raise(number);
    EXPECT_TRUE(WaitFor([&] { return calls == 1; })) << number;
  }
}

TEST(InterruptScopeTest, WithoutASignalNothingIsCalled) {
  bool called = false;
  {
    const InterruptScope scope([&] { called = true; });
  }
  EXPECT_FALSE(called);
}

TEST(InterruptScopeTest, AfterItsLifeSignalsDoWhatTheyDidBefore) {
  EXPECT_EXIT(
      {
        {
          const InterruptScope scope([] {});
        }
        raise(SIGINT);
      },
      testing::KilledBySignal(SIGINT), "");
}

TEST(InterruptScopeTest, ASecondSignalEndsTheProcess) {
  EXPECT_EXIT(
      {
        const InterruptScope scope([] {});
        raise(SIGTERM);
        raise(SIGTERM);
      },
      testing::KilledBySignal(SIGTERM), "");
}

}  // namespace
}  // namespace fanwire::cli
