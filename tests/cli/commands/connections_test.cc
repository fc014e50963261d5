#include "cli/commands/connections.h"

#include <nlohmann/json.hpp>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/cli_runner.h"

namespace fanwire::cli {
namespace {

using ::testing::HasSubstr;

class ConnectionsTest : public testing::Test {
 protected:
  ConnectionsTest() {
    wsctl_.admin.connection = {.id = "c-1",
                               .service = "mahavishnu",
                               .worker = "worker-0",
                               .user = "",
                               .address = "127.0.0.1:4242",
                               .channels = {"a:1", "a:2", "a:3", "a:4"},
                               .channel_count = 4,
                               .backlog_bytes = 2048,
                               .backlog_frames = 3,
                               .delivered = 17,
                               .dropped = 1,
                               .received = 4,
                               .connected_at = absl::FromUnixSeconds(1'770'724'500),
                               .user_agent = "",
                               .dialect = "common"};
    wsctl_.admin.connections = {.connections = {wsctl_.admin.connection},
                                .total = 1,
                                .workers_total = 2,
                                .workers_answered = 2};
  }

  CliRunner wsctl_;
};

TEST_F(ConnectionsTest, ListForPeople) {
  const Outcome outcome = wsctl_.Run({"connections", "list"});
  EXPECT_EQ(outcome.out,
            "ID   SERVICE     WORKER    USER  ADDRESS         BACKLOG  DELIVERED  DROPPED  "
            "CONNECTED                 CHANNELS\n"
            "c-1  mahavishnu  worker-0  -     127.0.0.1:4242  2.0 KiB         17        1  "
            "2026-02-10T11:55:00.000Z  a:1 a:2 a:3 +1\n");
  EXPECT_EQ(outcome.err, "");
  EXPECT_THAT(wsctl_.Run({"connections", "list", "--output", "plain"}).out,
              HasSubstr("\t2048\t17\t1\t2026-02-10T11:55:00.000Z\ta:1 a:2 a:3 a:4\n"));
}

TEST_F(ConnectionsTest, ListAsJson) {
  EXPECT_EQ(nlohmann::json::parse(wsctl_.Run({"connections", "list", "--output", "json"}).out),
            nlohmann::json::parse(R"([{"id": "c-1", "service": "mahavishnu",
                "worker_id": "worker-0", "user": null, "address": "127.0.0.1:4242",
                "channels": ["a:1", "a:2", "a:3", "a:4"], "channel_count": 4,
                "backlog_bytes": 2048, "backlog_frames": 3, "delivered": 17, "dropped": 1,
                "received": 4, "connected_at": "2026-02-10T11:55:00.000Z", "user_agent": "",
                "dialect": "common"}])"));
}

TEST_F(ConnectionsTest, ListAsksForWhatTheFlagsSay) {
  wsctl_.Run({"connections", "list", "--service", "s", "--user", "ana", "--address", "10.0.0.1",
              "--channel", "a:1", "--slow", "--sort", "backlog", "--limit", "5"});
  const ConnectionQuery& query = wsctl_.admin.connection_query;
  EXPECT_EQ(query.filter.service, "s");
  EXPECT_EQ(query.filter.user, "ana");
  EXPECT_EQ(query.filter.address, "10.0.0.1");
  EXPECT_EQ(query.filter.channel, "a:1");
  EXPECT_TRUE(query.filter.slow);
  EXPECT_EQ(query.sort, ConnectionSort::kBacklog);
  EXPECT_EQ(query.limit, 5u);
}

TEST_F(ConnectionsTest, WhatIsMissingFromAListIsSaid) {
  wsctl_.admin.connections.total = 9;
  wsctl_.admin.connections.workers_answered = 1;
  EXPECT_EQ(wsctl_.Run({"connections", "list"}).err,
            "showing 1 of 9 connections; a larger --limit shows more\n"
            "incomplete: only 1 of 2 workers answered\n");
}

TEST_F(ConnectionsTest, ShowForPeopleAndAsJson) {
  const Outcome outcome = wsctl_.Run({"connections", "show", "c-1"});
  EXPECT_EQ(wsctl_.admin.connection_asked, "c-1");
  EXPECT_THAT(outcome.out, HasSubstr("user agent      -\n"));
  EXPECT_THAT(outcome.out, HasSubstr("channels        4: a:1 a:2 a:3 a:4\n"));
  EXPECT_EQ(nlohmann::json::parse(
                wsctl_.Run({"connections", "show", "c-1", "--output", "json"}).out)["id"],
            "c-1");
  wsctl_.admin.failure = absl::NotFoundError("no connection");
  EXPECT_EQ(wsctl_.Run({"connections", "show", "nobody"}).code, 69);
}

TEST_F(ConnectionsTest, DisconnectCarriesItsFilterCodeAndReason) {
  wsctl_.admin.disconnect_result = {.disconnected = 3, .workers_total = 2, .workers_answered = 1};
  const Outcome outcome = wsctl_.Run(
      {"connections", "disconnect", "--user", "ana", "--code", "4501", "--reason", "go", "--slow"});
  EXPECT_EQ(outcome.out, "disconnected  3\n");
  EXPECT_EQ(outcome.err, "incomplete: only 1 of 2 workers answered\n");
  EXPECT_EQ(wsctl_.admin.disconnect_request.filter.user, "ana");
  EXPECT_TRUE(wsctl_.admin.disconnect_request.filter.slow);
  EXPECT_EQ(wsctl_.admin.disconnect_request.code, 4501u);
  EXPECT_EQ(wsctl_.admin.disconnect_request.reason, "go");
  EXPECT_EQ(
      nlohmann::json::parse(
          wsctl_.Run({"connections", "disconnect", "c-1", "--output", "json"}).out),
      nlohmann::json::parse(R"({"disconnected": 3, "workers_total": 2, "workers_answered": 1})"));
  EXPECT_EQ(wsctl_.admin.disconnect_request.filter.id, "c-1");
}

TEST_F(ConnectionsTest, At80ColumnsIdsAndPortsStayWhole) {
  wsctl_.terminal = true;
  wsctl_.width = 80;
  ConnectionInfo& connection = wsctl_.admin.connections.connections[0];
  connection.id = "1f190019-5b62-4c6e-9d1f-2f6a7b0c1d2e";
  connection.user = "ana";
  Outcome outcome = wsctl_.Run({"connections", "--no-color"});
  EXPECT_EQ(outcome.out,
            "ID                                    SERVICE     USER  ADDRESS\n"
            "1f190019-5b62-4c6e-9d1f-2f6a7b0c1d2e  mahavishnu  ana   127.0.0.1:4242\n");
  EXPECT_EQ(outcome.err,
            "(not shown: WORKER, BACKLOG, DELIVERED, DROPPED, CONNECTED, CHANNELS; --wide shows "
            "all)\n");
  // What the list is sorted by is shown.
  outcome = wsctl_.Run({"connections", "--sort", "drops", "--no-color"});
  EXPECT_THAT(outcome.out, HasSubstr("DROPPED"));
  outcome = wsctl_.Run({"connections", "--slow", "--no-color"});
  EXPECT_THAT(outcome.out, HasSubstr("BACKLOG"));
  // A long address keeps its port.
  connection.address = "[2001:db8:85a3:8d3:1319:8a2e:370:7348]:42424";
  outcome = wsctl_.Run({"connections", "--no-color"});
  EXPECT_THAT(outcome.out, HasSubstr("]:42424"));
  wsctl_.width = 60;
  outcome = wsctl_.Run({"connections", "--no-color"});
  EXPECT_THAT(outcome.out, HasSubstr("8]:42424\n"));
  EXPECT_EQ(outcome.out.find('\n'), 36u + 2 + 7);  // the header ends with its last name
}

TEST_F(ConnectionsTest, WideShowsEveryChannel) {
  EXPECT_THAT(wsctl_.Run({"connections", "--wide"}).out, HasSubstr("  a:1 a:2 a:3 a:4\n"));
}

TEST_F(ConnectionsTest, NoConnectionsAreSaidInWords) {
  wsctl_.admin.connections.connections.clear();
  wsctl_.admin.connections.total = 0;
  EXPECT_EQ(wsctl_.Run({"connections"}).out, "no connections\n");
  EXPECT_EQ(wsctl_.Run({"connections", "--user", "ana"}).out, "no connections match\n");
  EXPECT_EQ(wsctl_.Run({"connections", "-o", "plain"}).out, "");
}

TEST_F(ConnectionsTest, ToDisconnectAnIdThatNobodyHasIsNotFound) {
  wsctl_.admin.disconnect_result = {.disconnected = 0, .workers_total = 2, .workers_answered = 2};
  Outcome outcome = wsctl_.Run({"connections", "disconnect", "c-9"});
  EXPECT_EQ(outcome.code, 69);
  EXPECT_EQ(outcome.out, "disconnected  0\n");
  EXPECT_EQ(outcome.err, "wsctl: NOT_FOUND: no connection \"c-9\"\n");
  outcome = wsctl_.Run({"connections", "disconnect", "c-9", "--user", "ana"});
  EXPECT_EQ(outcome.err,
            "wsctl: NOT_FOUND: no connection \"c-9\" that matches the other filters\n");
  // A filter that matches nobody is no mistake.
  EXPECT_EQ(wsctl_.Run({"connections", "disconnect", "--user", "ana"}).code, 0);
  // It may be in a worker that did not answer.
  wsctl_.admin.disconnect_result.workers_answered = 1;
  EXPECT_EQ(wsctl_.Run({"connections", "disconnect", "c-9"}).code, 78);
}

TEST_F(ConnectionsTest, NobodyDisconnectsEveryoneByASlip) {
  const Outcome outcome = wsctl_.Run({"connections", "disconnect", "--code", "4501"});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("wsctl: no filter: give an ID, --service"));
  EXPECT_EQ(wsctl_.admin.disconnect_request.code, 0u);  // control got no request
}

TEST_F(ConnectionsTest, ACodeThatMayNotBeSentIsControlsRefusal) {
  wsctl_.admin.failure = absl::InvalidArgumentError("code 1006 may not be sent");
  EXPECT_EQ(wsctl_.Run({"connections", "disconnect", "c-1", "--code", "1006"}).code, 67);
  EXPECT_EQ(wsctl_.Run({"connections", "disconnect", "c-1", "--code", "70000"}).code, 2);
  EXPECT_EQ(wsctl_.Run({"connections", "list"}).code, 67);
}

}  // namespace
}  // namespace fanwire::cli
