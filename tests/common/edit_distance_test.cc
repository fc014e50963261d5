#include "common/edit_distance.h"

#include <string>

#include "gtest/gtest.h"

namespace fanwire {
namespace {

TEST(EditDistanceTest, CountsInsertedRemovedAndReplacedBytes) {
  EXPECT_EQ(EditDistance("", ""), 0u);
  EXPECT_EQ(EditDistance("list", "list"), 0u);
  EXPECT_EQ(EditDistance("", "list"), 4u);
  EXPECT_EQ(EditDistance("list", ""), 4u);
  EXPECT_EQ(EditDistance("lst", "list"), 1u);
  EXPECT_EQ(EditDistance("liist", "list"), 1u);
  EXPECT_EQ(EditDistance("lisp", "list"), 1u);
  EXPECT_EQ(EditDistance("lsit", "list"), 2u);
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3u);
}

TEST(EditDistanceTest, IsTheSameBothWays) {
  EXPECT_EQ(EditDistance("sitting", "kitten"), EditDistance("kitten", "sitting"));
  EXPECT_EQ(EditDistance("abc", "c"), EditDistance("c", "abc"));
}

TEST(NearestNameTest, IsTheCandidateWithTheSmallestDistance) {
  EXPECT_EQ(NearestName("wrokers", {"services", "workers", "works"}, 2), "workers");
  EXPECT_EQ(NearestName("list", {"lists", "list"}, 2), "list");
}

TEST(NearestNameTest, IsTheFirstOfSeveralEquallyNear) {
  EXPECT_EQ(NearestName("ax", {"ab", "ac"}, 2), "ab");
}

TEST(NearestNameTest, IsEmptyIfAllAreFurtherThanAllowed) {
  EXPECT_EQ(NearestName("abcd", {"abxy"}, 1), "");
  EXPECT_EQ(NearestName("abcd", {"abxy"}, 2), "abxy");
  EXPECT_EQ(NearestName("abcd", {"a", "abcdefg"}, 2), "");
  EXPECT_EQ(NearestName("abcd", {}, 2), "");
}

TEST(NearestNameTest, AVeryLongNameIsNotCompared) {
  const std::string given(10 << 20, 'x');
  EXPECT_EQ(NearestName(given, {std::string(1 << 20, 'x'), "short"}, 2), "");
}

}  // namespace
}  // namespace fanwire
