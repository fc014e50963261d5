#include "proto/channel_name.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire {
namespace {

using ::testing::HasSubstr;

TEST(ChannelNameTest, TakesWhatTheGrammarAllows) {
  for (const std::string& name :
       {std::string("global"), std::string("workflow:wf_123"), std::string("a::b"),
        std::string("a:"), std::string("with space inside"), std::string("diagramm:ü€😀"),
        std::string("x*y"), std::string("a:b*"), std::string("a:***"), std::string(256, 'x')}) {
    EXPECT_TRUE(CheckChannelName(name).ok()) << name << CheckChannelName(name);
  }
}

TEST(ChannelNameTest, SaysWhatIsWrongAndWhere) {
  EXPECT_THAT(std::string(CheckChannelName("").message()), HasSubstr("empty"));
  EXPECT_THAT(std::string(CheckChannelName(" a").message()), HasSubstr("space at the start"));
  EXPECT_THAT(std::string(CheckChannelName("a ").message()), HasSubstr("space at the end"));
  EXPECT_THAT(std::string(CheckChannelName(":a").message()), HasSubstr("first segment"));
  EXPECT_THAT(std::string(CheckChannelName("a\nb").message()),
              HasSubstr("control character at byte 1"));
  EXPECT_THAT(std::string(CheckChannelName("ab\x7f").message()),
              HasSubstr("control character at byte 2"));
  EXPECT_THAT(std::string(CheckChannelName(std::string(257, 'x')).message()),
              HasSubstr("257 bytes, at most 256"));
  EXPECT_THAT(std::string(CheckChannelName("abcdef", 5).message()),
              HasSubstr("6 bytes, at most 5"));
}

TEST(ChannelNameTest, RefusesWhatIsNotUtf8) {
  for (const char* bad : {"a\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82",
                          "\xf0\x80\x80\x80", "\x80"}) {
    EXPECT_THAT(std::string(CheckChannelName(bad).message()), HasSubstr("not UTF-8"));
  }
}

TEST(ChannelNameTest, AnErrorNeverRepeatsControlCharacters) {
  const std::string message(CheckChannelName("a\x01\"b").message());
  EXPECT_THAT(message, HasSubstr("\"a??b\""));
}

TEST(ChannelNameTest, WildcardsAreForSubscriptionsOnly) {
  for (const char* pattern : {"*", "**", "workflow:*", "a:*:c", "a:**"}) {
    EXPECT_TRUE(IsPattern(pattern)) << pattern;
    EXPECT_FALSE(CheckChannelName(pattern).ok()) << pattern;
    EXPECT_TRUE(CheckChannelOrPattern(pattern).ok()) << pattern;
  }
  for (const char* bad : {"a:**:c", "**:a"}) {
    EXPECT_THAT(std::string(CheckChannelOrPattern(bad).message()), HasSubstr("last segment"));
  }
}

TEST(ChannelNameTest, KindIsTheFirstSegment) {
  EXPECT_EQ(ChannelKind("workflow:wf:1"), "workflow");
  EXPECT_EQ(ChannelKind("global"), "global");
}

TEST(ChannelNameTest, AnIdLosesItsOwnKindAndOnlyOnce) {
  EXPECT_EQ(WithoutKind("pool", "pool:local"), "local");
  EXPECT_EQ(WithoutKind("pool", "pool:pool:a"), "pool:a");
  EXPECT_EQ(WithoutKind("pool", "pool:"), "");
  for (const char* const id : {"local", "pool", "pools:a", "poo:a", "worker:a", ""}) {
    EXPECT_EQ(WithoutKind("pool", id), id);
  }
  EXPECT_EQ(WithoutKind("", ":a"), ":a");
}

struct MatchCase {
  const char* pattern;
  const char* channel;
  bool matches;
};

TEST(ChannelPatternTest, MatchesBySegment) {
  for (const MatchCase& c : {
           MatchCase{"workflow:*", "workflow:1", true},
           MatchCase{"workflow:*", "workflow:", true},
           MatchCase{"workflow:*", "workflow", false},
           MatchCase{"workflow:*", "workflow:1:2", false},
           MatchCase{"*:1", "pool:1", true},
           MatchCase{"*", "global", true},
           MatchCase{"*", "a:b", false},
           MatchCase{"**", "global", true},
           MatchCase{"**", "a:b:c", true},
           MatchCase{"a:**", "a", false},
           MatchCase{"a:**", "a:b", true},
           MatchCase{"a:**", "a:b:c", true},
           MatchCase{"a:**", "ab:c", false},
           MatchCase{"a:*:c", "a::c", true},
           MatchCase{"global", "global", true},
           MatchCase{"global", "globals", false},
       }) {
    EXPECT_EQ(ChannelPattern::Parse(c.pattern)->Matches(c.channel), c.matches)
        << c.pattern << " on " << c.channel;
  }
}

struct CoverCase {
  const char* wide;
  const char* narrow;
  bool covers;
};

TEST(ChannelPatternTest, CoversEveryChannelOfANarrowerPattern) {
  for (const CoverCase& c : {
           CoverCase{"**", "workflow:*", true},
           CoverCase{"**", "**", true},
           CoverCase{"workflow:**", "workflow:*", true},
           CoverCase{"workflow:*", "workflow:**", false},
           CoverCase{"workflow:*", "workflow:1", true},
           CoverCase{"workflow:*", "*:1", false},
           CoverCase{"*", "**", false},
           CoverCase{"a:**", "a", false},
           CoverCase{"a:**", "a:**", true},
           CoverCase{"a:**", "a:b:**", true},
           CoverCase{"a:b:**", "a:**", false},
           CoverCase{"a:b:**", "a:*", false},
       }) {
    EXPECT_EQ(ChannelPattern::Parse(c.wide)->Covers(*ChannelPattern::Parse(c.narrow)), c.covers)
        << c.wide << " over " << c.narrow;
  }
}

TEST(ChannelPatternTest, RefusesBadGrammar) {
  EXPECT_FALSE(ChannelPattern::Parse("").ok());
  EXPECT_FALSE(ChannelPattern::Parse(":*").ok());
  EXPECT_FALSE(ChannelPattern::Parse("a\t*").ok());
}

}  // namespace
}  // namespace fanwire
