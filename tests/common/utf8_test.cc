#include "common/utf8.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr char kBad[] = "\xef\xbf\xbd";  // U+FFFD
constexpr size_t kNone = absl::string_view::npos;

TEST(Utf8Test, TheFirstBadByteIsFound) {
  for (const char* good : {"", "abc", "caf\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
                           "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_EQ(FirstBadUtf8(good), kNone) << good;
  }
  EXPECT_EQ(FirstBadUtf8("caf\xe9"), 3u);
  EXPECT_EQ(FirstBadUtf8("\x80"), 0u);
  EXPECT_EQ(FirstBadUtf8("a\xc0\xaf"), 1u);         // a longer form of '/'
  EXPECT_EQ(FirstBadUtf8("\xe0\x9f\xbf"), 0u);      // a longer form
  EXPECT_EQ(FirstBadUtf8("ab\xed\xa0\x80"), 2u);    // a surrogate
  EXPECT_EQ(FirstBadUtf8("\xf4\x90\x80\x80"), 0u);  // beyond U+10FFFF
  EXPECT_EQ(FirstBadUtf8("\xe2\x82"), 0u);          // cut
  EXPECT_EQ(FirstBadUtf8("\xf0\x9f\x98x"), 0u);
}

TEST(Utf8Test, ATextThatNoSettingCanHoldIsSaidWhy) {
  EXPECT_EQ(TextFault("caf\xc3\xa9 \xf0\x9f\x98\x80\n"), "");
  EXPECT_EQ(TextFault("caf\xe9"), "byte 0xE9 (byte 4 of the text) is not UTF-8");
  EXPECT_EQ(TextFault("\xed\xa0\x80"), "byte 0xED (byte 1 of the text) is not UTF-8");
  EXPECT_THAT(TextFault(absl::string_view("a\0b", 3)), HasSubstr("a NUL character"));
  EXPECT_THAT(TextFault("\xef\xbf\xbe"), StartsWith("U+FFFE (byte 1 of the text)"));
  EXPECT_THAT(TextFault("\xef\xb7\x90"), StartsWith("U+FDD0"));
  EXPECT_THAT(TextFault("\xf0\x9f\xbf\xbf"), StartsWith("U+1FFFF"));
}

TEST(Utf8Test, AQuotedTextIsOneShortLineOfUtf8) {
  EXPECT_EQ(QuotedText("caf\xc3\xa9"), "\"caf\xc3\xa9\"");
  EXPECT_EQ(QuotedText("a\nb\"c"), "\"a\\nb\\\"c\"");
  EXPECT_EQ(QuotedText("caf\xe9"), "\"caf\\xe9\"");
  EXPECT_EQ(QuotedText(std::string(64, 'x')), "\"" + std::string(64, 'x') + "\"");
  EXPECT_EQ(QuotedText(std::string(1000, 'x')), "\"" + std::string(64, 'x') + "…\"");
  // Cut before the character that does not fit.
  EXPECT_EQ(QuotedText(std::string(63, 'x') + "\xc3\xa9"), "\"" + std::string(63, 'x') + "…\"");
  EXPECT_THAT(QuotedText("\xff" + std::string(1000, 'x')), EndsWith("…\""));
  EXPECT_EQ(FirstBadUtf8(QuotedText("\xff" + std::string(1000, '\xfe'))), kNone);
}

TEST(Utf8Test, WellFormedTextStaysAsItIs) {
  for (const std::string text :
       {"", "curl/8.1", "caf\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "a\tb\x7f", "\xc2\x80",
        "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_EQ(ToUtf8(text), text);
  }
  EXPECT_EQ(ToUtf8(std::string("a\0b", 3)), std::string("a\0b", 3));
}

TEST(Utf8Test, EachBadByteBecomesTheReplacementCharacter) {
  const std::string bad = kBad;
  EXPECT_EQ(ToUtf8("caf\xe9"), "caf" + bad);
  EXPECT_EQ(ToUtf8("\xff\xfe"), bad + bad);
  EXPECT_EQ(ToUtf8("\x80"
                   "a"),
            bad + "a");
  // Overlong forms, surrogates, beyond U+10FFFF.
  EXPECT_EQ(ToUtf8("\xc0\xaf"), bad + bad);
  EXPECT_EQ(ToUtf8("\xe0\x80\x80"), bad + bad + bad);
  EXPECT_EQ(ToUtf8("\xed\xa0\x80"), bad + bad + bad);
  EXPECT_EQ(ToUtf8("\xf4\x90\x80\x80"), bad + bad + bad + bad);
  EXPECT_EQ(ToUtf8("\xf5\x80"), bad + bad);
  // A character that is cut short, at the end and before another one.
  EXPECT_EQ(ToUtf8("x\xe2\x82"), "x" + bad + bad);
  EXPECT_EQ(ToUtf8("\xe2\x82x"), bad + bad + "x");
  EXPECT_EQ(ToUtf8("\xf0\x9f\x98\xc3\xa9"), bad + bad + bad + "\xc3\xa9");
}

TEST(Utf8Test, TheCutIsAtTheEndOfACharacter) {
  const std::string text = std::string(199, 'x') + "\xc3\xa9";
  EXPECT_EQ(ToUtf8(text, 200), std::string(199, 'x'));
  EXPECT_EQ(ToUtf8(text, 201), text);
  EXPECT_EQ(ToUtf8("abc", 2), "ab");
  EXPECT_EQ(ToUtf8("abc", 0), "");
  // A replacement is longer than the byte that it stands for.
  EXPECT_EQ(ToUtf8("\xff\xff", 5), kBad);
  EXPECT_EQ(ToUtf8("\xff", 2), "");
}

}  // namespace
}  // namespace fanwire
