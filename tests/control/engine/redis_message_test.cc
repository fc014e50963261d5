#include "control/engine/redis_message.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace fanwire::control {
namespace {

TEST(RedisMessageTest, IsParsedAsItWasWritten) {
  std::string text = "0123456789abcdef";
  text.append("\0\0\0\0\0\0\1\2", 8);
  AppendMessageHead("fedcba9876543210", "k", /*mirror=*/true, "s:channel", &text);
  text += "value";
  RedisMessage message;
  ASSERT_TRUE(ParseRedisMessage(text, &message));
  EXPECT_EQ(message.epoch.ToText(), "0123456789abcdef");
  EXPECT_EQ(message.offset, 258);
  EXPECT_EQ(message.node, "fedcba9876543210");
  EXPECT_EQ(message.mode, 'k');
  EXPECT_TRUE(message.mirror);
  EXPECT_EQ(message.name, "s:channel");
  EXPECT_EQ(message.value, "value");
  // Every part of it is either refused or lacks only a part of the value.
  for (size_t size = 0; size < text.size(); ++size) {
    const std::string beginning = text.substr(0, size);
    RedisMessage part;
    if (ParseRedisMessage(beginning, &part)) {
      EXPECT_EQ(part.name, "s:channel");
      EXPECT_LT(part.value.size(), 5);
    }
  }
}

TEST(RedisMessageTest, RefusesWhatNoControlWrites) {
  RedisMessage message;
  std::string head;
  AppendMessageHead("fedcba9876543210", "x", false, "s:channel", &head);
  const std::string offset("\0\0\0\0\0\0\0\1", 8);
  EXPECT_FALSE(ParseRedisMessage(absl::StrCat("0123456789abcdef", offset, head), &message));
  head.clear();
  AppendMessageHead("fedcba9876543210", "p", false, "s:channel", &head);
  EXPECT_FALSE(ParseRedisMessage(absl::StrCat("no epoch at all!", offset, head), &message));
  EXPECT_TRUE(ParseRedisMessage(absl::StrCat("0000000000000000", offset, head), &message));
  EXPECT_EQ(message.epoch, Epoch());
  EXPECT_FALSE(
      ParseRedisMessage(absl::StrCat("0123456789abcdef", std::string(8, '\xff'), head), &message));
}

}  // namespace
}  // namespace fanwire::control
