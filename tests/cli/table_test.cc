#include "cli/table.h"

#include "cli/exit_code.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status.h"

namespace fanwire::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(FitCellTest, TextIsCutWhereItsColumnSays) {
  EXPECT_EQ(FitCell("workflow:wf_123456", Cut::kEnd, 12), "workflow:wf…");
  EXPECT_EQ(FitCell("workflow:wf_123456", Cut::kMiddle, 12), "wor…f_123456");
  EXPECT_EQ(FitCell("workflow:wf_123456", Cut::kNever, 12), "workflow:wf_123456");
  EXPECT_EQ(FitCell("short", Cut::kMiddle, 12), "short");
  EXPECT_EQ(FitCell("a\u202eb", Cut::kEnd, 20), "a\\u202eb");
}

TEST(FitCellTest, AListShowsWholeValuesAndCountsTheRest) {
  const Cell cell = Cell::List({"127.0.0.1:8765", "127.0.0.1:8688", "[::1]:8688"}, "  ", "text");
  EXPECT_EQ(FitCell(cell, Cut::kEnd, 50), "127.0.0.1:8765  127.0.0.1:8688  [::1]:8688");
  EXPECT_EQ(FitCell(cell, Cut::kEnd, 41), "127.0.0.1:8765  127.0.0.1:8688 +1");
  EXPECT_EQ(FitCell(cell, Cut::kEnd, 32), "127.0.0.1:8765 +2");
  // Even the first does not fit: its end and the count stay.
  EXPECT_EQ(FitCell(cell, Cut::kEnd, 12), "127…:8765 +2");
  EXPECT_EQ(WholeCell(cell), "127.0.0.1:8765  127.0.0.1:8688  [::1]:8688");
  EXPECT_EQ(LeastWidth(cell, Cut::kEnd), 17);
  EXPECT_EQ(FitCell(Cell::List({}, " ", ""), Cut::kEnd, 12), "");
}

TEST(FitCellTest, TheLeastWidthIsWhatAColumnKeeps) {
  EXPECT_EQ(LeastWidth("workflow:wf_123456", Cut::kMiddle), 12);
  EXPECT_EQ(LeastWidth("short", Cut::kMiddle), 5);
  EXPECT_EQ(LeastWidth("workflow:wf_123456", Cut::kNever), 18);
}

TEST(ChooseColumnsTest, NamesAreFoundWithoutCaseAndSigns) {
  const Table table({"ID", "CPU %", "LAST PUBLISHED"});
  EXPECT_THAT(*ChooseColumns(table, "last_published,id"), ElementsAre(2, 0));
  EXPECT_THAT(*ChooseColumns(table, "CPU, Last Published"), ElementsAre(1, 2));
  for (const char* wrong : {"", "id,", "cpus", "%"}) {
    const auto chosen = ChooseColumns(table, wrong);
    EXPECT_TRUE(IsUsageError(chosen.status())) << wrong;
    EXPECT_THAT(chosen.status().message(), HasSubstr("known are ID, CPU %, LAST PUBLISHED"));
  }
}

}  // namespace
}  // namespace fanwire::cli
