#include "cli/commands/ledger.h"

#include <nlohmann/json.hpp>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/cli_runner.h"

namespace fanwire::cli {
namespace {

using ::testing::HasSubstr;

class LedgerTest : public testing::Test {
 protected:
  LedgerTest() {
    wsctl_.admin.ledger = {{.service = "mahavishnu",
                            .published = 10,
                            .matched = 30,
                            .written = 20,
                            .dropped = {{"conflated", 4}, {"slow", 1}},
                            .lost_connection = 2,
                            .expired = 1,
                            .queued = 1,
                            .recovered = 5,
                            .difference = 1},
                           {.service = "akosha"}};
  }
  CliRunner wsctl_;
};

TEST_F(LedgerTest, ForPeople) {
  EXPECT_EQ(
      wsctl_.Run({"ledger"}).out,
      "SERVICE     PUBLISHED  MATCHED  WRITTEN  LOST  EXPIRED  QUEUED  RECOVERED  DIFFERENCE  "
      "DROPPED\n"
      "mahavishnu         10       30       20     2        1       1          5           1  "
      "4 conflated, 1 slow\n"
      "akosha              0        0        0     0        0       0          0           0  "
      "0\n");
  EXPECT_EQ(wsctl_.admin.ledger_service, "");
}

TEST_F(LedgerTest, At80ColumnsARowIsALine) {
  wsctl_.terminal = true;
  wsctl_.width = 80;
  const Outcome outcome = wsctl_.Run({"ledger", "--no-color"});
  EXPECT_EQ(outcome.out,
            "SERVICE     MATCHED  WRITTEN  LOST  QUEUED  DIFFERENCE  DROPPED\n"
            "mahavishnu       30       20     2       1           1  4 conflated, 1 slow\n"
            "akosha            0        0     0       0           0  0\n");
  EXPECT_EQ(outcome.err, "(not shown: PUBLISHED, EXPIRED, RECOVERED; --wide shows all)\n");
}

TEST_F(LedgerTest, ADifferenceIsRed) {
  wsctl_.terminal = true;
  EXPECT_THAT(wsctl_.Run({"ledger"}).out, HasSubstr("\x1b[31m1\x1b[0m"));
}

TEST_F(LedgerTest, AsJson) {
  const auto json =
      nlohmann::json::parse(wsctl_.Run({"ledger", "--service", "s", "--output", "json"}).out);
  EXPECT_EQ(wsctl_.admin.ledger_service, "s");
  EXPECT_EQ(json[0], nlohmann::json::parse(R"({"service": "mahavishnu", "published": 10,
      "matched": 30, "written": 20, "dropped": {"conflated": 4, "slow": 1}, "lost_connection": 2,
      "expired": 1, "queued": 1, "recovered": 5, "difference": 1})"));
  EXPECT_EQ(json[1]["dropped"], nlohmann::json::object());
}

TEST_F(LedgerTest, FailsAsControlDoes) {
  wsctl_.admin.failure = absl::NotFoundError("no service");
  EXPECT_EQ(wsctl_.Run({"ledger", "--service", "s"}).code, 69);
}

}  // namespace
}  // namespace fanwire::cli
