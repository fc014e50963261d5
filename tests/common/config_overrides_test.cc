#include "common/config_overrides.h"

#include <string>

#include "common/utf8.h"
#include "fanwire/v1/config.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status.h"

namespace fanwire {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(ConfigOverridesTest, OverridesSetSingleFields) {
  v1::Config config;
  config.add_services()->set_name("z");
  config.add_services()->set_name("a");
  ConfigSource source;
  const auto set = [&](const char* path, const char* value) {
    return OverrideConfig(path, value, "--set", &config, &source);
  };
  EXPECT_OK(set("limits.max_event_bytes", "128KiB"));
  EXPECT_EQ(config.limits().max_event_bytes(), 128u << 10);
  EXPECT_OK(set("control.adopt_window", "250ms"));
  EXPECT_EQ(config.control().adopt_window().nanos(), 250'000'000);
  EXPECT_OK(set("services.a.port", "5"));
  EXPECT_EQ(config.services(1).port(), 5u);
  const auto invalid = [](const char* why) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(why));
  };
  EXPECT_THAT(set("limits.max_event_byte", "1"), invalid("did you mean"));
  EXPECT_THAT(set("limits", "1"), invalid("needs one of its keys"));
  EXPECT_THAT(set("services", "1"), invalid("a list cannot be set"));
  EXPECT_THAT(set("services.b.port", "1"), invalid("no element \"b\""));
  EXPECT_THAT(set("workers.x", "1"), invalid("has no keys"));
  EXPECT_THAT(set("control.adopt_window", "soon"), invalid("expected a duration"));
}

TEST(ConfigOverridesTest, LaterChecksBlameTheOverride) {
  v1::Config config;
  config.add_services()->set_name("z");
  config.add_services()->set_name("a");
  ConfigSource source("f.yaml");
  EXPECT_OK(OverrideConfig("services.a.port", "0", "--set services.a.port", &config, &source));
  EXPECT_TRUE(source.Given("services[1].port"));
  EXPECT_EQ(source.Where("services[1].port"), "--set services.a.port");
  EXPECT_EQ(source.Where("services[0].port"), "f.yaml");
}

TEST(ConfigOverridesTest, WhatIsNotUtf8IsRefusedAndTheFaultIsUtf8) {
  v1::Config config;
  config.add_services()->set_name("a");
  ConfigSource source;
  const auto set = [&](const std::string& path, const char* value) {
    const absl::Status status = OverrideConfig(path, value, "--set " + path, &config, &source);
    EXPECT_EQ(FirstBadUtf8(status.message()), absl::string_view::npos) << path;
    return status;
  };
  const auto invalid = [](const char* why) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(why));
  };
  EXPECT_THAT(set("services.a.welcome_message", "caf\xe9"),
              invalid("--set services.a.welcome_message: byte 0xE9 (byte 4 of the text)"));
  EXPECT_THAT(set("limits.max_batch", "1\xe9"), invalid("is not UTF-8"));
  EXPECT_THAT(set("limits.b\xe9", "1"), invalid("no key \"b\\xe9\""));
  EXPECT_THAT(set("services.b\xe9.port", "1"), invalid("no element \"b\\xe9\""));
  EXPECT_EQ(config.services(0).welcome_message(), "");
  EXPECT_THAT(OverrideFromEnvironment("FANWIRE_", {"FANWIRE_SERVICES__A__WELCOME_MESSAGE=\xff"},
                                      &config, &source),
              ElementsAre(HasSubstr("FANWIRE_SERVICES__A__WELCOME_MESSAGE: byte 0xFF")));
}

TEST(ConfigOverridesTest, EnvironmentSetsWhatHasTwoUnderscores) {
  v1::Config config;
  ConfigSource source;
  EXPECT_THAT(OverrideFromEnvironment("FANWIRE_",
                                      {"FANWIRE_LIMITS__MAX_CHANNELS=5", "FANWIRE_SERVER=x",
                                       "OTHER_LIMITS__X=1", "novalue"},
                                      &config, &source),
              IsEmpty());
  EXPECT_EQ(config.limits().max_channels(), 5u);
  EXPECT_THAT(OverrideFromEnvironment("FANWIRE_", {"FANWIRE_LIMITS__X=5"}, &config, &source),
              ElementsAre(HasSubstr("environment variable FANWIRE_LIMITS__X")));
}

}  // namespace
}  // namespace fanwire
