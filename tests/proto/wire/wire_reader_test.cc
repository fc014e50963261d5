#include "proto/wire/wire_reader.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "gtest/gtest.h"

namespace fanwire {
namespace {

using google::protobuf::io::CodedOutputStream;
using google::protobuf::io::StringOutputStream;

// A message that protobuf itself serialized.
class Message {
 public:
  Message& Varint(int field, uint64_t value) {
    return Write([&](CodedOutputStream& out) {
      out.WriteTag(WireTag(field, WireType::kVarint));
      out.WriteVarint64(value);
    });
  }
  Message& Bytes(int field, const std::string& value) {
    return Write([&](CodedOutputStream& out) {
      out.WriteTag(WireTag(field, WireType::kBytes));
      out.WriteVarint32(static_cast<uint32_t>(value.size()));
      out.WriteString(value);
    });
  }
  Message& Fixed32(int field, uint32_t value) {
    return Write([&](CodedOutputStream& out) {
      out.WriteTag(WireTag(field, WireType::kFixed32));
      out.WriteLittleEndian32(value);
    });
  }
  Message& Fixed64(int field, uint64_t value) {
    return Write([&](CodedOutputStream& out) {
      out.WriteTag(WireTag(field, WireType::kFixed64));
      out.WriteLittleEndian64(value);
    });
  }
  Message& Tag(int field, WireType type) {
    return Write([&](CodedOutputStream& out) { out.WriteTag(WireTag(field, type)); });
  }

  const std::string& bytes() const { return bytes_; }

 private:
  template <typename Fn>
  Message& Write(Fn fn) {
    StringOutputStream stream(&bytes_);
    CodedOutputStream out(&stream);
    fn(out);
    return *this;
  }

  std::string bytes_;
};

// Skips all values and returns whether the message is well-formed.
bool IsMessage(const std::string& bytes) {
  WireReader reader(bytes);
  while (reader.Next()) reader.Skip();
  return reader.ok();
}

TEST(WireReaderTest, ReadsNumbersAndBytesInTheirOrder) {
  const std::string bytes = Message().Varint(1, 7).Bytes(2, "text").Bytes(3, "").bytes();
  WireReader reader(bytes);
  ASSERT_TRUE(reader.Next());
  EXPECT_EQ(reader.tag(), WireTag(1, WireType::kVarint));
  EXPECT_EQ(reader.Varint(), 7u);
  ASSERT_TRUE(reader.Next());
  EXPECT_EQ(reader.tag(), WireTag(2, WireType::kBytes));
  const absl::string_view text = reader.Bytes();
  EXPECT_EQ(text, "text");
  EXPECT_EQ(text.data(), bytes.data() + 4) << "copied";
  ASSERT_TRUE(reader.Next());
  EXPECT_EQ(reader.Bytes(), "");
  EXPECT_FALSE(reader.Next());
  EXPECT_TRUE(reader.ok());
}

TEST(WireReaderTest, NumbersOfEverySizeComeBack) {
  std::vector<uint64_t> values = {0, std::numeric_limits<uint64_t>::max()};
  for (int bit = 0; bit < 64; ++bit) {
    values.push_back(uint64_t{1} << bit);
    values.push_back((uint64_t{1} << bit) - 1);
  }
  for (const uint64_t value : values) {
    const std::string bytes = Message().Varint(536870911, value).bytes();
    WireReader reader(bytes);
    ASSERT_TRUE(reader.Next()) << value;
    EXPECT_EQ(reader.tag(), WireTag(536870911, WireType::kVarint));
    EXPECT_EQ(reader.Varint(), value);
    EXPECT_FALSE(reader.Next());
    EXPECT_TRUE(reader.ok());
  }
}

TEST(WireReaderTest, EveryTypeCanBeLeftOut) {
  const std::string bytes = Message()
                                .Varint(1, 300)
                                .Fixed64(2, 1)
                                .Bytes(3, std::string(300, 'x'))
                                .Tag(4, WireType::kGroup)
                                .Varint(1, 1)
                                .Tag(4, WireType::kGroup)
                                .Bytes(1, "within")
                                .Tag(4, WireType::kEndGroup)
                                .Tag(4, WireType::kEndGroup)
                                .Fixed32(5, 1)
                                .Varint(6, 9)
                                .bytes();
  WireReader reader(bytes);
  std::vector<uint32_t> fields;
  while (reader.Next()) {
    fields.push_back(reader.tag() >> 3);
    reader.Skip();
  }
  EXPECT_TRUE(reader.ok());
  EXPECT_THAT(fields, testing::ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST(WireReaderTest, WhatIsCutOffIsMalformedWhereverItIs) {
  const std::string bytes = Message()
                                .Varint(1, 300)
                                .Fixed64(2, 1)
                                .Bytes(3, "bytes")
                                .Tag(4, WireType::kGroup)
                                .Varint(1, 1)
                                .Tag(4, WireType::kEndGroup)
                                .Fixed32(5, 1)
                                .bytes();
  // The ends of fields: a message cut there is complete.
  const std::vector<size_t> whole = {0, 3, 12, 19, 23, 28};
  ASSERT_EQ(bytes.size(), whole.back());
  for (size_t size = 0; size <= bytes.size(); ++size) {
    const bool complete = std::find(whole.begin(), whole.end(), size) != whole.end();
    EXPECT_EQ(IsMessage(bytes.substr(0, size)), complete) << size;
  }
}

TEST(WireReaderTest, BytesThatAreNoMessageAreTold) {
  EXPECT_FALSE(IsMessage(Message().Varint(0, 1).bytes())) << "field 0";
  EXPECT_FALSE(IsMessage(std::string("\x0e\x01", 2))) << "wire type 6";
  EXPECT_FALSE(IsMessage(std::string("\x0f\x01", 2))) << "wire type 7";
  EXPECT_FALSE(IsMessage(std::string(11, '\xff'))) << "an endless number";
  EXPECT_FALSE(IsMessage("\x08" + std::string(10, '\xff') + "\x01")) << "a number of 11 bytes";
  EXPECT_FALSE(IsMessage(Message().Tag(3, WireType::kEndGroup).bytes())) << "end without group";
  EXPECT_FALSE(IsMessage(Message().Tag(3, WireType::kGroup).Tag(4, WireType::kEndGroup).bytes()))
      << "another group's end";
  EXPECT_FALSE(IsMessage(Message()
                             .Tag(3, WireType::kGroup)
                             .Tag(3, WireType::kGroup)
                             .Tag(3, WireType::kEndGroup)
                             .bytes()))
      << "a group without its end, after one with it";
  EXPECT_FALSE(IsMessage(std::string("\x0a\xff\xff\xff\xff\x0f", 6))) << "4 GiB of nothing";
  Message deep;
  for (int i = 0; i < 100000; ++i) deep.Tag(1, WireType::kGroup);
  EXPECT_FALSE(IsMessage(deep.bytes())) << "nested without end";
}

TEST(WireReaderTest, AfterAFaultNothingMoreIsRead) {
  const std::string bytes = Message().Bytes(1, "ten bytes!").bytes().substr(0, 5);
  WireReader reader(bytes);
  ASSERT_TRUE(reader.Next());
  EXPECT_EQ(reader.Bytes(), "");
  EXPECT_FALSE(reader.Next());
  EXPECT_EQ(reader.Varint(), 0u);
  EXPECT_EQ(reader.Bytes(), "");
  EXPECT_FALSE(reader.ok());
}

}  // namespace
}  // namespace fanwire
