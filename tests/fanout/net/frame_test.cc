#include "fanout/net/frame.h"

#include <string>

#include "gtest/gtest.h"

namespace fanwire::fanout {

namespace {

std::string Bytes(const FramePtr& frame) { return std::string(frame->bytes()); }

TEST(FrameTest, ShortTextHasATwoByteHeader) {
  EXPECT_EQ(Bytes(Frame::Text("Hello")), "\x81\x05Hello");
}

TEST(FrameTest, LengthTakesTheShortestForm) {
  EXPECT_EQ(Bytes(Frame::Text(std::string(125, 'x'))).substr(0, 2), "\x81\x7d");
  EXPECT_EQ(Bytes(Frame::Text(std::string(126, 'x'))).substr(0, 4),
            std::string("\x81\x7e\x00\x7e", 4));
  EXPECT_EQ(Bytes(Frame::Text(std::string(65535, 'x'))).substr(0, 4), "\x81\x7e\xff\xff");
  EXPECT_EQ(Bytes(Frame::Text(std::string(65536, 'x'))).substr(0, 10),
            std::string("\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00", 10));
  EXPECT_EQ(Frame::Text(std::string(65536, 'x'))->size(), 65546u);
}

TEST(FrameTest, EmptyPayloadIsAHeaderAlone) {
  EXPECT_EQ(Bytes(Frame::Make(Opcode::kPing, "", 0)), std::string("\x89\x00", 2));
}

TEST(FrameTest, JoinKeepsOrderAndCountsMessages) {
  const FramePtr frames[] = {Frame::Text("a"), Frame::Make(Opcode::kPong, "p", 0),
                             Frame::Text("b")};
  const FramePtr joined = Frame::Join(frames);
  EXPECT_EQ(Bytes(joined), Bytes(frames[0]) + Bytes(frames[1]) + Bytes(frames[2]));
  EXPECT_EQ(joined->messages(), 2u);
}

TEST(FrameTest, RawBytesStayAsTheyAreAndCountForNothing) {
  const FramePtr frame = Frame::Raw("HTTP/1.1 200 OK\r\n\r\n");
  EXPECT_EQ(Bytes(frame), "HTTP/1.1 200 OK\r\n\r\n");
  EXPECT_EQ(frame->messages(), 0u);
}

TEST(FrameTest, LivesAsLongAsItsLastReference) {
  FramePtr first = Frame::Text("shared");
  const char* data = first->data();
  FramePtr second = first;
  const FramePtr third = std::move(second);
  first = nullptr;
  EXPECT_FALSE(first);
  EXPECT_FALSE(second);
  ASSERT_TRUE(third);
  EXPECT_EQ(third->data(), data);
  EXPECT_EQ(Bytes(third), "\x81\x06shared");
}

}  // namespace
}  // namespace fanwire::fanout
