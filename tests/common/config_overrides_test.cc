#include "common/config_overrides.h"

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
  EXPECT_THAT(set("control.adopt_window", "soon"), invalid("no duration"));
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
