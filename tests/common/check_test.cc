#include "common/check.h"

#include "gtest/gtest.h"

namespace fanwire {
namespace {

TEST(CheckDeathTest, SaysWhereAndWhat) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(FANWIRE_CHECK(1 + 1 == 3, "arithmetic"),
               "CHECK failed at .*check_test.cc:[0-9]+: 1 \\+ 1 == 3: arithmetic");
  EXPECT_DEATH(FANWIRE_CHECK(false), "false");
}

TEST(CheckTest, PassesWhatHolds) {
  FANWIRE_CHECK(true);
  FANWIRE_CHECK(true, "never built");
}

}  // namespace
}  // namespace fanwire
