#include "cli/commands/log_level.h"

#include "gtest/gtest.h"
#include "tests/cli/cli_runner.h"

namespace fanwire::cli {
namespace {

TEST(LogLevelTest, SaysWhatItWasAndWhatItIs) {
  CliRunner wsctl;
  EXPECT_EQ(wsctl.Run({"log-level", "debug"}).out, "info -> debug\n");
  EXPECT_EQ(wsctl.admin.log_level, "debug");
  EXPECT_EQ(wsctl.Run({"log-level", "error", "--output", "json"}).out,
            "{\"previous\":\"debug\",\"level\":\"error\"}\n");
}

TEST(LogLevelTest, ALevelThatControlDoesNotKnowIsRefusedByIt) {
  CliRunner wsctl;
  wsctl.admin.failure = absl::InvalidArgumentError("no level \"loud\"");
  EXPECT_EQ(wsctl.Run({"log-level", "loud"}).code, 67);
  EXPECT_EQ(wsctl.Run({"log-level"}).code, 2);
}

}  // namespace
}  // namespace fanwire::cli
