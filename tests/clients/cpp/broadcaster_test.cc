#include <cmath>

#include "fanwire/broadcast_message.h"
#include "fanwire/catalog/excalidraw.h"
#include "fanwire/catalog/mahavishnu.h"
#include "fanwire/catalog/session_buddy.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/clients/cpp/fake_control.h"

namespace fanwire::client {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::SizeIs;

constexpr std::chrono::seconds kPatience{60};

class BroadcasterTest : public testing::Test {
 protected:
  BroadcasterTest() : publisher_({.target = control_.target()}) {}

  std::vector<v1::Event> Published() {
    EXPECT_EQ(publisher_.Flush(kPatience), Status());
    return control_.published();
  }

  FakePublishControl control_;
  Publisher publisher_;
};

TEST_F(BroadcasterTest, WritesKeysAndChannelOfTheCatalog) {
  MahavishnuBroadcaster broadcaster(&publisher_);
  ASSERT_EQ(broadcaster.WorkflowStarted("wf_1",
                                        {.prompt = "say \"hi\"\n\x01",
                                         .total_stages = 9'007'199'254'740'993,
                                         .timestamp = "2026-02-10T20:00:00+00:00",
                                         .metadata = Json("{\"a\": [1, {\"b\": \"}\"}]}")},
                                        {.id = "mine", .idempotency_key = "key"}),
            Status());
  const v1::Event event = Published().at(0);
  EXPECT_EQ(event.service(), "mahavishnu");
  EXPECT_EQ(event.channel(), "workflow:wf_1");
  EXPECT_EQ(event.event(), "workflow.started");
  EXPECT_EQ(event.id(), "mine");
  EXPECT_EQ(event.idempotency_key(), "key");
  EXPECT_EQ(event.json(),
            "{\"workflow_id\":\"wf_1\",\"prompt\":\"say \\\"hi\\\"\\n\\u0001\","
            "\"total_stages\":9007199254740993,\"timestamp\":\"2026-02-10T20:00:00+00:00\","
            "\"a\": [1, {\"b\": \"}\"}]}");
}

TEST_F(BroadcasterTest, WhatIsLeftOutIsNotWritten) {
  MahavishnuBroadcaster(&publisher_).WorkflowStageCompleted("wf_1", "plan", Json());
  EXPECT_THAT(Published().at(0).json(),
              MatchesRegex("\\{\"workflow_id\":\"wf_1\",\"stage_name\":\"plan\",\"result\":\\{\\},"
                           "\"timestamp\":\"20[0-9-]*T[0-9:]*\\.[0-9]{6}\\+00:00\"\\}"));
}

TEST_F(BroadcasterTest, AFieldGoesBeforeAFurtherKeyOfItsName) {
  MahavishnuBroadcaster(&publisher_)
      .WorkflowStarted("wf_1", {.timestamp = "t",
                                .metadata = Json(" {\"timestamp\" : [2,3] , \"x\":1,"
                                                 "\"workflow_id\":{\"y\":2}} ")});
  EXPECT_EQ(Published().at(0).json(), "{\"workflow_id\":\"wf_1\",\"timestamp\":\"t\",\"x\":1}");
}

TEST_F(BroadcasterTest, FurtherKeysAreAnObject) {
  MahavishnuBroadcaster broadcaster(&publisher_);
  for (const char* text : {"[1]", "{", "{]}", "{1}", "{\"a}", "{\"a\":[}", "x"}) {
    const Status status = broadcaster.WorkflowStarted("wf_1", {.metadata = Json(text)});
    EXPECT_EQ(status.code(), Code::kInvalidArgument) << text;
  }
  EXPECT_THAT(Published(), IsEmpty());
}

TEST_F(BroadcasterTest, WhatNamesTheChannelIsNotEmpty) {
  const Status status = MahavishnuBroadcaster(&publisher_).WorkflowStarted("");
  EXPECT_EQ(status, Status(Code::kInvalidArgument,
                           "workflow.started: workflow_id is empty, but names the channel"));
}

TEST_F(BroadcasterTest, AnIdThatBringsItsKindIsNotGivenItTwice) {
  MahavishnuBroadcaster broadcaster(&publisher_);
  ASSERT_EQ(broadcaster.PoolScaled("pool:local", 3), Status());
  ASSERT_EQ(broadcaster.PoolScaled("pools", 3), Status());
  EXPECT_THAT(broadcaster.PoolScaled("pool:", 3).message(), HasSubstr("pool_id is empty"));
  const std::vector<v1::Event> events = Published();
  ASSERT_THAT(events, SizeIs(2));
  EXPECT_EQ(events[0].channel(), "pool:local");
  EXPECT_THAT(events[0].json(), HasSubstr("\"pool_id\":\"pool:local\""));
  EXPECT_EQ(events[1].channel(), "pool:pools");
}

TEST_F(BroadcasterTest, ASecondChannelGetsACopyIfItsFieldIsThere) {
  MahavishnuBroadcaster broadcaster(&publisher_);
  int receipts = 0;
  const EventExtras extras = {.idempotency_key = "key",
                              .done = [&receipts](const Receipt&) { ++receipts; }};
  broadcaster.TeamParsed("goal", "intent", {"a", "b"}, 0.5, {.user_id = "u1"}, extras);
  broadcaster.TeamParsed("goal", "intent", {}, 1e-7);
  const std::vector<v1::Event> published = Published();
  ASSERT_THAT(published, SizeIs(3));
  EXPECT_EQ(published[0].channel(), "goal-teams");
  EXPECT_EQ(published[1].channel(), "goal-teams:u1");
  EXPECT_EQ(published[0].id(), published[1].id());
  EXPECT_EQ(published[0].json(), published[1].json());
  EXPECT_NE(published[0].idempotency_key(), published[1].idempotency_key());
  EXPECT_THAT(published[0].json(), HasSubstr("\"skills\":[\"a\",\"b\"],\"confidence\":0.5"));
  EXPECT_THAT(published[0].json(), Not(HasSubstr("user_id")));
  EXPECT_THAT(published[2].json(), HasSubstr("\"skills\":[],\"confidence\":1e-07"));
  EXPECT_EQ(receipts, 1);
}

TEST_F(BroadcasterTest, ListsOfObjectsAndNull) {
  SessionBuddyBroadcaster(&publisher_)
      .MetricsUpdate({{.skill_name = "s", .total_invocations = 3, .completion_rate = 0.25},
                      {.skill_name = "t", .avg_duration_seconds = 2}},
                     {});
  const v1::Event event = Published().at(0);
  EXPECT_EQ(event.service(), "session-buddy");
  EXPECT_EQ(event.event(), "metrics_update");
  EXPECT_EQ(event.channel(), "metrics");
  EXPECT_EQ(event.json(),
            "{\"top_skills\":[{\"skill_name\":\"s\",\"total_invocations\":3,"
            "\"completion_rate\":0.25,\"avg_duration_seconds\":null},{\"skill_name\":\"t\","
            "\"total_invocations\":0,\"completion_rate\":0,\"avg_duration_seconds\":2}],"
            "\"anomalies\":[]}");
}

TEST_F(BroadcasterTest, AnEventOfEveryChannelIsToldItsChannel) {
  ExcalidrawBroadcaster broadcaster(&publisher_);
  broadcaster.TestEvent("any:where", {.message = "m", .test = true});
  const v1::Event event = Published().at(0);
  EXPECT_EQ(event.channel(), "any:where");
  EXPECT_EQ(event.json(), "{\"message\":\"m\",\"test\":true}");
  EXPECT_EQ(broadcaster.TestEvent("").code(), Code::kInvalidArgument);
}

TEST(JsonObjectTest, NumbersThatJsonDoesNotHaveAreNull) {
  JsonObject object;
  object.Add("a", std::nan(""));
  object.Add("b", -INFINITY);
  object.Add("c", 1e300);
  object.Add("d", INT64_MIN);
  object.Add("e", UINT64_MAX);
  object.AddJsonList("f", {Json("1"), Json()}, "null");
  EXPECT_EQ(object.Text(),
            "{\"a\":null,\"b\":null,\"c\":1e+300,\"d\":-9223372036854775808,"
            "\"e\":18446744073709551615,\"f\":[1,null]}");
}

}  // namespace
}  // namespace fanwire::client
