#include "cli/mcp/mcp_server.h"

#include <thread>

#include "tests/cli/mcp/mcp_fixture.h"

namespace fanwire::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Json = nlohmann::ordered_json;

constexpr char kMeta[] = R"("_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",)"
                         R"("io.modelcontextprotocol/clientCapabilities":{}})";

class McpServerTest : public McpFixture {
 protected:
  // A request of the stateless version; `members` are further params.
  Json Stateless(const std::string& method, const std::string& members = "") {
    return Request(method, absl::StrCat("{", members, members.empty() ? "" : ",", kMeta, "}"));
  }
};

TEST_F(McpServerTest, AVersionOfTheHandshakeIsEchoed) {
  for (const char* version : {"2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"}) {
    const Json result =
        Request("initialize", absl::StrCat(R"({"protocolVersion":")", version, "\"}"))["result"];
    EXPECT_EQ(result["protocolVersion"], version);
    EXPECT_EQ(result["serverInfo"]["name"], "fanwire");
    EXPECT_EQ(result["capabilities"], Json::parse(R"({"tools":{},"resources":{}})"));
    EXPECT_FALSE(result.contains("resultType"));
  }
}

TEST_F(McpServerTest, AnotherVersionIsAnsweredWithTheNewestOfTheHandshake) {
  for (const char* params :
       {R"({"protocolVersion":"2026-07-28"})", R"({"protocolVersion":"1999-01-01"})",
        R"({"protocolVersion":5})", "{}"}) {
    EXPECT_EQ(Request("initialize", params)["result"]["protocolVersion"], "2025-11-25");
  }
}

TEST_F(McpServerTest, BeforeTheHandshakeOnlyPingIsAnswered) {
  EXPECT_EQ(Request("ping")["result"], Json::object());
  const Json error = Request("tools/list")["error"];
  EXPECT_EQ(error["code"], -32602);
  EXPECT_THAT(std::string(error["message"]), HasSubstr("send `initialize` first"));
}

TEST_F(McpServerTest, AStatelessRequestNeedsNoHandshake) {
  const Json result = Stateless("tools/list")["result"];
  EXPECT_EQ(result["resultType"], "complete");
  EXPECT_EQ(result["cacheScope"], "private");
  EXPECT_GT(result["ttlMs"], 0);
  EXPECT_EQ(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "fanwire");
  EXPECT_THAT(result["tools"], SizeIs(15));
}

TEST_F(McpServerTest, AStatelessClientDiscovers) {
  const Json result = Stateless("server/discover")["result"];
  EXPECT_EQ(result["supportedVersions"], Json::parse(R"(["2026-07-28"])"));
  EXPECT_TRUE(result["capabilities"].contains("tools"));
  EXPECT_EQ(result["resultType"], "complete");
}

TEST_F(McpServerTest, AnotherVersionInMetaIsRefusedWithThoseThatAreServed) {
  for (const char* version : {R"("1900-01-01")", R"("2025-11-25")", "7"}) {
    const Json error =
        Request("tools/list",
                absl::StrCat(R"({"_meta":{"io.modelcontextprotocol/protocolVersion":)", version,
                             R"(,"io.modelcontextprotocol/clientCapabilities":{}}})"))["error"];
    EXPECT_EQ(error["code"], -32022) << version;
    EXPECT_THAT(error["data"]["supported"],
                ElementsAre("2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"));
  }
}

TEST_F(McpServerTest, AStatelessRequestWithoutCapabilitiesIsMalformed) {
  const Json error =
      Request("tools/list",
              R"({"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}})")["error"];
  EXPECT_EQ(error["code"], -32602);
  EXPECT_THAT(std::string(error["message"]), HasSubstr("clientCapabilities"));
}

TEST_F(McpServerTest, WhatTheVersionDoesNotHaveIsNoMethod) {
  EXPECT_EQ(Stateless("ping")["error"]["code"], -32601);
  EXPECT_EQ(Stateless("initialize")["error"]["code"], -32601);
  EXPECT_EQ(Stateless("prompts/list")["error"]["code"], -32601);
  Initialize();
  EXPECT_EQ(Request("server/discover")["error"]["code"], -32601);
  EXPECT_EQ(Request("logging/setLevel", R"({"level":"info"})")["error"]["code"], -32601);
}

TEST_F(McpServerTest, BothKindsOfClientsAreServedBesideOneAnother) {
  Initialize("2024-11-05");
  EXPECT_TRUE(Stateless("tools/list")["result"].contains("resultType"));
  EXPECT_FALSE(Request("tools/list")["result"].contains("resultType"));
}

TEST_F(McpServerTest, ListsAreTheSameEveryTimeAndHaveOnePage) {
  Initialize();
  for (const char* method : {"tools/list", "resources/list", "resources/templates/list"}) {
    const Json first = Request(method)["result"];
    EXPECT_EQ(first.dump(), Request(method)["result"].dump());
    EXPECT_FALSE(first.contains("nextCursor"));
    EXPECT_EQ(Request(method, R"({"cursor":"x"})")["error"]["code"], -32602);
    EXPECT_TRUE(Request(method, R"({"cursor":null})").contains("result"));
  }
}

TEST_F(McpServerTest, IdsComeBackAsTheyWere) {
  Initialize();
  for (const char* id : {"12345678901234567890123", "1.50", R"("\u0061b")", "-7"}) {
    SendRequest(id, "ping");
    EXPECT_THAT(lines(),
                ElementsAre(absl::StrCat(R"({"jsonrpc":"2.0","id":)", id, R"(,"result":{}})")));
    Forget();
    SendCall(id, "get_ledger");
    Answer(id);
    Forget();
  }
}

TEST_F(McpServerTest, ALongCallHoldsUpNoOther) {
  Initialize();
  control_.Hold("tail");
  SendCall("1", "tail_events", R"({"service":"s"})");
  ASSERT_TRUE(WaitFor([&] { return control_.begun("tail") == 1; }));
  SendRequest("2", "ping");
  SendCall("3", "get_ledger");
  Answer("2");
  Answer("3");
  control_.Release("tail");
  EXPECT_EQ(Result("1")["structuredContent"]["ended_by"], "time");
}

TEST_F(McpServerTest, AnswersComeInTheOrderInWhichTheyAreReady) {
  Initialize();
  control_.admin.tool_json = R"({"status":"healthy"})";
  for (const char* service : {"a", "b", "c"}) {
    control_.Hold(service);
    SendCall(absl::StrCat("\"", service, "\""), "websocket_health_check",
             absl::StrCat(R"({"service":")", service, "\"}"));
  }
  for (const char* service : {"c", "a", "b"}) {
    Forget();
    control_.Release(service);
    Answer(absl::StrCat("\"", service, "\""));
    EXPECT_THAT(lines(), SizeIs(1));
  }
}

TEST_F(McpServerTest, ACancelledCallIsStoppedAndNotAnswered) {
  Initialize();
  control_.Hold("workers");
  SendCall("1", "list_workers");
  ASSERT_TRUE(WaitFor([&] { return control_.begun("workers") == 1; }));
  Send(R"({"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}})");
  ASSERT_TRUE(WaitFor([&] { return control_.cancelled("workers") == 1; }));
  server().Finish(absl::Seconds(20));  // waits until the call has ended
  EXPECT_THAT(lines(), IsEmpty());
}

TEST_F(McpServerTest, ACallThatWaitsForAThreadCanBeCancelled) {
  settings_.max_calls = 1;
  Initialize();
  control_.Hold("a");
  SendCall("1", "websocket_health_check", R"({"service":"a"})");
  SendCall("\"x\"", "websocket_health_check", R"({"service":"b"})");
  Send(R"({"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"\u0078"}})");
  control_.Release("a");
  Answer("1");
  server().Finish(absl::Seconds(20));
  EXPECT_THAT(lines(), SizeIs(1));
  EXPECT_EQ(control_.begun("b"), 0);
}

TEST_F(McpServerTest, CancellingWhatIsUnknownOrOverDoesNothing) {
  Initialize();
  SendCall("1", "get_ledger");
  Answer("1");
  for (const char* params :
       {R"({"requestId":1})", R"({"requestId":"1"})", R"({"requestId":null})", "{}"}) {
    Send(absl::StrCat(R"({"jsonrpc":"2.0","method":"notifications/cancelled","params":)", params,
                      "}"));
  }
  EXPECT_THAT(lines(), SizeIs(1));
}

TEST_F(McpServerTest, AfterACancelledCallOthersHaveClientsThatWork) {
  Initialize();
  control_.Hold("workers");
  SendCall("1", "list_workers");
  ASSERT_TRUE(WaitFor([&] { return control_.begun("workers") == 1; }));
  Send(R"({"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}})");
  ASSERT_TRUE(WaitFor([&] { return control_.cancelled("workers") == 1; }));
  control_.Release("workers");
  for (int i = 0; i < 5; ++i) Object("list_workers");
  // The second client served all later calls.
  EXPECT_EQ(control_.clients_made(), 2);
}

TEST_F(McpServerTest, AnIdThatIsInUseIsRefusedWithoutAnId) {
  Initialize();
  control_.Hold("workers");
  SendCall("1", "list_workers");
  SendCall("1", "get_ledger");
  ASSERT_THAT(lines(), SizeIs(1));
  const Json refusal = Json::parse(lines()[0]);
  EXPECT_FALSE(refusal.contains("id"));
  EXPECT_EQ(refusal["error"]["code"], -32600);
  control_.Release("workers");
  EXPECT_FALSE(Result("1")["isError"]);
}

TEST_F(McpServerTest, CallsOverTheLimitAreRefusedAndTheOthersAnswered) {
  settings_.max_calls = 2;
  Initialize();
  control_.Hold("workers");
  for (int i = 100; i < 110; ++i) SendCall(absl::StrCat(i), "list_workers");
  ASSERT_TRUE(WaitFor([&] { return control_.begun("workers") == 2; }));
  const std::string text = Error("get_ledger");
  EXPECT_THAT(text, HasSubstr("RESOURCE_EXHAUSTED: 2 calls run and 8 wait"));
  control_.Release("workers");
  for (int i = 100; i < 110; ++i) EXPECT_FALSE(Result(absl::StrCat(i))["isError"]);
}

TEST_F(McpServerTest, ProgressIsToldToThoseWhoAskForIt) {
  settings_.progress_interval = absl::Milliseconds(1);
  Initialize();
  control_.Hold("tail");
  SendRequest("1", "tools/call",
              R"({"name":"tail_events","arguments":{"service":"s","seconds":30},)"
              R"("_meta":{"progressToken":"t\u0031"}})");
  ASSERT_TRUE(WaitFor([&] { return Notifications("notifications/progress").size() > 2; }));
  const auto told = Notifications("notifications/progress");
  EXPECT_EQ(told[0]["progressToken"], "t1");
  EXPECT_EQ(told[0]["total"], 30);
  EXPECT_LT(told[0]["progress"], told[1]["progress"]);
  EXPECT_EQ(told[0]["message"], "0 publications");
  control_.Release("tail");
  Answer("1");
  const size_t lines_at_the_end = lines().size();
  EXPECT_THAT(lines().back(), HasSubstr(R"("id":1)"));
  EXPECT_EQ(lines().size(), lines_at_the_end);
}

TEST_F(McpServerTest, ADrainTellsItsProgress) {
  settings_.allow_write = true;
  Initialize();
  control_.admin.drain_progress = {7, 3, 0};
  SendRequest("1", "tools/call",
              R"({"name":"drain_worker","arguments":{"worker":"worker-0"},)"
              R"("_meta":{"progressToken":5}})");
  EXPECT_EQ(Result("1")["structuredContent"].dump(),
            R"({"id":"worker-0","drained":true,"sessions":7})");
  const auto told = Notifications("notifications/progress");
  ASSERT_THAT(told, SizeIs(3));
  EXPECT_EQ(told[1].dump(),
            R"({"progressToken":5,"progress":4,"total":7,"message":"3 sessions left"})");
}

TEST_F(McpServerTest, NobodyIsToldProgressUnasked) {
  settings_.progress_interval = absl::Milliseconds(1);
  Initialize();
  for (const char* meta : {"{}", R"({"progressToken":null})", R"({"progressToken":{}})"}) {
    SendRequest(
        "1", "tools/call",
        absl::StrCat(R"({"name":"tail_events","arguments":{"service":"s"},"_meta":)", meta, "}"));
    Answer("1");
    EXPECT_THAT(lines(), SizeIs(1));
    Forget();
  }
}

TEST_F(McpServerTest, ABatchIsAnsweredTogetherInVersionsThatHaveBatches) {
  Initialize("2025-03-26");
  control_.Hold("workers");
  Send(R"([{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_workers"}},)"
       R"({"jsonrpc":"2.0","method":"notifications/x"},7,)"
       R"({"jsonrpc":"2.0","id":2,"method":"ping"},)"
       R"({"jsonrpc":"2.0","id":3,"method":"initialize"}])");
  SendRequest("4", "ping");
  Answer("4");
  EXPECT_THAT(lines(), SizeIs(1));
  control_.Release("workers");
  ASSERT_TRUE(WaitFor([&] { return lines().size() == 2; }));
  const Json answers = Json::parse(lines()[1]);
  ASSERT_THAT(answers, SizeIs(4));
  EXPECT_EQ(answers[0]["error"]["message"], "a message is a JSON object");
  EXPECT_EQ(answers[1]["id"], 2);
  EXPECT_THAT(std::string(answers[2]["error"]["message"]), HasSubstr("send it alone"));
  EXPECT_FALSE(answers[3]["result"]["isError"]);
}

TEST_F(McpServerTest, ABatchWithoutRequestsHasNoAnswer) {
  Initialize("2024-11-05");
  Send(R"([{"jsonrpc":"2.0","method":"a"},{"jsonrpc":"2.0","method":"b"}])");
  SendRequest("1", "ping");
  EXPECT_THAT(lines(), SizeIs(1));
}

TEST_F(McpServerTest, OtherVersionsHaveNoBatches) {
  Initialize("2025-06-18");
  Send(R"([{"jsonrpc":"2.0","id":1,"method":"ping"}])");
  ASSERT_THAT(lines(), SizeIs(1));
  EXPECT_THAT(lines()[0], HasSubstr("batches are not part of this protocol version"));
}

TEST_F(McpServerTest, FaultsAreAnsweredAndTheNextMessageIsServed) {
  Initialize();
  for (const char* line :
       {"{", "\xFF", "[]", "7", R"({"jsonrpc":"2.0","id":{},"method":"ping"})"}) {
    Send(line);
  }
  server().OnTooLongLine();
  EXPECT_THAT(lines(), SizeIs(6));
  for (const std::string& line : lines()) {
    EXPECT_TRUE(Json::parse(line).contains("error"));
    EXPECT_FALSE(Json::parse(line).contains("id"));
  }
  EXPECT_THAT(lines()[5], HasSubstr("a message of more than 2097152 bytes was skipped"));
  EXPECT_EQ(Request("ping")["result"], Json::object());
}

TEST_F(McpServerTest, NotificationsAndResponsesAreNotAnswered) {
  Initialize();
  Send(R"({"jsonrpc":"2.0","method":"tools/call","params":{"name":"list_workers"}})");
  Send(R"({"jsonrpc":"2.0","id":9,"result":{}})");
  Send("");
  EXPECT_THAT(lines(), IsEmpty());
  EXPECT_EQ(control_.begun("workers"), 0);
}

TEST_F(McpServerTest, AnUnknownToolIsTheToolsErrorAsTheOriginalsWas) {
  Initialize();
  EXPECT_EQ(Error("nope"), "Unknown tool: 'nope'");
  EXPECT_EQ(Request("tools/call", "{}")["result"]["content"][0]["text"], "Unknown tool: ''");
}

TEST_F(McpServerTest, WrongArgumentsAreTheToolsErrorAndControlIsNotAsked) {
  Initialize();
  EXPECT_EQ(Error("list_workers", R"({"x":1})"),
            R"(INVALID_ARGUMENT: "x" is no argument; there are none)");
  EXPECT_EQ(Error("get_history", R"({"service":"s"})"), "INVALID_ARGUMENT: channel is missing");
  EXPECT_EQ(Error("list_workers", "[]"), "INVALID_ARGUMENT: [] is an array; wanted is an object");
  EXPECT_EQ(control_.clients_made(), 0);
}

TEST_F(McpServerTest, ArgumentsMayBeNullOrAbsent) {
  Initialize();
  Object("list_workers", "null");
  EXPECT_FALSE(Request("tools/call", R"({"name":"list_workers"})")["result"]["isError"]);
}

TEST_F(McpServerTest, FailuresOfControlAreTheToolsError) {
  Initialize();
  control_.admin.failure = absl::NotFoundError("no such service");
  EXPECT_EQ(Error("list_workers"), "NOT_FOUND: no such service");
}

TEST_F(McpServerTest, ClientsThatCannotBeMadeAreTheToolsError) {
  Initialize();
  connect_ = absl::InvalidArgumentError("no context \"x\"");
  EXPECT_EQ(Error("list_workers"), "INVALID_ARGUMENT: no context \"x\"");
}

TEST_F(McpServerTest, AfterControlWasAwayClientsAreMadeAnew) {
  Initialize();
  Object("list_workers");
  Object("list_workers");
  EXPECT_EQ(control_.clients_made(), 1);
  control_.Fail(absl::UnavailableError("away"));
  EXPECT_EQ(Error("list_workers"), "UNAVAILABLE: away");
  control_.Fail(absl::OkStatus());
  Object("list_workers");
  EXPECT_EQ(control_.clients_made(), 2);
}

TEST_F(McpServerTest, AResultThatIsTooLargeSaysWhatToDo) {
  settings_.max_result_bytes = 4096;
  Initialize();
  control_.admin.ledger.resize(100);
  EXPECT_THAT(Error("get_ledger"), HasSubstr("more than 4096: ask for less"));
}

TEST_F(McpServerTest, AListeningClientIsAcknowledgedAndToldTheEnd) {
  SendRequest("\"s\"", "subscriptions/listen",
              absl::StrCat(R"({"notifications":{"toolsListChanged":true},)", kMeta, "}"));
  const auto told = Notifications("notifications/subscriptions/acknowledged");
  ASSERT_THAT(told, SizeIs(1));
  EXPECT_EQ(told[0].dump(),
            R"({"_meta":{"io.modelcontextprotocol/subscriptionId":"s"},"notifications":{}})");
  EXPECT_THAT(lines(), SizeIs(1));
  server().Finish(absl::ZeroDuration());
  EXPECT_EQ(Result("\"s\"").dump(),
            R"({"resultType":"complete","_meta":{"io.modelcontextprotocol/subscriptionId":"s"}})");
}

TEST_F(McpServerTest, AListeningClientCanCancel) {
  SendRequest("1", "subscriptions/listen", absl::StrCat("{", kMeta, "}"));
  Send(R"({"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}})");
  server().Finish(absl::ZeroDuration());
  EXPECT_THAT(lines(), SizeIs(1));  // the acknowledgement
}

TEST_F(McpServerTest, AtTheEndOfTheInputATailEndsAndOtherCallsMayFinish) {
  Initialize();
  control_.Hold("tail");
  control_.Hold("workers");
  SendCall("1", "tail_events", R"({"service":"s"})");
  SendCall("2", "list_workers");
  ASSERT_TRUE(WaitFor([&] { return control_.begun("tail") + control_.begun("workers") == 2; }));
  std::thread release([&] {
    EXPECT_TRUE(WaitFor([&] { return control_.cancelled("tail") == 1; }));
    control_.Release("workers");
  });
  server().Finish(absl::Seconds(60));
  release.join();
  EXPECT_EQ(Result("1")["structuredContent"]["ended_by"], "client");
  EXPECT_FALSE(Result("2")["isError"]);
  EXPECT_EQ(control_.cancelled("workers"), 0);
}

TEST_F(McpServerTest, AfterTheGraceEveryCallIsStopped) {
  Initialize();
  control_.Hold("workers");
  SendCall("1", "list_workers");
  ASSERT_TRUE(WaitFor([&] { return control_.begun("workers") == 1; }));
  server().Finish(absl::Milliseconds(1));
  EXPECT_EQ(Result("1")["content"][0]["text"], "CANCELLED: cancelled");
}

TEST_F(McpServerTest, StopEndsTheGrace) {
  Initialize();
  control_.Hold("workers");
  SendCall("1", "list_workers");
  ASSERT_TRUE(WaitFor([&] { return control_.begun("workers") == 1; }));
  std::thread stop([&] { server().Stop(); });
  server().Finish(absl::Hours(1));
  stop.join();
  Answer("1");
}

}  // namespace
}  // namespace fanwire::cli
