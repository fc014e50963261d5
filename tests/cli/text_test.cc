#include "cli/text.h"

#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status.h"

namespace fanwire::cli {
namespace {

using ::testing::HasSubstr;

TEST(TextTest, WidthCountsColumnsNotBytes) {
  EXPECT_EQ(DisplayWidth("abc"), 3);
  EXPECT_EQ(DisplayWidth("grün"), 4);
  EXPECT_EQ(DisplayWidth("日本"), 4);
  EXPECT_EQ(DisplayWidth("🎉"), 2);
  EXPECT_EQ(DisplayWidth("e\u0301"), 1);  // a combining accent
  EXPECT_EQ(DisplayWidth("a\xff"), 2);    // broken UTF-8: one column for each byte
  EXPECT_EQ(DisplayWidth("\xe6\x97"), 2);
}

TEST(TextTest, CutShowsThatItCut) {
  EXPECT_EQ(CutToWidth("workflow", 8), "workflow");
  EXPECT_EQ(CutToWidth("workflow", 5), "work…");
  EXPECT_EQ(CutToWidth("日本語", 4), "日…");  // never half of a wide letter
  EXPECT_EQ(CutToWidth("workflow", 0), "");
  EXPECT_EQ(CutToWidth("workflow", -3), "");
}

TEST(TextTest, ACutMiddleKeepsTheEndThatTellsNamesApart) {
  EXPECT_EQ(CutMiddle("workflow", 8), "workflow");
  EXPECT_EQ(CutMiddle("127.0.0.1:42424", 12), "127….1:42424");
  EXPECT_EQ(CutMiddle("[2001:db8::1:2:3]:42424", 16), "[2001…2:3]:42424");
  EXPECT_EQ(CutMiddle("日本語日本語", 9), "日…日本語");
  EXPECT_EQ(CutMiddle("日本語日本語", 8), "日…本語");  // never half of a wide letter
  EXPECT_EQ(CutMiddle("workflow", 1), "…");
  EXPECT_EQ(CutMiddle("workflow", 0), "");
}

TEST(TextTest, ACutLeavesNoPartOfAJoinedCharacter) {
  const std::string family = "👨\u200d👩\u200d👧";
  EXPECT_EQ(CutToWidth(family + family + family, 5), family + family + "…");
  EXPECT_EQ(CutMiddle("e\u0301e\u0301e\u0301e\u0301", 3), "…e\u0301e\u0301");
}

TEST(TextTest, LinesStayLines) {
  EXPECT_EQ(EscapeLines("a\x1b\nb\u202e\n"), "a\\x1b\nb\\u202e\n");
  EXPECT_EQ(EscapeLines(""), "");
}

TEST(TextTest, BytesInTheLargestUnitBelowThem) {
  EXPECT_EQ(HumanBytes(0), "0 B");
  EXPECT_EQ(HumanBytes(1023), "1023 B");
  EXPECT_EQ(HumanBytes(1536), "1.5 KiB");
  EXPECT_EQ(HumanBytes(uint64_t{20} << 20), "20 MiB");
  EXPECT_EQ(HumanBytes(uint64_t{3} << 30), "3.0 GiB");
  EXPECT_EQ(HumanBytes(uint64_t{5000} << 40), "5000 TiB");
}

TEST(TextTest, DurationsInTwoUnitsAtMost) {
  EXPECT_EQ(HumanDuration(absl::Seconds(12)), "12s");
  EXPECT_EQ(HumanDuration(absl::Seconds(65)), "1m5s");
  EXPECT_EQ(HumanDuration(absl::Seconds(12 * 60 + 30)), "12m");
  EXPECT_EQ(HumanDuration(absl::Minutes(200)), "3h20m");
  EXPECT_EQ(HumanDuration(absl::Hours(24)), "1d");
  EXPECT_EQ(HumanDuration(absl::Hours(27)), "1d3h");
  EXPECT_EQ(HumanDuration(absl::Hours(24 * 12 + 5)), "12d");
  EXPECT_EQ(HumanDuration(-absl::Seconds(3)), "0s");
}

TEST(TextTest, RelativeTimesForgiveClocksThatDifferALittle) {
  const absl::Time now = absl::FromUnixSeconds(1'000'000);
  EXPECT_EQ(RelativeTime(now - absl::Minutes(3), now), "3m ago");
  EXPECT_EQ(RelativeTime(now + absl::Seconds(2), now), "0s ago");
  EXPECT_EQ(RelativeTime(now + absl::Hours(2), now), "in 2h");
}

TEST(TextTest, JoinSomeCountsTheRest) {
  EXPECT_EQ(JoinSome({}, 3), "");
  EXPECT_EQ(JoinSome({"a", "b"}, 2), "a b");
  EXPECT_EQ(JoinSome({"a", "b", "c", "d"}, 2), "a b +2");
}

TEST(TextTest, DurationsAsPeopleWriteThem) {
  EXPECT_EQ(*ParseDuration("250ms"), absl::Milliseconds(250));
  EXPECT_EQ(*ParseDuration("1h30m"), absl::Minutes(90));
  EXPECT_EQ(*ParseDuration("5"), absl::Seconds(5));
  EXPECT_EQ(*ParseDuration("0.5"), absl::Milliseconds(500));
}

TEST(TextTest, WhatIsNoDurationIsRefusedByName) {
  for (const char* text : {"", "soon", "5 parsecs", "1h1", "inf", "nan", "1e300"}) {
    EXPECT_THAT(ParseDuration(text),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is not a duration")))
        << text;
  }
  for (const char* text : {"-5s", "-1", "-inf"}) {
    EXPECT_THAT(ParseDuration(text),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is negative")))
        << text;
  }
}

}  // namespace
}  // namespace fanwire::cli
