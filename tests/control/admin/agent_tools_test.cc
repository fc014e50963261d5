#include "control/admin/agent_tools.h"

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "control/routing/channel_info.h"
#include "tests/control/admin/admin_fixture.h"

namespace fanwire::control {

namespace {

using ::testing::HasSubstr;

class AgentToolsTest : public AdminFixture {
 protected:
  // Two workers: three sessions of mahavishnu, one of akosha.
  void AddWorkers() {
    FakeWorkerRegistry::Worker zero = MakeWorker("worker-0");
    zero.connections = {Connection("mahavishnu", "c2"), Connection("mahavishnu", "c1")};
    zero.rooms = {Room("mahavishnu", "workflow:t", {"c2", "c1"}),
                  Room("mahavishnu", "pool:*", {"c1"})};
    registry_.Add(std::move(zero));
    FakeWorkerRegistry::Worker one = MakeWorker("worker-1");
    one.connections = {Connection("mahavishnu", "c3"), Connection("akosha", "a1")};
    one.rooms = {Room("mahavishnu", "workflow:t", {"c3"}), Room("akosha", "insights", {"a1"})};
    registry_.Add(std::move(one));
  }

  absl::StatusOr<std::string> Call(Tool tool, const AgentTools::Target& target) {
    std::optional<absl::StatusOr<std::string>> answer;
    tools_->Call(tool, target, [&](absl::StatusOr<std::string> json) { answer = std::move(json); });
    return answer.has_value() ? *answer : absl::UnknownError("no answer");
  }
  std::string Of(Tool tool, const std::string& service = "mahavishnu") {
    const absl::StatusOr<std::string> answer = Call(tool, {.service = service});
    EXPECT_OK(answer);
    return answer.value_or("");
  }
  absl::StatusOr<std::string> Broadcast(const AgentTools::TestEvent& event) {
    std::optional<absl::StatusOr<std::string>> answer;
    tools_->BroadcastTestEvent(event,
                               [&](absl::StatusOr<std::string> json) { answer = std::move(json); });
    return answer.has_value() ? *answer : absl::UnknownError("no answer");
  }

  void Heartbeat(const std::string& worker, int64_t sessions) {
    v1::Heartbeat heartbeat;
    v1::ServiceLoad* const load = heartbeat.add_services();
    load->set_service("mahavishnu");
    load->set_sessions(sessions);
    ledger_.Update(worker, 1, heartbeat);
  }
};

TEST_F(AgentToolsTest, HealthCheckSumsOverTheWorkersAndCountsARoomOfSeveralOnce) {
  AddWorkers();
  EXPECT_EQ(Of(Tool::kHealthCheck),
            R"({"status":"healthy","host":"127.0.0.1","port":8690,"connections":3,"rooms":2,)"
            R"("max_connections":300,"message_rate_limit":50})");
}

TEST_F(AgentToolsTest, ARateWithAFractionKeepsIt) {
  AddWorkers();
  EXPECT_THAT(Of(Tool::kHealthCheck, "akosha"), HasSubstr(R"("message_rate_limit":12.5)"));
}

TEST_F(AgentToolsTest, ThePortIsThatOfTheCommonProtocol) {
  AddWorkers();
  EXPECT_THAT(Of(Tool::kHealthCheck, "session-buddy"), HasSubstr(R"("port":8688,"connections":0)"));
}

TEST_F(AgentToolsTest, GetStatusNamesTheConnectionsOfEachRoom) {
  AddWorkers();
  EXPECT_EQ(Of(Tool::kGetStatus),
            R"({"server":{"status":"running","host":"127.0.0.1","port":8690},)"
            R"("connections":["c1","c2","c3"],"rooms":{)"
            R"("pool:*":{"subscribers":1,"connection_ids":["c1"]},)"
            R"("workflow:t":{"subscribers":3,"connection_ids":["c1","c2","c3"]}},)"
            R"("total_connections":3,"total_rooms":2})");
}

TEST_F(AgentToolsTest, ListRoomsAsksForNothingElse) {
  AddWorkers();
  EXPECT_EQ(Of(Tool::kListRooms),
            R"({"rooms":{"pool:*":{"subscribers":1},"workflow:t":{"subscribers":3}},)"
            R"("total_rooms":2})");
  EXPECT_EQ(registry_.questions(), 1);
}

TEST_F(AgentToolsTest, NoRoomsIsAnObject) {
  AddWorkers();
  EXPECT_EQ(Of(Tool::kListRooms, "session-buddy"), R"({"rooms":{},"total_rooms":0})");
}

TEST_F(AgentToolsTest, MetricsAreTrueNumbers) {
  AddWorkers();
  Heartbeat("worker-0", 9);
  Heartbeat("worker-0", 2);
  clock_.Advance(absl::Milliseconds(2500));
  for (int i = 0; i < 5; ++i) ASSERT_OK(Publish("mahavishnu", "pool:a"));
  ASSERT_THAT(Publish("mahavishnu", "pool:*"),
              StatusIs(absl::StatusCode::kInvalidArgument, ::testing::_));
  EXPECT_EQ(Of(Tool::kGetMetrics),
            R"({"uptime_seconds":2,"total_broadcasts":5,"average_message_rate":2.0,)"
            R"("peak_connections":9,"current_connections":3})");
}

TEST_F(AgentToolsTest, ThePeakIsNeverBelowWhatIsConnectedNow) {
  AddWorkers();
  Heartbeat("worker-0", 1);
  EXPECT_THAT(Of(Tool::kGetMetrics), HasSubstr(R"("peak_connections":3,"current_connections":3)"));
}

TEST_F(AgentToolsTest, AMirrorCopyIsNoFurtherBroadcast) {
  AddWorkers();
  ASSERT_OK(Publish("mahavishnu", "workflow:t", "workflow.started"));
  ASSERT_EQ(routing_->queries->Counts("mahavishnu").mirrored, 1);
  EXPECT_THAT(Of(Tool::kGetMetrics), HasSubstr(R"("total_broadcasts":1)"));
}

TEST_F(AgentToolsTest, WithoutUptimeThereIsNoRate) {
  AddWorkers();
  EXPECT_THAT(Of(Tool::kGetMetrics), HasSubstr(R"("average_message_rate":0.0)"));
}

TEST_F(AgentToolsTest, WithoutAWorkerTheServerIsNotRunning) {
  ASSERT_OK(Publish("mahavishnu", "pool:a"));
  clock_.Advance(absl::Seconds(4));
  EXPECT_EQ(Of(Tool::kHealthCheck),
            R"({"status":"stopped","host":"127.0.0.1","port":8690,"connections":0,"rooms":0,)"
            R"("message":"WebSocket server is not running"})");
  EXPECT_EQ(Of(Tool::kGetStatus),
            R"({"server":{"status":"not_running"},"connections":[],"rooms":{}})");
  EXPECT_EQ(Of(Tool::kListRooms),
            R"({"rooms":{},"total_rooms":0,"message":"WebSocket server not running"})");
  EXPECT_EQ(Of(Tool::kGetMetrics),
            R"({"uptime_seconds":4,"total_broadcasts":1,"average_message_rate":0.25,)"
            R"("peak_connections":0,"message":"WebSocket server not running"})");
}

TEST_F(AgentToolsTest, AWorkerThatMissedOneQuestionIsAskedAgain) {
  AddWorkers();
  FakeWorkerRegistry::Worker late = MakeWorker("worker-2");
  late.connections = {Connection("mahavishnu", "c4")};
  late.silent_for = 1;
  registry_.Add(std::move(late));
  EXPECT_THAT(Of(Tool::kHealthCheck), HasSubstr(R"("connections":4)"));
}

TEST_F(AgentToolsTest, SumsOverSomeOfTheWorkersAreNotGiven) {
  AddWorkers();
  FakeWorkerRegistry::Worker frozen = MakeWorker("worker-2");
  frozen.silent_for = 1000;
  registry_.Add(std::move(frozen));
  const std::string error = R"("error":"1 of 3 workers did not answer within 2s")";
  EXPECT_EQ(Of(Tool::kHealthCheck),
            R"({"status":"error",)" + error + R"(,"host":"127.0.0.1","port":8690})");
  EXPECT_EQ(Of(Tool::kGetStatus),
            "{" + error + R"(,"server":{"status":"error"},"connections":[],"rooms":{}})");
  EXPECT_EQ(Of(Tool::kListRooms), "{" + error + R"(,"rooms":{},"total_rooms":0})");
  EXPECT_EQ(Of(Tool::kGetMetrics), "{" + error + R"(,"uptime_seconds":0,"total_broadcasts":0})");
}

TEST_F(AgentToolsTest, SumsWithoutAWorkerThatIsAwaySaySo) {
  AddWorkers();
  std::map<Tool, std::string> complete;
  const Tool tools[] = {Tool::kHealthCheck, Tool::kGetStatus, Tool::kListRooms, Tool::kGetMetrics};
  for (const Tool tool : tools) complete[tool] = Of(tool);
  FakeWorkerRegistry::Worker away = MakeWorker("worker-2");
  away.absent = true;
  registry_.Add(std::move(away));
  for (const Tool tool : tools) {
    std::string expected = complete[tool];
    expected.pop_back();
    EXPECT_EQ(Of(tool), expected + R"(,"workers_total":3,"workers_answered":2,)" +
                            R"("warning":"incomplete: only 2 of 3 workers answered"})");
  }
}

TEST_F(AgentToolsTest, WithoutAServiceAllAnswerUnderTheirNames) {
  AddWorkers();
  for (const Tool tool :
       {Tool::kHealthCheck, Tool::kGetStatus, Tool::kListRooms, Tool::kGetMetrics}) {
    const absl::StatusOr<std::string> all = Call(tool, {});
    ASSERT_OK(all);
    EXPECT_EQ(*all, R"({"services":{"mahavishnu":)" + Of(tool, "mahavishnu") + R"(,"akosha":)" +
                        Of(tool, "akosha") + R"(,"session-buddy":)" + Of(tool, "session-buddy") +
                        "}}");
  }
}

TEST_F(AgentToolsTest, AToolsOwnNameMeansTheDefaultService) {
  AddWorkers();
  const absl::StatusOr<std::string> answer =
      Call(Tool::kHealthCheck, {.service = "", .default_service = true});
  ASSERT_OK(answer);
  EXPECT_EQ(*answer, Of(Tool::kHealthCheck, "mahavishnu"));
  // A service that is named is that service.
  const absl::StatusOr<std::string> other =
      Call(Tool::kHealthCheck, {.service = "akosha", .default_service = true});
  ASSERT_OK(other);
  EXPECT_EQ(*other, Of(Tool::kHealthCheck, "akosha"));
}

TEST_F(AgentToolsTest, AnUnknownServiceIsNotFound) {
  AddWorkers();
  const auto not_found =
      StatusIs(absl::StatusCode::kNotFound, HasSubstr("service \"nobody\" is not configured"));
  EXPECT_THAT(Call(Tool::kHealthCheck, {.service = "nobody"}), not_found);
  EXPECT_THAT(Broadcast({.service = "nobody", .event_type = "a.b", .room = "r", .data = {}}),
              not_found);
}

class TestEventTest : public AgentToolsTest {
 protected:
  TestEventTest() {
    AddWorkers();
    for (uint64_t id = 1; id <= 2; ++id) {
      workers_.push_back(
          std::make_unique<ReportingWorker>(id, /*sessions=*/id, &clock_, routing_.get()));
      routing_->subscriptions->AddInterest(workers_.back()->link(),
                                           {.service = "mahavishnu", .channel = "pool:t"});
    }
  }
  ~TestEventTest() override {
    for (const auto& worker : workers_) routing_->subscriptions->ClearInterest(worker->link());
  }

  std::vector<std::unique_ptr<ReportingWorker>> workers_;
};

TEST_F(TestEventTest, CountsTheSessionsThatItMatchedOverAllWorkers) {
  const absl::StatusOr<std::string> answer =
      Broadcast({.service = "mahavishnu", .event_type = "x.y", .room = "pool:t", .data = {}});
  ASSERT_OK(answer);
  EXPECT_EQ(*answer,
            R"({"status":"broadcasted","event_type":"x.y","room":"pool:t","subscribers":3,)"
            R"("message":"Test event broadcast successfully"})");
}

TEST_F(TestEventTest, WritesTheMarksOverTheGivenData) {
  clock_.SetWall(absl::FromUnixSeconds(1'770'000'000));
  ASSERT_OK(Broadcast({.service = "",
                       .event_type = "x.y",
                       .room = "pool:t",
                       .data = R"({"test":"mine","n":1,"timestamp":null})"}));
  ASSERT_EQ(workers_[0]->envelopes.size(), 1u);
  const auto envelope = nlohmann::json::parse(workers_[0]->envelopes[0]);
  EXPECT_EQ(envelope["event"], "x.y");
  EXPECT_EQ(envelope["room"], "pool:t");
  EXPECT_EQ(envelope["data"].dump(),
            R"({"n":1,"test":true,"timestamp":"2026-02-02T02:40:00.000000+00:00"})");
}

TEST_F(TestEventTest, NumbersKeepEveryDigit) {
  ASSERT_OK(Broadcast({.service = "",
                       .event_type = "x.y",
                       .room = "pool:t",
                       .data = R"({"a":18446744073709551616,"b":[1e400,-0,1.0]})"}));
  ASSERT_EQ(workers_[0]->envelopes.size(), 1u);
  EXPECT_THAT(workers_[0]->envelopes[0],
              HasSubstr(R"("data":{"a":18446744073709551616,"b":[1e400,-0,1.0],"timestamp":)"));
}

TEST_F(TestEventTest, WhatOnlyTheServerSaysIsRefused) {
  const absl::StatusOr<std::string> answer = Broadcast(
      {.service = "mahavishnu", .event_type = "channel.skipped", .room = "r", .data = {}});
  ASSERT_OK(answer);
  EXPECT_THAT(*answer, HasSubstr("is reserved: only Fanwire itself sends it"));
  EXPECT_TRUE(workers_[0]->envelopes.empty());
}

TEST_F(TestEventTest, IsAnOrdinaryPublication) {
  ASSERT_OK(
      Broadcast({.service = "mahavishnu", .event_type = "x.y", .room = "pool:t", .data = {}}));
  HistoryRequest request;
  request.service = "mahavishnu";
  request.channel = "pool:t";
  const absl::StatusOr<HistorySlice> history = routing_->ReadHistory(request);
  ASSERT_OK(history);
  EXPECT_EQ(history->publications.size(), 1u);
  EXPECT_EQ(routing_->queries->Counts("mahavishnu").accepted, 1);
}

TEST_F(TestEventTest, WithoutSubscribersItIsStillBroadcast) {
  const absl::StatusOr<std::string> answer =
      Broadcast({.service = "akosha", .event_type = "x.y", .room = "no:body", .data = {}});
  ASSERT_OK(answer);
  EXPECT_THAT(*answer, HasSubstr(R"("status":"broadcasted")"));
  EXPECT_THAT(*answer, HasSubstr(R"("subscribers":0)"));
}

TEST_F(TestEventTest, FailuresAreToldInside) {
  const absl::StatusOr<std::string> room =
      Broadcast({.service = "mahavishnu", .event_type = "x.y", .room = "bad\nroom", .data = {}});
  ASSERT_OK(room);
  const auto told = nlohmann::json::parse(*room);
  EXPECT_EQ(told["status"], "error");
  EXPECT_EQ(told["event_type"], "x.y");
  EXPECT_EQ(told["room"], "bad\nroom");
  EXPECT_FALSE(told["error"].get<std::string>().empty());

  const absl::StatusOr<std::string> data =
      Broadcast({.service = "mahavishnu", .event_type = "x.y", .room = "r", .data = "[1]"});
  ASSERT_OK(data);
  EXPECT_EQ(
      *data,
      R"({"status":"error","error":"data: expected a JSON object","event_type":"x.y","room":"r"})");

  // Control lives on.
  const absl::StatusOr<std::string> deep = Broadcast({.service = "mahavishnu",
                                                      .event_type = "x.y",
                                                      .room = "r",
                                                      .data = std::string(1000000, '[')});
  ASSERT_OK(deep);
  EXPECT_EQ(nlohmann::json::parse(*deep)["error"], "data: nested deeper than 64");
}

TEST_F(AgentToolsTest, ATestEventWithoutAWorkerIsNotPublished) {
  const absl::StatusOr<std::string> answer =
      Broadcast({.service = "mahavishnu", .event_type = "x.y", .room = "r", .data = {}});
  ASSERT_OK(answer);
  EXPECT_EQ(*answer,
            R"({"status":"error","error":"WebSocket server not running","event_type":"x.y",)"
            R"("room":"r"})");
  EXPECT_EQ(routing_->queries->Counts("mahavishnu").accepted, 0);
}

TEST_F(AgentToolsTest, AServiceWhosePortIsNotOpenIsNoHealthyOneAndTheOthersAre) {
  FakeWorkerRegistry::Worker worker = MakeWorker("worker-0");
  v1::BoundListener* const busy = worker.info.mutable_listeners(1);  // akosha's
  busy->set_host("127.0.0.1");
  busy->set_configured_port(8692);
  busy->set_error("taken");
  registry_.Add(std::move(worker));
  EXPECT_EQ(Of(Tool::kHealthCheck, "akosha"),
            R"({"status":"error","error":"127.0.0.1:8692 is not open in worker-0: taken",)"
            R"("host":"127.0.0.1","port":8692})");
  EXPECT_EQ(Of(Tool::kGetStatus, "akosha"),
            R"({"error":"127.0.0.1:8692 is not open in worker-0: taken",)"
            R"("server":{"status":"error"},"connections":[],"rooms":{}})");
  EXPECT_THAT(Of(Tool::kHealthCheck, "mahavishnu"), HasSubstr(R"("status":"healthy")"));
  EXPECT_THAT(Of(Tool::kGetStatus, "mahavishnu"), HasSubstr(R"("status":"running")"));
}

}  // namespace
}  // namespace fanwire::control
