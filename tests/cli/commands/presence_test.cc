#include "cli/commands/presence.h"

#include <nlohmann/json.hpp>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/cli_runner.h"

namespace fanwire::cli {
namespace {

class PresenceCommandTest : public testing::Test {
 protected:
  PresenceCommandTest() {
    wsctl_.admin.presence = {
        .members = {{.connection = "c1",
                     .user = "ana",
                     .info = R"({"name":"Ana","n":12345678901234567})",
                     .worker = "worker-0"},
                    {.connection = "c2", .info = "{}", .worker = "worker-1", .away = true}},
        .total = 2,
        .users = 2};
  }
  CliRunner wsctl_;
};

TEST_F(PresenceCommandTest, ForPeople) {
  const Outcome outcome = wsctl_.Run({"presence", "excalidraw", "diagram:1"});
  EXPECT_EQ(outcome.out,
            "USER  CONNECTION  WORKER    STATE    INFO\n"
            "ana   c1          worker-0  present  {\"name\":\"Ana\",\"n\":12345678901234567}\n"
            "-     c2          worker-1  away     {}\n");
  EXPECT_EQ(outcome.err, "");
  EXPECT_EQ(wsctl_.admin.presence_query.service, "excalidraw");
  EXPECT_EQ(wsctl_.admin.presence_query.channel, "diagram:1");
  EXPECT_EQ(wsctl_.admin.presence_query.limit, 1000u);
}

TEST_F(PresenceCommandTest, AsJson) {
  const auto json = nlohmann::json::parse(
      wsctl_.Run({"presence", "excalidraw", "diagram:1", "--output", "json"}).out);
  EXPECT_EQ(json, nlohmann::json::parse(R"({"channel":"diagram:1","members":[
    {"connection_id":"c1","user_id":"ana","info":{"name":"Ana","n":12345678901234567},
     "worker_id":"worker-0","away":false},
    {"connection_id":"c2","user_id":null,"info":{},"worker_id":"worker-1","away":true}],
    "total":2,"users":2})"));
}

TEST_F(PresenceCommandTest, ALongListSaysThatItIsCut) {
  wsctl_.admin.presence.total = 7;
  EXPECT_EQ(wsctl_.Run({"presence", "excalidraw", "diagram:1", "--limit", "2"}).err,
            "showing 2 of 7 connections; --limit 0 shows all\n");
  EXPECT_EQ(wsctl_.admin.presence_query.limit, 2u);
}

TEST_F(PresenceCommandTest, AnEmptyChannel) {
  wsctl_.admin.presence = {};
  const Outcome outcome = wsctl_.Run({"presence", "excalidraw", "diagram:1"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out, "nobody is on this channel\n");
}

TEST_F(PresenceCommandTest, AnErrorIsControls) {
  wsctl_.admin.failure = absl::FailedPreconditionError("presence: not tracked");
  const Outcome outcome = wsctl_.Run({"presence", "excalidraw", "x"});
  EXPECT_EQ(outcome.code, 64 + 9);
}

}  // namespace
}  // namespace fanwire::cli
