#include "common/uuid.h"

#include <set>

#include "gtest/gtest.h"

namespace fanwire {
namespace {

TEST(UuidTest, IsOfVersion4AndNew) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::string uuid = NewUuid();
    EXPECT_TRUE(IsUuid4(uuid)) << uuid;
    seen.insert(uuid);
  }
  EXPECT_EQ(seen.size(), 1000u);
}

TEST(UuidTest, KnowsTheForm) {
  EXPECT_TRUE(IsUuid4("1f190019-5ba2-4ac8-a3ad-698272caf5c9"));
  EXPECT_TRUE(IsUuid4("1F190019-5BA2-4AC8-B3AD-698272CAF5C9"));
  EXPECT_FALSE(IsUuid4("1f190019-5ba2-1ac8-a3ad-698272caf5c9"));  // version 1
  EXPECT_FALSE(IsUuid4("1f190019-5ba2-4ac8-03ad-698272caf5c9"));  // variant
  EXPECT_FALSE(IsUuid4("1f190019-5ba2-4ac8-a3ad-698272caf5c"));
  EXPECT_FALSE(IsUuid4("1f190019x5ba2-4ac8-a3ad-698272caf5c9"));
  EXPECT_FALSE(IsUuid4("1f190019-5ba2-4ac8-a3ad-698272caf5cg"));
  EXPECT_FALSE(IsUuid4(""));
}

TEST(UuidTest, HexHasSixteenDigits) {
  EXPECT_EQ(RandomHex64().size(), 16u);
  EXPECT_NE(RandomHex64(), RandomHex64());
}

}  // namespace
}  // namespace fanwire
