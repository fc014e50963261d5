#include "proto/wire/wire_pieces.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire {
namespace {

// Cuts `text` into pieces of `size` bytes, and puts an empty piece before each.
std::vector<absl::string_view> Cut(absl::string_view bytes, size_t size) {
  std::vector<absl::string_view> pieces;
  for (size_t at = 0; at < bytes.size(); at += size) {
    pieces.push_back("");
    pieces.push_back(bytes.substr(at, size));
  }
  pieces.push_back("");
  return pieces;
}

TEST(WirePiecesTest, WhereverPiecesEndTheSameIsRead) {
  const std::string bytes("\x96\x01hello\xff\xff\xff\xff\x0fskipped-end", 23);
  for (size_t size = 1; size <= bytes.size(); ++size) {
    WirePieces pieces(Cut(bytes, size));
    EXPECT_EQ(pieces.left(), bytes.size());
    uint64_t number = 0;
    ASSERT_TRUE(pieces.ReadHead(&number));
    EXPECT_EQ(number, 150u);
    EXPECT_EQ(pieces.Read(0), "");
    EXPECT_EQ(pieces.Read(5), "hello") << size;
    ASSERT_TRUE(pieces.ReadHead(&number));
    EXPECT_EQ(number, UINT32_MAX);
    pieces.Skip(0);
    pieces.Skip(8);
    EXPECT_EQ(pieces.left(), bytes.size() - 20);
    EXPECT_EQ(pieces.Read(pieces.left()), bytes.substr(20)) << size;
    EXPECT_EQ(pieces.left(), 0u);
    EXPECT_FALSE(pieces.ReadHead(&number));
  }
}

TEST(WirePiecesTest, WhatLiesInOnePieceIsNotCopied) {
  const std::string bytes = "onetwothree";
  WirePieces pieces({absl::string_view(bytes).substr(0, 6), absl::string_view(bytes).substr(6)});
  EXPECT_EQ(pieces.Read(3).data(), bytes.data());
  EXPECT_EQ(pieces.Read(3).data(), bytes.data() + 3);
  EXPECT_EQ(pieces.Read(5).data(), bytes.data() + 6);
}

TEST(WirePiecesTest, NumbersThatDoNotEndAreNone) {
  uint64_t number = 0;
  EXPECT_FALSE(WirePieces({}).ReadHead(&number));
  EXPECT_FALSE(WirePieces({"\x80", "\x80"}).ReadHead(&number));
  const std::string endless = std::string(5, '\xff') + "\x01";  // six bytes
  EXPECT_FALSE(WirePieces(Cut(endless, 3)).ReadHead(&number));
}

}  // namespace
}  // namespace fanwire
