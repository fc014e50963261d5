#include "common/uuid.h"

#include <set>
#include <string>

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

TEST(UuidTest, ItsBytesMakeTheSameTextAgain) {
  for (int i = 0; i < 1000; ++i) {
    const std::string uuid = NewUuid();
    UuidBytes bytes;
    ASSERT_TRUE(UuidToBytes(uuid, &bytes)) << uuid;
    std::string again;
    AppendUuidOf(bytes, &again);
    EXPECT_EQ(again, uuid);
  }
}

TEST(UuidTest, OnlyATextThatItsBytesMakeAgainHasBytes) {
  UuidBytes bytes;
  EXPECT_TRUE(UuidToBytes("00000000-0000-0000-0000-00000000000f", &bytes));
  EXPECT_EQ(bytes[15], 15);
  EXPECT_TRUE(UuidToBytes("f0000000-0000-0000-0000-000000000000", &bytes));
  EXPECT_EQ(bytes[0], 0xf0);
  EXPECT_FALSE(UuidToBytes("1F190019-5ba2-4ac8-a3ad-698272caf5c9", &bytes));
  EXPECT_FALSE(UuidToBytes("1f190019-5ba2-4ac8-a3ad-698272caf5c", &bytes));
  EXPECT_FALSE(UuidToBytes("1f190019-5ba2-4ac8-a3ad-698272caf5cg", &bytes));
  for (const size_t dash : {8, 13, 18, 23}) {
    std::string text = "1f190019-5ba2-4ac8-a3ad-698272caf5c9";
    text[dash] = '0';
    EXPECT_FALSE(UuidToBytes(text, &bytes)) << text;
  }
  EXPECT_FALSE(UuidToBytes("", &bytes));
}

TEST(UuidTest, HexHasSixteenDigits) {
  EXPECT_EQ(RandomHex64().size(), 16u);
  EXPECT_NE(RandomHex64(), RandomHex64());
}

}  // namespace
}  // namespace fanwire
