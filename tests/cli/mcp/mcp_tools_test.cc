// What the tools ask control and what they make of its answers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/mcp/mcp_tool.h"
#include "tests/cli/mcp/mcp_fixture.h"

namespace fanwire::cli {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;
using Json = nlohmann::ordered_json;

Publication PublicationAt(int64_t offset, const std::string& envelope = "{}") {
  return {.service = "s",
          .channel = "c",
          .event = "e",
          .position = {.epoch = "ep", .offset = offset},
          .envelope = envelope};
}

class McpToolsTest : public McpFixture {
 protected:
  void SetUp() override { Initialize(); }

  Json ListedTool(const std::string& name) {
    const Json list = Request("tools/list");
    for (const Json& tool : list["result"]["tools"]) {
      if (tool["name"] == name) return tool;
    }
    ADD_FAILURE() << "no tool " << name;
    return Json();
  }
};

class McpWriteToolsTest : public McpToolsTest {
 protected:
  McpWriteToolsTest() { settings_.allow_write = true; }
};

TEST_F(McpToolsTest, TheToolsAreListedInThisOrder) {
  std::vector<std::string> names;
  for (const McpTool& tool : MakeTools(/*allow_write=*/false)) names.push_back(tool.name);
  EXPECT_THAT(names, ElementsAre("websocket_health_check", "websocket_get_status",
                                 "websocket_list_rooms", "websocket_broadcast_test_event",
                                 "websocket_get_metrics", "list_services", "list_channels",
                                 "list_connections", "list_presence", "list_workers", "get_ledger",
                                 "engine_status", "get_catalog", "get_history", "tail_events"));
  names.clear();
  for (const McpTool& tool : MakeTools(/*allow_write=*/true)) names.push_back(tool.name);
  names.erase(names.begin(), names.begin() + 15);
  EXPECT_THAT(names, ElementsAre("publish_event", "drain_worker", "disconnect_clients"));
}

TEST_F(McpToolsTest, TheFiveAreListedAsTheOriginalsWere) {
  const std::pair<const char*, const char*> descriptions[] = {
      {"websocket_health_check", "Check WebSocket server health and status."},
      {"websocket_get_status", "Get detailed WebSocket server status."},
      {"websocket_list_rooms", "List all WebSocket rooms and their subscriber counts."},
      {"websocket_broadcast_test_event",
       "Broadcast a test event via WebSocket (development only)."},
      {"websocket_get_metrics", "Get WebSocket server metrics."}};
  for (const auto& [name, description] : descriptions) {
    Json tool = ListedTool(name);
    EXPECT_EQ(tool["description"], description);
    EXPECT_EQ(tool["outputSchema"].dump(), R"({"additionalProperties":true,"type":"object"})");
    EXPECT_EQ(tool["_meta"].dump(), R"({"fastmcp":{"tags":[]}})");
    Json& properties = tool["inputSchema"]["properties"];
    EXPECT_EQ(properties["service"]["default"], nullptr);
    properties.erase("service");
    EXPECT_EQ(tool["inputSchema"].dump(),
              absl::string_view(name) == "websocket_broadcast_test_event"
                  ? R"({"additionalProperties":false,"properties":{"event_type":{"type":"string"},)"
                    R"("room":{"type":"string"},"data":{"anyOf":[{"additionalProperties":true,)"
                    R"("type":"object"},{"type":"null"}],"default":null}},)"
                    R"("required":["event_type","room"],"type":"object"})"
                  : R"({"additionalProperties":false,"properties":{},"type":"object"})");
  }
}

TEST_F(McpToolsTest, AllSchemasAreJsonAndEveryToolIsAnnotated) {
  for (const McpTool& tool : MakeTools(/*allow_write=*/true)) {
    const Json input = Json::parse(tool.input_schema);
    const Json output = Json::parse(tool.output_schema);
    const Json annotations = Json::parse(tool.annotations);
    EXPECT_EQ(input["type"], "object") << tool.name;
    EXPECT_EQ(output["type"], "object") << tool.name;
    EXPECT_FALSE(input["additionalProperties"]) << tool.name;
    EXPECT_THAT(tool.title, testing::Not(IsEmpty()));
    for (const char* hint :
         {"readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"}) {
      EXPECT_TRUE(annotations[hint].is_boolean()) << tool.name;
    }
    const bool writes = tool.name == "websocket_broadcast_test_event" ||
                        tool.name == "publish_event" || tool.name == "drain_worker" ||
                        tool.name == "disconnect_clients";
    EXPECT_EQ(annotations["readOnlyHint"], !writes) << tool.name;
    EXPECT_EQ(annotations["destructiveHint"],
              tool.name == "drain_worker" || tool.name == "disconnect_clients");
  }
}

TEST_F(McpToolsTest, AToolsObjectIsAsControlWroteItAndAskedOfTheDefaultService) {
  control_.admin.tool_json = R"({"z":18446744073709551616,"a":1.50,"text":"\u00e4\n"})";
  SendCall("1", "websocket_health_check");
  Answer("1");
  ASSERT_THAT(lines(), SizeIs(1));
  EXPECT_THAT(lines()[0], HasSubstr(absl::StrCat("\"structuredContent\":", control_.admin.tool_json,
                                                 ",\"isError\":false")));
  EXPECT_EQ(Result("1")["content"][0]["text"], control_.admin.tool_json);
  End();
  EXPECT_TRUE(control_.admin.tool_request.default_service);
  EXPECT_EQ(control_.admin.tool_request.service, "");
}

TEST_F(McpToolsTest, ANumberBeyondAllDoublesIsAnErrorOfTheArgumentThatMustUnderstandIt) {
  EXPECT_THAT(Error("list_channels", R"({"limit":1e400})"),
              AllOf(StartsWith("INVALID_ARGUMENT: limit: "), HasSubstr(" is more than ")));
  EXPECT_THAT(Error("tail_events", R"({"service":"s","seconds":-1e400})"),
              AllOf(StartsWith("INVALID_ARGUMENT: seconds: "), HasSubstr(" is less than ")));
  EXPECT_THAT(Error("list_channels", R"({"service":1e400})"),
              AllOf(StartsWith("INVALID_ARGUMENT: service: "), HasSubstr("wanted is")));
  EXPECT_EQ(Call("list_channels").value("isError", true), false);
}

TEST_F(McpToolsTest, ATestEventsDataIsPassedOnByteForByte) {
  Object(
      "websocket_broadcast_test_event",
      R"({"event_type":"e","room":"r","data":{"z":18446744073709551616,"a":0.10},"service":"s"})");
  End();
  EXPECT_EQ(control_.admin.test_event.data, R"({"z":18446744073709551616,"a":0.10})");
  EXPECT_EQ(control_.admin.test_event.event_type, "e");
  EXPECT_EQ(control_.admin.test_event.room, "r");
  EXPECT_EQ(control_.admin.test_event.service, "s");
  Initialize();
  Object("websocket_broadcast_test_event", R"({"event_type":"e","room":"r","data":null})");
  End();
  EXPECT_EQ(control_.admin.test_event.data, "");
}

TEST_F(McpToolsTest, ATestEventsRoomMayBeCalledChannel) {
  EXPECT_EQ(Error("websocket_broadcast_test_event", R"({"event_type":"e"})"),
            "INVALID_ARGUMENT: room is missing");
  EXPECT_THAT(
      Error("websocket_broadcast_test_event", R"({"event_type":"e","room":"r","channel":"r"})"),
      HasSubstr("room and channel mean the same"));
  Object("websocket_broadcast_test_event", R"({"event_type":"e","channel":"c"})");
  End();
  EXPECT_EQ(control_.admin.test_event.room, "c");
  Initialize();
  control_.admin.failure = absl::UnavailableError("away");
  EXPECT_EQ(Object("websocket_broadcast_test_event", R"({"event_type":"e","channel":"c"})").dump(),
            R"({"status":"error","error":"away","event_type":"e","room":"c"})");
}

TEST_F(McpToolsTest, TheFiveTellFailuresInsideTheirObjects) {
  control_.admin.failure = absl::UnavailableError("away");
  EXPECT_EQ(Object("websocket_health_check").dump(),
            R"({"status":"error","error":"away","host":"127.0.0.1","port":8690})");
  EXPECT_EQ(Object("websocket_get_status").dump(),
            R"({"error":"away","server":{"status":"error"},"connections":[],"rooms":{}})");
  EXPECT_EQ(Object("websocket_list_rooms").dump(),
            R"({"error":"away","rooms":{},"total_rooms":0})");
  EXPECT_EQ(Object("websocket_get_metrics").dump(),
            R"({"error":"away","uptime_seconds":0,"total_broadcasts":0})");
  EXPECT_EQ(Object("websocket_broadcast_test_event", R"({"event_type":"e","room":"r"})").dump(),
            R"({"status":"error","error":"away","event_type":"e","room":"r"})");
  connect_ = absl::UnavailableError("no address");
  EXPECT_EQ(Object("websocket_list_rooms")["error"], "no address");
}

TEST_F(McpToolsTest, AServiceThatDoesNotExistIsAnErrorOfTheCall) {
  control_.admin.failure = absl::NotFoundError("service \"x\" is not configured");
  EXPECT_EQ(Error("websocket_health_check", R"({"service":"x"})"),
            "NOT_FOUND: service \"x\" is not configured");
}

TEST_F(McpToolsTest, WarningsOfControlAreInTheObject) {
  control_.admin.warnings = {"only 1 of 2 workers answered"};
  EXPECT_THAT(Object("get_ledger")["warnings"], ElementsAre("only 1 of 2 workers answered"));
}

TEST_F(McpToolsTest, TheMembersOfAChannelAreListed) {
  control_.admin.presence = {
      .members = {{.connection = "c1", .user = "ana", .info = R"({"n":1})", .worker = "worker-0"},
                  {.connection = "c2", .worker = "worker-1", .away = true}},
      .total = 7,
      .users = 5};
  EXPECT_EQ(
      Object("list_presence", R"({"service":"s","channel":"c","limit":2})").dump(),
      R"({"members":[{"connection_id":"c1","user_id":"ana","info":{"n":1},"worker_id":"worker-0",)"
      R"("away":false},{"connection_id":"c2","user_id":null,"info":{},"worker_id":"worker-1",)"
      R"("away":true}],"total":7,"users":5})");
  End();
  EXPECT_EQ(control_.admin.presence_query.service, "s");
  EXPECT_EQ(control_.admin.presence_query.channel, "c");
  EXPECT_EQ(control_.admin.presence_query.limit, 2u);
}

TEST_F(McpToolsTest, TheEngineIsShownAsWsctlDoes) {
  control_.admin.engine = {.kind = "disk",
                           .reason = "no space left",
                           .path = "/var/lib/fanwire",
                           .history_bytes = 1,
                           .max_history_bytes = 2,
                           .disk_bytes = 3,
                           .waiting_publications = 4,
                           .lag = absl::Milliseconds(250)};
  EXPECT_EQ(Object("engine_status").dump(),
            R"({"kind":"disk","healthy":false,"reason":"no space left",)"
            R"("path":"/var/lib/fanwire","history_bytes":1,"max_history_bytes":2,"disk_bytes":3,)"
            R"("waiting_publications":4,"lag_seconds":0.25})");
}

TEST_F(McpToolsTest, ChannelsHaveACursorIfThereAreMore) {
  control_.admin.channels = {.channels = {{.service = "s", .channel = "c"}}, .total = 3};
  EXPECT_EQ(Object("list_channels")["next_cursor"], nullptr);
  End();
  Initialize();
  control_.admin.channels.next_page_token = "1:2";
  EXPECT_EQ(Object("list_channels",
                   R"({"service":"s","pattern":"a:*","sort":"recent","limit":7,"cursor":"0:1"})")
                ["next_cursor"],
            "1:2");
  End();
  EXPECT_EQ(control_.admin.channel_query.service, "s");
  EXPECT_EQ(control_.admin.channel_query.pattern, "a:*");
  EXPECT_EQ(control_.admin.channel_query.sort, ChannelSort::kRecent);
  EXPECT_EQ(control_.admin.channel_query.limit, 7);
  EXPECT_EQ(control_.admin.channel_query.page_token, "0:1");
}

TEST_F(McpToolsTest, OfAConnectionsChannelsTheFirstAreListed) {
  ConnectionInfo connection{.id = "a", .channel_count = 100};
  connection.channels.resize(100, "c");
  control_.admin.connections = {.connections = {connection}, .total = 1};
  const Json listed = Object("list_connections")["connections"][0];
  EXPECT_THAT(listed["channels"], SizeIs(20));
  EXPECT_EQ(listed["channel_count"], 100);
}

TEST_F(McpToolsTest, TheCatalogListsEventsOrDescribesOne) {
  control_.admin.catalogs = {
      {.service = "s",
       .events = {{.service = "s", .name = "a", .channels = {"x:{id}"}, .keys = {{.name = "id"}}},
                  {.service = "s", .name = "b"}}}};
  const Json list = Object("get_catalog", R"({"service":"s"})");
  ASSERT_THAT(list["events"], SizeIs(2));
  EXPECT_EQ(list["events"][0]["event"], "a");
  EXPECT_THAT(list["events"][0]["channels"], ElementsAre("x:{id}"));
  const Json shown = Object("get_catalog", R"({"event":"a"})");
  ASSERT_THAT(shown["events"], SizeIs(1));
  EXPECT_EQ(shown["events"][0]["keys"][0]["key"], "id");
  EXPECT_THAT(Error("get_catalog", R"({"event":"aa"})"), HasSubstr("NOT_FOUND: no event \"aa\""));
}

TEST_F(McpToolsTest, HistoryIsShownOldestFirstAndSaysHowToGoOn) {
  control_.admin.history = {.head = {.epoch = "ep", .offset = 9},
                            .publications = {PublicationAt(9), PublicationAt(8)},
                            .more = true};
  const Json object = Object("get_history", R"({"service":"s","channel":"c"})");
  EXPECT_EQ(object["publications"][0]["position"]["offset"], 8);
  EXPECT_EQ(object["continue_with"].dump(), R"({"before":"ep:8"})");
  EXPECT_TRUE(object["more"]);
}

TEST_F(McpToolsTest, HistoryAfterAPositionGoesForward) {
  control_.admin.channel.head = {.epoch = "ep", .offset = 9};
  control_.admin.history = {.head = {.epoch = "ep", .offset = 9},
                            .publications = {PublicationAt(3), PublicationAt(4)},
                            .more = true};
  for (const char* since : {"ep:2", "2"}) {
    const Json object = Object(
        "get_history", absl::StrCat(R"({"service":"s","channel":"c","since":")", since, "\"}"));
    EXPECT_EQ(object["continue_with"].dump(), R"({"since":"ep:4"})");
  }
  EXPECT_THAT(Error("get_history", R"({"service":"s","channel":"c","since":"x:y"})"),
              HasSubstr("INVALID_ARGUMENT: since: \"x:y\" is neither EPOCH:OFFSET nor an offset"));
}

TEST_F(McpToolsTest, HistoryWithoutMoreHasNothingToGoOnWith) {
  control_.admin.history = {.head = {.epoch = "ep", .offset = 9},
                            .publications = {PublicationAt(9)}};
  const Json object = Object("get_history", R"({"service":"s","channel":"c"})");
  EXPECT_FALSE(object["more"]);
  EXPECT_EQ(object["continue_with"], nullptr);
  EXPECT_EQ(object["incomplete"], nullptr);
  End();
  Initialize();
  control_.admin.history.incomplete_reason = "history_expired";
  EXPECT_EQ(Object("get_history", R"({"service":"s","channel":"c"})")["incomplete"],
            "history_expired");
}

TEST_F(McpToolsTest, EnvelopesKeepEveryDigit) {
  control_.admin.history.publications = {
      PublicationAt(1, R"({"data":{"n":18446744073709551616,"x":0.10}})")};
  SendCall("1", "get_history", R"({"service":"s","channel":"c"})");
  Answer("1");
  EXPECT_THAT(lines()[0], HasSubstr(R"("envelope":{"data":{"n":18446744073709551616,"x":0.10}})"));
}

TEST_F(McpToolsTest, ATailReturnsWhatCame) {
  control_.admin.tail_updates = {{.publications = {PublicationAt(1)}, .left_out = 2},
                                 {.publications = {PublicationAt(2)}, .left_out = 3}};
  const Json object = Object("tail_events", R"({"service":"s"})");
  EXPECT_THAT(object["publications"], SizeIs(2));
  EXPECT_EQ(object["left_out"], 5);
  EXPECT_EQ(object["ended_by"], "time");
  End();
  EXPECT_EQ(control_.admin.tail_request.pattern, "**");
  EXPECT_EQ(control_.admin.tail_request.max_time, absl::Seconds(10));
}

TEST_F(McpToolsTest, ATailIsAskedForWhatItsArgumentsSay) {
  Object("tail_events", R"({"service":"s","pattern":"a:*","events":["x","y"],"seconds":3})");
  End();
  EXPECT_EQ(control_.admin.tail_request.pattern, "a:*");
  EXPECT_THAT(control_.admin.tail_request.events, ElementsAre("x", "y"));
  EXPECT_EQ(control_.admin.tail_request.max_time, absl::Seconds(3));
}

TEST_F(McpToolsTest, ATailEndsAtItsLimit) {
  control_.Hold("tail");  // it would go on
  control_.admin.tail_updates = {
      {.publications = {PublicationAt(1), PublicationAt(2), PublicationAt(3)}}};
  const Json object = Object("tail_events", R"({"service":"s","limit":2})");
  EXPECT_THAT(object["publications"], SizeIs(2));
  EXPECT_EQ(object["ended_by"], "limit");
}

class McpSmallResultsTest : public McpToolsTest {
 protected:
  McpSmallResultsTest() { settings_.max_result_bytes = 4096; }
  const std::string kLarge = absl::StrCat("\"", std::string(1000, 'x'), "\"");
};

TEST_F(McpSmallResultsTest, ATailEndsBeforeItsResultIsTooLarge) {
  control_.Hold("tail");
  control_.admin.tail_updates = {
      {.publications = {PublicationAt(1, kLarge), PublicationAt(2, kLarge),
                        PublicationAt(3, kLarge), PublicationAt(4, kLarge)}}};
  const Json object = Object("tail_events", R"({"service":"s"})");
  EXPECT_THAT(object["publications"], SizeIs(2));
  EXPECT_EQ(object["ended_by"], "bytes");
}

TEST_F(McpSmallResultsTest, HistoryIsCutBeforeItIsTooLargeAndGoesOnThere) {
  control_.admin.history = {.head = {.epoch = "ep", .offset = 9},
                            .publications = {PublicationAt(9, kLarge), PublicationAt(8, kLarge),
                                             PublicationAt(7, kLarge), PublicationAt(6, kLarge)}};
  const Json object = Object("get_history", R"({"service":"s","channel":"c"})");
  EXPECT_THAT(object["publications"], SizeIs(2));
  EXPECT_TRUE(object["more"]);
  EXPECT_EQ(object["continue_with"].dump(), R"({"before":"ep:8"})");
}

TEST_F(McpSmallResultsTest, OnePublicationThatIsTooLargeIsAnError) {
  control_.admin.history.publications = {
      PublicationAt(9, absl::StrCat("\"", std::string(5000, 'x'), "\""))};
  EXPECT_THAT(Error("get_history", R"({"service":"s","channel":"c"})"),
              HasSubstr("the publication at offset 9 alone is larger than the"));
}

TEST_F(McpToolsTest, WithoutAllowWriteNothingIsWritten) {
  for (const char* tool : {"publish_event", "drain_worker", "disconnect_clients"}) {
    EXPECT_EQ(Error(tool), absl::StrCat("Unknown tool: '", tool, "'"));
  }
}

TEST_F(McpWriteToolsTest, AReceiptIsTheResultOfPublishing) {
  control_.publisher.receipt = Receipt{.id = "i", .position = {.epoch = "ep", .offset = 1}};
  const Json object =
      Object("publish_event", R"({"service":"s","channel":"c","event":"e","data":{"a":1}})");
  EXPECT_EQ(object["id"], "i");
  EXPECT_EQ(object["level"], "accepted");
}

TEST_F(McpWriteToolsTest, AnEventIsPublishedAsItsArgumentsSay) {
  Object("publish_event",
         R"({"service":"s","channel":"c","event":"e","data":{"n":18446744073709551616,"x":1e400},)"
         R"("id":"i","idempotency_key":"k","ttl_seconds":1.5,"skip_history":true,)"
         R"("receipt":"written"})");
  End();
  const Event& event = control_.publisher.event;
  EXPECT_EQ(event.json, R"({"n":18446744073709551616,"x":1e400})");
  EXPECT_EQ(event.id, "i");
  EXPECT_EQ(event.idempotency_key, "k");
  EXPECT_EQ(event.ttl, absl::Milliseconds(1500));
  EXPECT_TRUE(event.skip_history);
  EXPECT_EQ(control_.publisher.request.level, ReceiptLevel::kWritten);
}

TEST_F(McpWriteToolsTest, ARefusedEventIsTheToolsError) {
  control_.publisher.receipt = Receipt{.status = absl::InvalidArgumentError("data: too deep")};
  EXPECT_EQ(Error("publish_event", R"({"service":"s","channel":"c","event":"e"})"),
            "INVALID_ARGUMENT: data: too deep");
}

TEST_F(McpWriteToolsTest, TheLastWorkerIsDrainedOnlyIfForced) {
  for (const bool force : {false, true}) {
    if (force) Initialize();
    EXPECT_TRUE(
        Object("drain_worker", absl::StrCat(R"({"worker":"worker-0","window_seconds":2.5,"force":)",
                                            force ? "true" : "false", "}"))["drained"]);
    End();
    EXPECT_EQ(control_.admin.drain_request.unless_last, !force);
    EXPECT_EQ(control_.admin.drain_request.window, absl::Milliseconds(2500));
    EXPECT_EQ(control_.admin.drain_request.deadline, std::nullopt);
  }
}

TEST_F(McpWriteToolsTest, TheRefusalToDrainTheLastWorkerNamesTheArgument) {
  control_.admin.drain_failure = absl::FailedPreconditionError("worker-0 is the last worker");
  EXPECT_EQ(Error("drain_worker", R"({"worker":"worker-0"})"),
            "FAILED_PRECONDITION: worker-0 is the last worker; with \"force\": true it is drained "
            "all the same");
}

TEST_F(McpWriteToolsTest, DisconnectingNeedsAFilter) {
  control_.admin.disconnect_result = {.disconnected = 2, .workers_total = 1, .workers_answered = 1};
  EXPECT_EQ(Error("disconnect_clients", R"({"slow":false,"user":null})"),
            "INVALID_ARGUMENT: no filter: give id, service, user, address, channel or slow");
  EXPECT_EQ(Object("disconnect_clients", R"({"user":"ana","code":4501})").dump(),
            R"({"disconnected":2,"workers_total":1,"workers_answered":1})");
  End();
  EXPECT_EQ(control_.admin.disconnect_request.filter.user, "ana");
  EXPECT_EQ(control_.admin.disconnect_request.code, 4501u);
}

}  // namespace
}  // namespace fanwire::cli
