// The command line of control.
#include "control/flags.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;

struct Parsed {
  ControlFlags flags;
  int exit = -1;
};

Parsed ParseArguments(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "fanwire-control");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  Parsed parsed;
  parsed.flags = ParseFlags(static_cast<int>(argv.size()), argv.data(), &parsed.exit);
  return parsed;
}

TEST(ControlFlagsTest, WithAConfigurationAloneItStarts) {
  const Parsed parsed = ParseArguments({"--config", "some.yaml"});
  EXPECT_EQ(parsed.exit, -1);
  EXPECT_EQ(parsed.flags.server.config_file, "some.yaml");
  EXPECT_THAT(parsed.flags.server.worker_program, EndsWith("/fanwire-fanout"));
  EXPECT_FALSE(parsed.flags.check_config);
  EXPECT_FALSE(parsed.flags.json);
  EXPECT_FALSE(parsed.flags.print_catalog);
}

TEST(ControlFlagsTest, EveryFlagIsTaken) {
  const Parsed parsed = ParseArguments({"--config", "some.yaml", "--set", "a.b=1", "--set", "a.c=2",
                                        "--check-config", "--json", "--config-folder",
                                        "/etc/fanwire", "--worker-program", "/opt/fanout"});
  EXPECT_EQ(parsed.exit, -1);
  EXPECT_THAT(parsed.flags.server.overrides.settings, ElementsAre("a.b=1", "a.c=2"));
  EXPECT_TRUE(parsed.flags.check_config);
  EXPECT_TRUE(parsed.flags.json);
  EXPECT_EQ(parsed.flags.server.overrides.folder, "/etc/fanwire");
  EXPECT_EQ(parsed.flags.server.worker_program, "/opt/fanout");
}

TEST(ControlFlagsTest, WrongArgumentsEndWithTwo) {
  EXPECT_EQ(ParseArguments({}).exit, 2);
  EXPECT_EQ(ParseArguments({"--config", "a.yaml", "--json"}).exit, 2);
  EXPECT_EQ(ParseArguments({"--config", "a.yaml", "--check-config", "--print-catalog"}).exit, 2);
  EXPECT_EQ(ParseArguments({"--config", "a.yaml", "--no-such-flag"}).exit, 2);
}

}  // namespace

}  // namespace fanwire::control
