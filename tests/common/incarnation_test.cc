#include "common/incarnation.h"

#include "gtest/gtest.h"

namespace fanwire {
namespace {

TEST(IncarnationTest, LaterProcessesHaveHigherNumbers) {
  const uint64_t first = NewIncarnation();
  uint64_t second = first;
  while (second == first) second = NewIncarnation();
  EXPECT_TRUE(IsEarlierIncarnation(first, second));
  EXPECT_FALSE(IsEarlierIncarnation(second, first));
  EXPECT_FALSE(IsEarlierIncarnation(first, first));
}

TEST(IncarnationTest, ProcessesOfDifferentStartsOfAMachineAreNotCompared) {
  const uint64_t here = NewIncarnation();
  const uint64_t elsewhere = here + (uint64_t{1} << 48) + 1;
  EXPECT_FALSE(IsEarlierIncarnation(here, elsewhere));
  EXPECT_FALSE(IsEarlierIncarnation(elsewhere, here));
}

}  // namespace
}  // namespace fanwire
