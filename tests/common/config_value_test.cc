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
  const auto fault = [&](absl::string_view text, const char* key) {
    return SetConfigField(text, Field(type, key), &limits);
  };
  EXPECT_EQ(fault("many", "max_channels"),
            "expected a whole number from 0 to 4294967295, found \"many\"");
  EXPECT_EQ(fault("4294967296", "max_channels"),
            "expected a whole number from 0 to 4294967295, found \"4294967296\"");
  EXPECT_EQ(fault("big", "max_event_bytes"),
            "expected a size such as 65536, 64KiB or 1MiB, found \"big\"");
  EXPECT_EQ(fault("x", "message_rate_limit"), "expected a number, found \"x\"");
  EXPECT_EQ(fault("abc", "ping_interval"),
            "expected a duration such as \"250ms\" or \"5s\", found \"abc\"");
  EXPECT_EQ(fault("-1s", "ping_interval"),
            "expected a duration that is not negative, found \"-1s\"");
  EXPECT_EQ(fault("", "max_channels"), "expected a whole number from 0 to 4294967295, found \"\"");
  v1::Config config;
  EXPECT_EQ(SetConfigField("1", Field(v1::Config::descriptor(), "limits"), &config),
            "this key cannot be set to a single value");
  v1::AuthConfig auth;
  EXPECT_EQ(SetConfigField("yes", Field(v1::AuthConfig::descriptor(), "required"), &auth),
            "expected true or false, found \"yes\"");
  v1::ChannelRule rule;
  const auto* const policy = Field(v1::ChannelRule::descriptor(), "backlog_policy");
  EXPECT_EQ(SetConfigField("last", policy, &rule),
            "expected close, drop_oldest or latest, found \"last\"; did you mean \"latest\"?");
}

TEST(ConfigValueTest, AFoundTextIsShownInOneShortLine) {
  v1::LimitsConfig limits;
  const auto* const key = Field(v1::LimitsConfig::descriptor(), "max_channels");
  EXPECT_EQ(SetConfigField("1\n2", key, &limits),
            "expected a whole number from 0 to 4294967295, found \"1\\n2\"");
  EXPECT_LT(SetConfigField(std::string(100'000, '7'), key, &limits).size(), 200u);
}

TEST(ConfigValueTest, NoKeyHoldsATextThatIsNotUtf8) {
  v1::ServiceConfig service;
  const auto* const key = Field(v1::ServiceConfig::descriptor(), "welcome_message");
  EXPECT_EQ(SetConfigField("caf\xe9", key, &service),
            "byte 0xE9 (byte 4 of the text) is not UTF-8");
  EXPECT_EQ(SetConfigField(absl::string_view("a\0", 2), key, &service),
            "byte 2 of the text is a NUL character; remove it");
  EXPECT_EQ(service.welcome_message(), "");
  EXPECT_EQ(SetConfigField("caf\xc3\xa9", key, &service), "");
}

TEST(ConfigValueTest, TheZeroOfAnEnumIsNotOneOfItsValues) {
  v1::EngineConfig engine;
  const auto* const kind = Field(v1::EngineConfig::descriptor(), "kind");
  EXPECT_EQ(SetConfigField("unspecified", kind, &engine),
            "expected memory, rocksdb or redis, found \"unspecified\"");
  EXPECT_EQ(SetConfigField("KIND_UNSPECIFIED", kind, &engine),
            "expected memory, rocksdb or redis, found \"KIND_UNSPECIFIED\"");
  EXPECT_EQ(SetConfigField("KIND_MEMORY", kind, &engine), "");
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
