#include "common/config_value.h"

#include <google/protobuf/descriptor.h>

#include <string>

#include "fanwire/v1/config.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire {
namespace {

using ::testing::ElementsAre;

const google::protobuf::FieldDescriptor* Field(const google::protobuf::Descriptor* type,
                                               const char* name) {
  return type->FindFieldByName(name);
}

TEST(ConfigValueTest, TextsSetFieldsOfEveryType) {
  v1::LimitsConfig limits;
  const auto* const type = v1::LimitsConfig::descriptor();
  EXPECT_EQ(SetConfigField("7", Field(type, "max_channels"), &limits), "");
  EXPECT_EQ(SetConfigField("2MiB", Field(type, "max_message_bytes"), &limits), "");
  EXPECT_EQ(SetConfigField("1.5", Field(type, "message_rate_limit"), &limits), "");
  EXPECT_EQ(SetConfigField("1m30s", Field(type, "ping_interval"), &limits), "");
  EXPECT_EQ(limits.max_channels(), 7u);
  EXPECT_EQ(limits.max_message_bytes(), 2u << 20);
  EXPECT_EQ(limits.message_rate_limit(), 1.5);
  EXPECT_EQ(limits.ping_interval().seconds(), 90);
  v1::ChannelRule rule;
  EXPECT_EQ(SetConfigField("latest", Field(v1::ChannelRule::descriptor(), "backlog_policy"), &rule),
            "");
  EXPECT_EQ(rule.backlog_policy(), v1::BACKLOG_POLICY_LATEST);
}

TEST(ConfigValueTest, AListGetsOneMoreElement) {
  v1::PermissionRule rule;
  const auto* const any_of = Field(v1::PermissionRule::descriptor(), "any_of");
  EXPECT_EQ(SetConfigField("a", any_of, &rule), "");
  EXPECT_EQ(SetConfigField("b", any_of, &rule), "");
  EXPECT_THAT(rule.any_of(), ElementsAre("a", "b"));
}

TEST(ConfigValueTest, AFaultSaysWhatWasExpected) {
  v1::LimitsConfig limits;
  const auto* const type = v1::LimitsConfig::descriptor();
  EXPECT_EQ(SetConfigField("many", Field(type, "max_channels"), &limits),
            "\"many\" is no whole number from 0 to 4294967295");
  EXPECT_EQ(SetConfigField("soon", Field(type, "ping_interval"), &limits),
            "\"soon\" is no duration such as 250ms, 5s or 1h30m");
  EXPECT_EQ(SetConfigField("-1s", Field(type, "ping_interval"), &limits),
            "\"-1s\": a duration cannot be negative");
  EXPECT_EQ(SetConfigField("1", Field(v1::Config::descriptor(), "limits"), &limits),
            "this key cannot be set");
}

TEST(ConfigValueTest, ANameNearAKnownOneIsSuggested) {
  EXPECT_EQ(Suggestion("max_batches", {"max_batch", "max_channels"}),
            "; did you mean \"max_batch\"?");
  EXPECT_EQ(Suggestion("x", {"memory", "redis"}), "; known: memory, redis");
}

TEST(ConfigValueTest, EnumsAreShownWithoutTheirPrefix) {
  EXPECT_EQ(
      ConfigEnumName(v1::BacklogPolicy_descriptor()->FindValueByName("BACKLOG_POLICY_DROP_OLDEST")),
      "drop_oldest");
}

}  // namespace
}  // namespace fanwire
