#include "cli/commands/services.h"

#include <nlohmann/json.hpp>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/cli_runner.h"

namespace fanwire::cli {
namespace {

class ServicesTest : public testing::Test {
 protected:
  ServicesTest() {
    wsctl_.admin.services = {
        {.name = "session-buddy",
         .listeners = {{.host = "127.0.0.1", .port = 8765, .dialect = "session_buddy"},
                       {.host = "::1",
                        .port = 8688,
                        .dialect = "common",
                        .tls = true,
                        .auth_required = true}},
         .max_connections = 1000,
         .message_rate_limit = 100,
         .sessions = 3,
         .subscriptions = 4,
         .channels = 5,
         .publications = 6,
         .responders = {{.id = "buddy:7",
                         .requests = {"get_x", "job_*"},
                         .outstanding = 2,
                         .max_concurrent = 64},
                        {.requests = {"y"}, .max_concurrent = 1, .leaving = true}}}};
    wsctl_.admin.workers.workers = {
        {.id = "worker-0",
         .state = "ready",
         .listeners = {
             {.service = "session-buddy",
              .configured_port = 8765,
              .port = 8765,
              .host = "127.0.0.1"},
             {.service = "session-buddy", .configured_port = 8688, .port = 8688, .host = "::1"}}}};
  }
  CliRunner wsctl_;
};

TEST_F(ServicesTest, ListForPeople) {
  EXPECT_EQ(wsctl_.Run({"services", "list"}).out,
            "SERVICE        SESSIONS   MAX  SUBSCRIPTIONS  CHANNELS  PUBLICATIONS  LISTENERS\n"
            "session-buddy         3  1000              4         5             6  "
            "127.0.0.1:8765 (session_buddy)  [::1]:8688 (tls, auth)\n");
}

TEST_F(ServicesTest, ListAsJson) {
  EXPECT_EQ(nlohmann::json::parse(wsctl_.Run({"services", "list", "--output", "json"}).out),
            nlohmann::json::parse(R"([{"name": "session-buddy", "listeners": [
                {"host": "127.0.0.1", "port": 8765, "dialect": "session_buddy", "tls": false,
                 "auth_required": false, "error": null},
                {"host": "::1", "port": 8688, "dialect": "common", "tls": true,
                 "auth_required": true, "error": null}],
                "max_connections": 1000, "message_rate_limit": 100.0, "sessions": 3,
                "subscriptions": 4, "channels": 5, "publications": 6, "responders": [
                {"id": "buddy:7", "requests": ["get_x", "job_*"], "outstanding": 2,
                 "max_concurrent": 64, "leaving": false},
                {"id": "", "requests": ["y"], "outstanding": 0, "max_concurrent": 1,
                 "leaving": true}]}])"));
}

TEST_F(ServicesTest, OneServiceForPeopleAndAsJson) {
  const Outcome outcome = wsctl_.Run({"services", "show", "session-buddy"});
  EXPECT_EQ(outcome.out,
            "service          session-buddy\n"
            "listeners        127.0.0.1:8765 (session_buddy)  [::1]:8688 (tls, auth)\n"
            "sessions         3\n"
            "max connections  1000\n"
            "messages/s       100\n"
            "subscriptions    4\n"
            "channels         5\n"
            "publications     6\n"
            "responders       buddy:7 (2 of 64): get_x, job_*  - (0 of 1, leaving): y\n");
  const Outcome json = wsctl_.Run({"services", "show", "session-buddy", "--output", "json"});
  EXPECT_EQ(nlohmann::json::array({nlohmann::json::parse(json.out)}),
            nlohmann::json::parse(wsctl_.Run({"services", "list", "--output", "json"}).out));
  const Outcome unknown = wsctl_.Run({"services", "show", "sesion-buddy"});
  EXPECT_EQ(unknown.code, 69);
  EXPECT_EQ(unknown.out, "");
  EXPECT_EQ(unknown.err,
            "wsctl: NOT_FOUND: service \"sesion-buddy\" is not configured; did you mean "
            "\"session-buddy\"?\n");
}

TEST_F(ServicesTest, AGroupWithoutACommandIsItsList) {
  EXPECT_EQ(wsctl_.Run({"services"}).out, wsctl_.Run({"services", "list"}).out);
  EXPECT_EQ(wsctl_.Run({"services", "--output", "json"}).out,
            wsctl_.Run({"services", "list", "-o", "json"}).out);
}

TEST_F(ServicesTest, At80ColumnsPortsStayWhole) {
  wsctl_.terminal = true;
  wsctl_.width = 80;
  EXPECT_EQ(wsctl_.Run({"services", "--no-color"}).out,
            "SERVICE        SESSIONS  LISTENERS\n"
            "session-buddy         3  127.0.0.1:8765 (session_buddy)  [::1]:8688 (tls, auth)\n");
  wsctl_.width = 60;
  EXPECT_EQ(wsctl_.Run({"services", "--no-color"}).out,
            "SERVICE        SESSIONS  LISTENERS\n"
            "session-buddy         3  127.0.0.1:8765 (session_buddy) +1\n");
  // --wide shows all.
  EXPECT_EQ(wsctl_.Run({"services", "--no-color", "--wide"}).out,
            "SERVICE        SESSIONS   MAX  SUBSCRIPTIONS  CHANNELS  PUBLICATIONS  LISTENERS\n"
            "session-buddy         3  1000              4         5             6  "
            "127.0.0.1:8765 (session_buddy)  [::1]:8688 (tls, auth)\n");
}

TEST_F(ServicesTest, ColumnsAreChosenByName) {
  for (const bool terminal : {false, true}) {
    wsctl_.terminal = terminal;
    wsctl_.width = terminal ? 80 : 0;
    EXPECT_EQ(wsctl_.Run({"services", "--columns", "publications,Service", "--no-color"}).out,
              "PUBLICATIONS  SERVICE\n"
              "           6  session-buddy\n");
  }
  EXPECT_EQ(wsctl_.Run({"services", "--columns", "max,channels", "-o", "plain"}).out, "1000\t5\n");
  const Outcome unknown = wsctl_.Run({"services", "--columns", "SERVICE,PORTS"});
  EXPECT_EQ(unknown.code, 2);
  EXPECT_EQ(unknown.out, "");
  EXPECT_EQ(unknown.err,
            "wsctl: --columns: no column \"PORTS\"; known are SERVICE, SESSIONS, MAX, "
            "SUBSCRIPTIONS, CHANNELS, PUBLICATIONS, LISTENERS\n");
  const Outcome json = wsctl_.Run({"services", "--columns", "SERVICE", "-o", "json"});
  EXPECT_EQ(json.code, 2);
  EXPECT_EQ(json.out, "");
}

TEST_F(ServicesTest, NoServicesAreSaidInWords) {
  wsctl_.admin.services.clear();
  EXPECT_EQ(wsctl_.Run({"services"}).out, "no services\n");
}

TEST_F(ServicesTest, APortThatNoWorkerHasOpenIsSaid) {
  WorkerInfo& worker = wsctl_.admin.workers.workers[0];
  worker.listeners[1].port = 0;
  worker.listeners[1].error = "taken";
  const auto result = wsctl_.Run({"services", "list"});
  EXPECT_THAT(result.out, testing::HasSubstr("127.0.0.1:8765 (session_buddy)  "
                                             "[::1]:8688 (not open, tls, auth)"));
  EXPECT_THAT(result.err,
              testing::HasSubstr("session-buddy: port 8688 is not open: worker-0: taken"));
  const auto json = nlohmann::json::parse(wsctl_.Run({"services", "list", "--output", "json"}).out);
  EXPECT_EQ(json[0]["listeners"][0]["error"], nullptr);
  EXPECT_EQ(json[0]["listeners"][1]["error"], "worker-0: taken");

  WorkerInfo other = worker;
  other.listeners[1].error.clear();
  wsctl_.admin.workers.workers.push_back(other);
  EXPECT_EQ(wsctl_.Run({"services", "list"}).err, "");
  wsctl_.admin.workers.workers = {};
  EXPECT_THAT(wsctl_.Run({"services", "list"}).err,
              testing::HasSubstr("session-buddy: port 8765 is not open: no worker has opened it"));
}

}  // namespace
}  // namespace fanwire::cli
