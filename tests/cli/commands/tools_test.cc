#include "cli/commands/tools.h"

#include <nlohmann/json.hpp>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/cli_runner.h"

namespace fanwire::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kHealthy[] =
    R"({"status":"healthy","host":"127.0.0.1","port":8690,"connections":3,"rooms":2,)"
    R"("max_connections":1000,"message_rate_limit":100})";

const std::pair<const char*, const char*> kTools[] = {{"health-check", "websocket_health_check"},
                                                      {"get-status", "websocket_get_status"},
                                                      {"list-rooms", "websocket_list_rooms"},
                                                      {"get-metrics", "websocket_get_metrics"}};

TEST(ToolsTest, JsonIsWhatControlWroteByteForByte) {
  CliRunner wsctl;
  wsctl.admin.tool_json = R"({"status":"healthy",  "rooms":1.50})";
  for (const auto& [command, tool] : kTools) {
    for (const char* name : {command, tool}) {
      const Outcome outcome = wsctl.Run({name, "--service", "mahavishnu", "--output", "json"});
      EXPECT_EQ(outcome.out, wsctl.admin.tool_json + "\n") << name;
      EXPECT_EQ(outcome.code, 0);
      EXPECT_EQ(wsctl.admin.tool_request.service, "mahavishnu");
    }
  }
}

TEST(ToolsTest, EachCommandAsksForItsTool) {
  CliRunner wsctl;
  wsctl.admin.tool_json = kHealthy;
  const Tool tools[] = {Tool::kHealthCheck, Tool::kGetStatus, Tool::kListRooms, Tool::kGetMetrics};
  for (size_t i = 0; i < std::size(kTools); ++i) {
    for (const char* name : {kTools[i].first, kTools[i].second}) {
      wsctl.Run({name});
      EXPECT_EQ(wsctl.admin.tool_asked, tools[i]) << name;
    }
  }
}

TEST(ToolsTest, WithoutServiceACommandAsksForAllAndAToolNameForTheDefaultOne) {
  CliRunner wsctl;
  wsctl.admin.tool_json = kHealthy;
  wsctl.Run({"health-check"});
  EXPECT_EQ(wsctl.admin.tool_request.service, "");
  EXPECT_FALSE(wsctl.admin.tool_request.default_service);
  wsctl.Run({"websocket_health_check"});
  EXPECT_EQ(wsctl.admin.tool_request.service, "");
  EXPECT_TRUE(wsctl.admin.tool_request.default_service);
  wsctl.Run({"websocket_health_check", "--service", "akosha"});
  EXPECT_EQ(wsctl.admin.tool_request.service, "akosha");
  EXPECT_FALSE(wsctl.admin.tool_request.default_service);
}

TEST(ToolsTest, HealthForPeople) {
  CliRunner wsctl;
  wsctl.admin.tool_json =
      std::string(R"({"services":{"mahavishnu":)") + kHealthy + R"(,"akosha":)" + kHealthy + "}}";
  const Outcome outcome = wsctl.Run({"health-check"});
  EXPECT_EQ(
      outcome.out,
      "SERVICE     STATUS   HOST       PORT  CONNECTIONS  ROOMS  MAX CONNECTIONS  MESSAGES/S\n"
      "mahavishnu  healthy  127.0.0.1  8690            3      2             1000         100\n"
      "akosha      healthy  127.0.0.1  8690            3      2             1000         100\n");
  EXPECT_EQ(outcome.code, 0);
}

TEST(ToolsTest, AnIncompleteAnswerIsWarnedOfOnceOnStderr) {
  CliRunner wsctl;
  std::string incomplete = kHealthy;
  incomplete.pop_back();
  incomplete += R"(,"workers_total":2,"workers_answered":1,)"
                R"("warning":"incomplete: only 1 of 2 workers answered"})";
  wsctl.admin.tool_json = R"({"services":{"a":)" + incomplete + R"(,"b":)" + incomplete + "}}";
  for (const char* format : {"table", "json"}) {
    const Outcome outcome = wsctl.Run({"health-check", "--output", format});
    EXPECT_EQ(outcome.err, "incomplete: only 1 of 2 workers answered\n") << format;
    EXPECT_EQ(outcome.code, 0) << format;
  }
}

TEST(ToolsTest, AServiceThatIsNotHealthyFailsTheCheckAfterShowingIt) {
  CliRunner wsctl;
  wsctl.admin.tool_json =
      R"({"services":{"a":{"status":"stopped","host":"h","port":1,"connections":0,"rooms":0,)"
      R"("message":"WebSocket server is not running"}}})";
  const Outcome outcome = wsctl.Run({"health-check"});
  EXPECT_EQ(outcome.code, 78);
  EXPECT_THAT(outcome.out, HasSubstr("stopped"));
  EXPECT_THAT(outcome.out, HasSubstr("-"));  // max_connections is absent
  EXPECT_THAT(outcome.err, HasSubstr("a is not healthy"));
  EXPECT_EQ(wsctl.Run({"health-check", "--output", "json"}).code, 78);
}

TEST(ToolsTest, AServiceWhosePortIsNotOpenFailsTheCheckWithTheReason) {
  CliRunner wsctl;
  wsctl.admin.tool_json =
      R"({"services":{"a":{"status":"error","error":"h:1 is not open","host":"h","port":1}}})";
  const Outcome outcome = wsctl.Run({"health-check"});
  EXPECT_EQ(outcome.code, 78);
  EXPECT_THAT(outcome.err, HasSubstr("a is not healthy: h:1 is not open"));
}

TEST(ToolsTest, StatusForPeopleShowsServicesAndRooms) {
  CliRunner wsctl;
  wsctl.admin.tool_json =
      R"({"server":{"status":"running","host":"127.0.0.1","port":8690},"connections":["x","y"],)"
      R"("rooms":{"workflow:1":{"subscribers":2,"connection_ids":["x","y"]}},)"
      R"("total_connections":2,"total_rooms":1})";
  EXPECT_EQ(wsctl.Run({"get-status", "--service", "mahavishnu"}).out,
            "SERVICE     STATUS   HOST       PORT  CONNECTIONS  ROOMS\n"
            "mahavishnu  running  127.0.0.1  8690            2      1\n"
            "\n"
            "SERVICE     SUBSCRIBERS  ROOM\n"
            "mahavishnu            2  workflow:1\n");
  EXPECT_EQ(wsctl.Run({"websocket_get_status", "--output", "plain"}).out,
            "(default)\trunning\t127.0.0.1\t8690\t2\t1\n");
}

TEST(ToolsTest, NoRoomsIsSaidOnStderr) {
  CliRunner wsctl;
  wsctl.admin.tool_json = R"({"server":{"status":"running","host":"h","port":1},"rooms":{},)"
                          R"("total_connections":0,"total_rooms":0})";
  EXPECT_EQ(wsctl.Run({"get-status", "--service", "a"}).out,
            "SERVICE  STATUS   HOST  PORT  CONNECTIONS  ROOMS\n"
            "a        running  h        1            0      0\n");
  wsctl.admin.tool_json = R"({"rooms":{},"total_rooms":0})";
  const Outcome outcome = wsctl.Run({"list-rooms", "--service", "a"});
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, HasSubstr("no rooms"));
  EXPECT_EQ(outcome.code, 0);
  wsctl.admin.tool_json = R"({"rooms":[],"total_rooms":0})";
  EXPECT_EQ(wsctl.Run({"list-rooms", "--service", "a"}).code, 0);
}

TEST(ToolsTest, MetricsForPeople) {
  CliRunner wsctl;
  wsctl.admin.tool_json =
      R"({"uptime_seconds":12.5,"total_broadcasts":7,"average_message_rate":0.5,)"
      R"("peak_connections":9,"current_connections":4})";
  EXPECT_EQ(wsctl.Run({"get-metrics", "--service", "a"}).out,
            "SERVICE  UPTIME S  BROADCASTS  MESSAGES/S  CONNECTIONS  PEAK\n"
            "a            12.5           7         0.5            4     9\n");
}

TEST(ToolsTest, AnErrorToldInsideTheAnswerFails) {
  CliRunner wsctl;
  wsctl.admin.tool_json = R"({"error":"out of order","rooms":{},"total_rooms":0})";
  const Outcome outcome = wsctl.Run({"list-rooms", "--service", "a", "--output", "json"});
  EXPECT_EQ(outcome.code, 66);
  EXPECT_EQ(outcome.out, wsctl.admin.tool_json + "\n");
  EXPECT_THAT(outcome.err, HasSubstr("a: out of order"));
}

TEST(ToolsTest, AnAnswerThatIsNoObjectIsControlsFault) {
  CliRunner wsctl;
  for (const char* json : {"[]", "nonsense", ""}) {
    wsctl.admin.tool_json = json;
    EXPECT_EQ(wsctl.Run({"health-check"}).code, 77) << json;
    EXPECT_EQ(wsctl.Run({"broadcast-test-event", "e", "r"}).code, 77) << json;
  }
}

TEST(ToolsTest, WithoutControlJsonIsTheToolsErrorObject) {
  CliRunner wsctl;
  wsctl.admin.failure = absl::UnavailableError("away");
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{"health-check"}, R"({"status":"error","error":"away","host":"127.0.0.1","port":8690})"},
      {{"health-check", "--service", "akosha"},
       R"({"status":"error","error":"away","host":null,"port":null})"},
      {{"websocket_get_status"},
       R"({"error":"away","server":{"status":"error"},"connections":[],"rooms":{}})"},
      {{"list-rooms"}, R"({"error":"away","rooms":{},"total_rooms":0})"},
      {{"get-metrics"}, R"({"error":"away","uptime_seconds":0,"total_broadcasts":0})"},
      {{"broadcast-test-event", "a.b", "c:d"},
       R"({"status":"error","error":"away","event_type":"a.b","room":"c:d"})"}};
  for (auto [words, json] : cases) {
    const Outcome people = wsctl.Run(words);
    EXPECT_EQ(people.code, 78);
    EXPECT_EQ(people.out, "");
    words.insert(words.end(), {"--output", "json"});
    const Outcome outcome = wsctl.Run(words);
    EXPECT_EQ(outcome.code, 78);
    EXPECT_EQ(outcome.out, std::string(json) + "\n");
    EXPECT_EQ(outcome.err, "wsctl: UNAVAILABLE: away\n");
  }
}

TEST(ToolsTest, ATestEventCarriesItsArguments) {
  CliRunner wsctl;
  wsctl.admin.tool_json =
      R"({"status":"broadcasted","event_type":"a.b","room":"c:d","subscribers":3,)"
      R"("message":"Test event broadcast successfully"})";
  for (const char* name : {"broadcast-test-event", "websocket_broadcast_test_event"}) {
    const Outcome outcome = wsctl.Run({name, "a.b", "c:d", R"({"n": 1})", "--service", "s"});
    EXPECT_EQ(outcome.out, "event        a.b\nroom         c:d\nsubscribers  3\n");
    EXPECT_EQ(wsctl.admin.test_event.event_type, "a.b");
    EXPECT_EQ(wsctl.admin.test_event.room, "c:d");
    EXPECT_EQ(wsctl.admin.test_event.data, R"({"n": 1})");
    EXPECT_EQ(wsctl.admin.test_event.service, "s");
    EXPECT_EQ(wsctl.Run({name, "a.b", "c:d", "--output", "json"}).out,
              wsctl.admin.tool_json + "\n");
    EXPECT_EQ(wsctl.admin.test_event.data, "");
    EXPECT_EQ(wsctl.admin.test_event.service, "");  // control's default service, never all of them
  }
}

TEST(ToolsTest, ATestEventNeedsItsArguments) {
  CliRunner wsctl;
  EXPECT_EQ(wsctl.Run({"broadcast-test-event", "a.b"}).code, 2);
  EXPECT_EQ(wsctl.Run({"broadcast-test-event"}).code, 2);
}

TEST(ToolsTest, ATestEventsRoomMayBeNamedByEitherOption) {
  CliRunner wsctl;
  wsctl.admin.tool_json = R"({"status":"broadcasted","subscribers":0})";
  for (const char* name : {"broadcast-test-event", "websocket_broadcast_test_event"}) {
    for (const char* flag : {"--room", "--channel"}) {
      EXPECT_EQ(wsctl.Run({name, "a.b", flag, "c:d", R"( {"n": 1})"}).code, 0);
      EXPECT_EQ(wsctl.admin.test_event.room, "c:d");
      EXPECT_EQ(wsctl.admin.test_event.data, R"( {"n": 1})");
      EXPECT_EQ(wsctl.Run({name, flag, "e:f", "a.b"}).code, 0);
      EXPECT_EQ(wsctl.admin.test_event.event_type, "a.b");
      EXPECT_EQ(wsctl.admin.test_event.room, "e:f");
      EXPECT_EQ(wsctl.admin.test_event.data, "");
    }
  }
}

TEST(ToolsTest, ATestEventHasOneRoom) {
  CliRunner wsctl;
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{"a.b"}, "ROOM is missing"},
      {{"a.b", "--room", "r", "--channel", "r"}, "--room and --channel mean the same"},
      {{"a.b", "r", "--channel", "r"}, "given with --channel: only JSON may follow EVENT_TYPE"},
      {{"a.b", "r", "{}", "--room", "s"}, "given with --room: only JSON may follow EVENT_TYPE"},
      {{"a.b", "{}", "{}", "--room", "s"}, "given with --room: only JSON may follow EVENT_TYPE"}};
  for (const auto& [words, message] : cases) {
    std::vector<std::string> all = {"broadcast-test-event"};
    all.insert(all.end(), words.begin(), words.end());
    const Outcome outcome = wsctl.Run(all);
    EXPECT_EQ(outcome.code, 2) << message;
    EXPECT_EQ(outcome.out, "");
    EXPECT_THAT(outcome.err, HasSubstr(message));
  }
}

TEST(ToolsTest, ATestEventThatFailsSaysSo) {
  CliRunner wsctl;
  wsctl.admin.tool_json =
      R"({"status":"error","error":"WebSocket server not running","event_type":"e","room":"r"})";
  const Outcome outcome = wsctl.Run({"broadcast-test-event", "e", "r"});
  EXPECT_EQ(outcome.code, 66);
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, HasSubstr("WebSocket server not running"));
}

TEST(ToolsTest, ToolNamesStandInNoList) {
  CliRunner wsctl;
  EXPECT_THAT(wsctl.Run({"--help"}).out,
              AllOf(HasSubstr("health-check"), Not(HasSubstr("websocket_"))));
}

}  // namespace
}  // namespace fanwire::cli
