#include "cli/table_layout.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire::cli {
namespace {

using ::testing::ElementsAre;

TEST(TableLayoutTest, WhatFitsIsLeftAsItIs) {
  EXPECT_THAT(FitColumns({{10, 10, 0}, {50, 8, 1}}, 62, 2), ElementsAre(10, 50));
  EXPECT_THAT(FitColumns({}, 80, 2), ElementsAre());
}

TEST(TableLayoutTest, TheHighestRankGivesWayFirst) {
  const std::vector<ColumnSpace> columns = {{10, 10, 0}, {10, 10, 2}, {10, 10, 1}, {10, 10, 3}};
  EXPECT_THAT(FitColumns(columns, 46, 2), ElementsAre(10, 10, 10, 10));
  EXPECT_THAT(FitColumns(columns, 45, 2), ElementsAre(10, 10, 10, 0));
  EXPECT_THAT(FitColumns(columns, 33, 2), ElementsAre(10, 0, 10, 0));
  EXPECT_THAT(FitColumns(columns, 21, 2), ElementsAre(10, 0, 0, 0));
}

TEST(TableLayoutTest, AColumnIsCutToAComfortableWidthBeforeAnotherGivesWay) {
  EXPECT_THAT(FitColumns({{100, 8, 0}, {10, 10, 1}}, 44, 2), ElementsAre(32, 10));
  EXPECT_THAT(FitColumns({{100, 8, 0}, {10, 10, 1}}, 43, 2), ElementsAre(43, 0));
}

TEST(TableLayoutTest, WhatIsCutLastKeepsItsWidthWhileOthersCanGiveWay) {
  EXPECT_THAT(FitColumns({{50, 20, 0, true}, {10, 10, 1}, {10, 10, 2}}, 62, 2),
              ElementsAre(50, 10, 0));
  EXPECT_THAT(FitColumns({{50, 20, 0, true}, {10, 10, 1}, {10, 10, 0}}, 50, 2),
              ElementsAre(38, 0, 10));
}

TEST(TableLayoutTest, RoomThatIsLeftGoesToTheColumnsThatAreCut) {
  EXPECT_THAT(FitColumns({{100, 8, 0}, {40, 8, 0}, {5, 5, 0}}, 80, 2), ElementsAre(36, 35, 5));
  EXPECT_THAT(FitColumns({{100, 8, 0}, {33, 8, 0}}, 80, 2), ElementsAre(45, 33));
}

TEST(TableLayoutTest, OnANarrowTerminalTheWidestIsCutMost) {
  EXPECT_THAT(FitColumns({{100, 8, 0}, {12, 8, 0}, {5, 5, 0}}, 30, 2), ElementsAre(10, 11, 5));
  // What is never cut stays, even if it does not fit.
  EXPECT_THAT(FitColumns({{36, 36, 0}, {20, 8, 0}}, 20, 2), ElementsAre(36, 8));
}

}  // namespace
}  // namespace fanwire::cli
