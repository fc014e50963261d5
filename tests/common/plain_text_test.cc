#include "common/plain_text.h"

#include <gtest/gtest.h>

#include <string>

namespace fanwire {
namespace {

// Texts of `size` plain bytes, each with `byte` at another index.
template <typename Check>
void ForEachPlace(size_t size, Check check) {
  for (size_t place = 0; place < size; ++place) {
    for (int byte = 0; byte < 256; ++byte) {
      for (const char around : {' ', 'a', '~'}) {
        std::string text(size, around);
        text[place] = static_cast<char>(byte);
        check(text, byte);
      }
    }
  }
}

TEST(PlainTextTest, PrintableAsciiIsToldByteByByte) {
  EXPECT_TRUE(IsPrintableAscii(""));
  for (size_t size = 1; size <= 26; ++size) {
    ForEachPlace(size, [&](const std::string& text, int byte) {
      EXPECT_EQ(IsPrintableAscii(text), byte >= 0x20 && byte <= 0x7e) << size << " " << byte;
    });
  }
}

TEST(PlainTextTest, WhatJsonEscapesIsToldByteByByte) {
  EXPECT_TRUE(IsPlainJsonText(""));
  for (size_t size = 1; size <= 26; ++size) {
    ForEachPlace(size, [&](const std::string& text, int byte) {
      EXPECT_EQ(IsPlainJsonText(text), byte >= 0x20 && byte != '"' && byte != '\\')
          << size << " " << byte;
    });
  }
}

TEST(PlainTextTest, WhatLiesBehindTheTextDoesNotCount) {
  const std::string text = "session:1234\n";
  EXPECT_TRUE(IsPrintableAscii(absl::string_view(text).substr(0, 12)));
  EXPECT_TRUE(IsPlainJsonText(absl::string_view(text).substr(0, 12)));
  EXPECT_FALSE(IsPrintableAscii(text));
  EXPECT_FALSE(IsPlainJsonText(text));
}

TEST(PlainTextTest, NeighboursDoNotHideAFault) {
  // A borrow or carry of one byte must not change the result of the next.
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; ++second) {
      std::string text = "abcdefghijkl";
      text[4] = static_cast<char>(first);
      text[5] = static_cast<char>(second);
      const auto printable = [](int byte) { return byte >= 0x20 && byte <= 0x7e; };
      const auto plain = [](int byte) { return byte >= 0x20 && byte != '"' && byte != '\\'; };
      EXPECT_EQ(IsPrintableAscii(text), printable(first) && printable(second));
      EXPECT_EQ(IsPlainJsonText(text), plain(first) && plain(second));
    }
  }
}

}  // namespace
}  // namespace fanwire
