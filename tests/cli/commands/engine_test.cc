#include "cli/commands/engine.h"

#include <nlohmann/json.hpp>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/cli_runner.h"

namespace fanwire::cli {
namespace {

using ::testing::HasSubstr;

class EngineTest : public testing::Test {
 protected:
  EngineTest() {
    wsctl_.admin.engine = {.kind = "disk",
                           .healthy = true,
                           .path = "/var/lib/fanwire",
                           .history_bytes = 2048,
                           .max_history_bytes = 1 << 30,
                           .disk_bytes = 3 << 20,
                           .waiting_publications = 17,
                           .lag = absl::Seconds(75)};
  }
  CliRunner wsctl_;
};

TEST_F(EngineTest, ForPeople) {
  EXPECT_EQ(wsctl_.Run({"engine", "status"}).out,
            "engine         disk\n"
            "health         healthy\n"
            "path           /var/lib/fanwire\n"
            "history bytes  2.0 KiB\n"
            "history bound  1.0 GiB\n"
            "disk bytes     3.0 MiB\n"
            "waiting        17\n"
            "lag            1m15s\n");
}

TEST_F(EngineTest, WithoutFilesAndWithoutABound) {
  wsctl_.admin.engine = {.kind = "memory", .healthy = true};
  EXPECT_EQ(wsctl_.Run({"engine", "status"}).out,
            "engine         memory\n"
            "health         healthy\n"
            "history bytes  0 B\n"
            "history bound  none\n"
            "disk bytes     0 B\n"
            "waiting        0\n"
            "lag            0s\n");
}

TEST_F(EngineTest, AnEngineThatIsNotHealthySaysWhyInRedAndIsNoFailureOfTheCommand) {
  wsctl_.admin.engine.healthy = false;
  wsctl_.admin.engine.reason = "no space left\non the disk";
  Outcome outcome = wsctl_.Run({"engine", "status"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out,
              HasSubstr("\nhealth         not healthy: no space left\\non the disk\n"));
  wsctl_.terminal = true;
  EXPECT_THAT(wsctl_.Run({"engine", "status"}).out, HasSubstr("\x1b[31mnot healthy: "));
  wsctl_.admin.engine.reason = "";
  EXPECT_THAT(wsctl_.Run({"engine", "status"}).out, HasSubstr("\x1b[31mnot healthy\x1b[0m\n"));
}

TEST_F(EngineTest, ALagBelowASecondIsInMilliseconds) {
  const std::pair<absl::Duration, const char*> lags[] = {
      {absl::Microseconds(1), "1ms"},         {absl::Milliseconds(250), "250ms"},
      {absl::Microseconds(998'001), "999ms"}, {absl::Microseconds(999'001), "1s"},
      {absl::Milliseconds(1500), "1s"},       {absl::ZeroDuration(), "0s"}};
  for (const auto& [lag, text] : lags) {
    wsctl_.admin.engine.lag = lag;
    EXPECT_THAT(wsctl_.Run({"engine", "status"}).out,
                HasSubstr(absl::StrCat("lag            ", text, "\n")));
  }
}

TEST_F(EngineTest, ExactNumbersForScripts) {
  EXPECT_EQ(wsctl_.Run({"engine", "status", "--output", "plain"}).out,
            "engine\tdisk\n"
            "health\thealthy\n"
            "path\t/var/lib/fanwire\n"
            "history bytes\t2048\n"
            "history bound\t1073741824\n"
            "disk bytes\t3145728\n"
            "waiting\t17\n"
            "lag\t1m15s\n");
}

TEST_F(EngineTest, AsJson) {
  EXPECT_EQ(wsctl_.Run({"engine", "status", "--output", "json"}).out,
            R"({"kind":"disk","healthy":true,"reason":null,"path":"/var/lib/fanwire",)"
            R"("history_bytes":2048,"max_history_bytes":1073741824,"disk_bytes":3145728,)"
            R"("waiting_publications":17,"lag_seconds":75.0})"
            "\n");
  wsctl_.admin.engine = {.kind = "memory", .reason = "closed"};
  wsctl_.admin.engine.lag = absl::Milliseconds(250);
  const auto json = nlohmann::json::parse(wsctl_.Run({"engine", "status", "--output", "json"}).out);
  EXPECT_EQ(json["healthy"], false);
  EXPECT_EQ(json["reason"], "closed");
  EXPECT_TRUE(json["path"].is_null());
  EXPECT_EQ(json["lag_seconds"], 0.25);
}

TEST_F(EngineTest, FailsAsControlDoes) {
  wsctl_.admin.failure = absl::UnimplementedError("");
  EXPECT_EQ(wsctl_.Run({"engine", "status"}).code, 76);
}

}  // namespace
}  // namespace fanwire::cli
