#include "common/terminal_text.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire {
namespace {

TEST(TerminalTextTest, ControlCharactersAreEscaped) {
  EXPECT_EQ(EscapeControls("a\x1b[31mb"), "a\\x1b[31mb");
  EXPECT_EQ(EscapeControls("a\nb\tc\rd"), "a\\nb\\tc\\rd");
  EXPECT_EQ(EscapeControls("\x7f"), "\\x7f");
  EXPECT_EQ(EscapeControls(absl::string_view("\0", 1)), "\\x00");
  EXPECT_EQ(EscapeControls("\u009b"), "\\x9b");  // CSI as one character
  EXPECT_EQ(EscapeControls("\x9b"), "\\x9b");    // and as a stray byte
  EXPECT_EQ(EscapeControls("grün 🎉 日本 עברית"), "grün 🎉 日本 עברית");
  EXPECT_EQ(EscapeControls(""), "");
}

TEST(TerminalTextTest, CharactersThatReorderOrHideTextAreEscaped) {
  EXPECT_EQ(EscapeControls("evil\u202egpj.exe"), "evil\\u202egpj.exe");
  for (const uint32_t point :
       {0xad,   0x61c,  0x180e, 0x200b, 0x200e, 0x200f,  0x2028,  0x2029,  0x202a, 0x202b,
        0x202c, 0x202d, 0x202e, 0x2060, 0x2063, 0x2066,  0x2067,  0x2068,  0x2069, 0x206f,
        0x3164, 0xfeff, 0xffa0, 0xfff9, 0xfffb, 0x1d173, 0xe0001, 0xe0041, 0xe007f}) {
    EXPECT_TRUE(IsUnsafeOnTerminal(point)) << std::hex << point;
  }
  for (const uint32_t point : {0x20, 0x7e, 0xa0, 0xac, 0xae, 0x300, 0x5d0, 0x2010, 0x2027, 0x202f,
                               0x2030, 0x205f, 0x2070, 0xfe0f, 0x1f389}) {
    EXPECT_FALSE(IsUnsafeOnTerminal(point)) << std::hex << point;
  }
  EXPECT_EQ(EscapeControls("\U000e0041"), "\\U000e0041");
}

TEST(TerminalTextTest, JoinersStayWhereScriptsAndEmojiUseThem) {
  const char* const family = "👨\u200d👩\u200d👧";
  EXPECT_EQ(EscapeControls(family), family);
  const char* const heart = "❤\ufe0f\u200d🔥";
  EXPECT_EQ(EscapeControls(heart), heart);
  const char* const persian = "می\u200cخواهم";
  EXPECT_EQ(EscapeControls(persian), persian);
  // Between Latin letters, and at an end, they only hide.
  EXPECT_EQ(EscapeControls("ad\u200dmin"), "ad\\u200dmin");
  EXPECT_EQ(EscapeControls("admin\u200c"), "admin\\u200c");
  EXPECT_EQ(EscapeControls("\u200d👩"), "\\u200d👩");
  EXPECT_EQ(EscapeControls("👩\u200d\u200d👩"), "👩\\u200d\\u200d👩");
}

TEST(TerminalTextTest, BytesThatAreNotUtf8AreShownAsBytes) {
  EXPECT_EQ(EscapeControls("caf\xe9"), "caf\\xe9");
  EXPECT_EQ(EscapeControls("\xe6\x97"), "\\xe6\\x97");
  EXPECT_EQ(EscapeControls("\xc0\x80"), "\\xc0\\x80");  // longer than needed
  EXPECT_EQ(EscapeControls("\xe0\x80\xae"), "\\xe0\\x80\\xae");
  EXPECT_EQ(EscapeControls("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // a surrogate
  EXPECT_EQ(EscapeControls("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");
}

TEST(TerminalTextTest, JsonKeepsItsMeaning) {
  EXPECT_EQ(EscapeJsonControls("{\"a\":\"x\u202ey\"}"), "{\"a\":\"x\\u202ey\"}");
  EXPECT_EQ(EscapeJsonControls("\"\u009b\x7f\""), "\"\\u009b\\u007f\"");
  EXPECT_EQ(EscapeJsonControls("\"\U000e0041\""), "\"\\udb40\\udc41\"");
  EXPECT_EQ(EscapeJsonControls("{\n\t\"a\":\r1}"), "{  \"a\": 1}");
  EXPECT_EQ(EscapeJsonControls("\"\xff\""), "\"\ufffd\"");
  EXPECT_EQ(EscapeJsonControls("{\"a\":\"grün 🎉\"}"), "{\"a\":\"grün 🎉\"}");
}

TEST(TerminalTextTest, CharactersAreDecoded) {
  const auto first = [](absl::string_view text) { return FirstUtf8Char(text); };
  EXPECT_EQ(first("a").value, 0x61u);
  EXPECT_EQ(first("é").value, 0xe9u);
  EXPECT_EQ(first("日").value, 0x65e5u);
  EXPECT_EQ(first("🎉").value, 0x1f389u);
  EXPECT_EQ(first("🎉").bytes, 4u);
  EXPECT_FALSE(first("\xf0\x9f\x8e").valid);
  EXPECT_EQ(first("\xf0\x9f\x8e").bytes, 1u);
}

}  // namespace
}  // namespace fanwire
