#include "common/json_depth.h"

#include <gtest/gtest.h>

#include <string>

namespace fanwire {
namespace {

TEST(JsonDepthTest, BracketsOfBothKindsCountAndTheDeepestStays) {
  EXPECT_EQ(JsonDepth("1"), 0);
  EXPECT_EQ(JsonDepth("{}"), 1);
  EXPECT_EQ(JsonDepth(R"({"a":[{"b":1}],"c":[]})"), 3);
  EXPECT_EQ(JsonDepth(R"([[],[[]],[]])"), 3);
}

TEST(JsonDepthTest, WithinTextsBracketsAreNone) {
  EXPECT_EQ(JsonDepth(R"({"[[[":"{{{"})"), 1);
  EXPECT_EQ(JsonDepth(R"({"a":"\"[[","b":"\\"})"), 1);
  EXPECT_EQ(JsonDepth(R"({"a":"\\","b":[]})"), 2);
}

TEST(JsonDepthTest, WhatIsNoJsonHasADepthToo) {
  EXPECT_EQ(JsonDepth(""), 0);
  EXPECT_EQ(JsonDepth("]]]["), 0);
  EXPECT_EQ(JsonDepth(R"("[[)"), 0);
  EXPECT_EQ(JsonDepth(R"("\)"), 0);
  EXPECT_EQ(JsonDepth(std::string(100000, '[')), 100000);
}

}  // namespace
}  // namespace fanwire
