#include "cli/char_width.h"

#include "cli/text.h"
#include "gtest/gtest.h"

namespace fanwire::cli {
namespace {

TEST(CharWidthTest, LettersMarksAndWideLetters) {
  const std::pair<const char*, int> cases[] = {
      {"a", 1},
      {"ü", 1},
      {"日", 2},
      {"한", 2},
      {"Ａ", 2},
      {"ｱ", 1},
      {"א", 1},
      {"e\u0301", 1},
      {"\u0301", 0},
      {"ที่", 1},
      {"\u1112\u1161\u11ab", 2},
      {"—", 1},
      {"…", 1},
  };
  for (const auto& [text, columns] : cases) {
    const Glyph glyph = FirstGlyph(text);
    EXPECT_EQ(glyph.columns, columns) << text;
    EXPECT_EQ(glyph.bytes, absl::string_view(text).size()) << text;
  }
}

TEST(CharWidthTest, JoinedEmojiAreOneWideCharacter) {
  for (const char* text :
       {"🎉", "⌚", "👍🏽", "👨\u200d👩\u200d👧\u200d👦", "❤\ufe0f", "🏳\ufe0f\u200d🌈", "🇩🇪",
        "👩🏽\u200d🚀", "❤\ufe0f\u200d🔥", "☝🏽"}) {
    const Glyph glyph = FirstGlyph(text);
    EXPECT_EQ(glyph.columns, 2) << text;
    EXPECT_EQ(glyph.bytes, absl::string_view(text).size()) << text;
  }
}

TEST(CharWidthTest, WhatDoesNotJoinIsTwoCharacters) {
  EXPECT_EQ(FirstGlyph("ab").bytes, 1u);
  EXPECT_EQ(FirstGlyph("🎉🎉").bytes, 4u);
  EXPECT_EQ(FirstGlyph("🇩🇪🇫🇷").bytes, 8u);  // two flags
  EXPECT_EQ(DisplayWidth("🇩🇪🇫🇷"), 4);
  EXPECT_EQ(FirstGlyph("🇩a").bytes, 4u);
  EXPECT_EQ(DisplayWidth("a🏽"), 3);  // a skin tone needs an emoji
  EXPECT_EQ(FirstGlyph("a\xff").bytes, 1u);
  EXPECT_EQ(FirstGlyph("\xff\u0301").bytes, 1u);
  EXPECT_EQ(FirstGlyph("\xff").columns, 1);
}

}  // namespace
}  // namespace fanwire::cli
