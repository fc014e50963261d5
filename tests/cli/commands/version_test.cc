#include "cli/commands/version.h"

#include <nlohmann/json.hpp>

#include "common/version.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/cli_runner.h"

namespace fanwire::cli {
namespace {

using ::testing::HasSubstr;

class VersionTest : public testing::Test {
 protected:
  VersionTest() {
    wsctl_.admin.version = {.version = "9.8.7",
                            .build = "g++ 1, Debug",
                            .started_at = absl::FromUnixSeconds(1'770'724'500),
                            .pid = 42,
                            .engine = "memory"};
  }
  const std::string own_ = std::string(kVersion.data(), kVersion.size());
  CliRunner wsctl_;
};

TEST_F(VersionTest, BothVersionsForPeople) {
  EXPECT_EQ(wsctl_.Run({"version"}).out, "client   " + own_ + " (" + BuildInfo() +
                                             ")\n"
                                             "server   9.8.7 (g++ 1, Debug)\n"
                                             "engine   memory\n"
                                             "pid      42\n"
                                             "started  2026-02-10T11:55:00.000Z\n");
}

TEST_F(VersionTest, BothVersionsAsJson) {
  const auto json = nlohmann::json::parse(wsctl_.Run({"version", "--output", "json"}).out);
  EXPECT_EQ(json["client"]["version"], own_);
  EXPECT_EQ(json["server"], nlohmann::json::parse(
                                R"({"version": "9.8.7", "build": "g++ 1, Debug", "engine": "memory",
                                    "pid": 42, "started_at": "2026-02-10T11:55:00.000Z"})"));
}

TEST_F(VersionTest, WithoutControlItsOwnIsShownAllTheSame) {
  wsctl_.admin.failure = absl::UnavailableError("away");
  const Outcome outcome = wsctl_.Run({"version"});
  EXPECT_EQ(outcome.code, 78);
  EXPECT_THAT(outcome.out, HasSubstr(own_));
  EXPECT_TRUE(
      nlohmann::json::parse(wsctl_.Run({"version", "--output", "json"}).out)["server"].is_null());
}

TEST_F(VersionTest, ClientAloneAsksNobody) {
  wsctl_.admin.failure = absl::UnavailableError("away");
  EXPECT_EQ(wsctl_.Run({"version", "--client"}).code, 0);
  EXPECT_FALSE(nlohmann::json::parse(wsctl_.Run({"version", "--client", "--output", "json"}).out)
                   .contains("server"));
  EXPECT_EQ(wsctl_.server.address, "");
}

}  // namespace
}  // namespace fanwire::cli
