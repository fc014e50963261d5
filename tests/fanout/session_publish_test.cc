// What a client is told of what it publishes, and what control is sent, with a control that delays,
// fails and answers out of order.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "fanwire/v1/worker.pb.h"
#include "tests/fanout/session_fixture.h"

namespace fanwire::fanout {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class SessionPublishTest : public SessionFixture {
 protected:
  SessionPublishTest() {
    Configure([](v1::WorkerService* service) {
      service->mutable_limits()->set_max_client_event_bytes(100);
      v1::PublishRule* rule = service->add_publish_rules();
      rule->set_pattern("diagram:*");
      rule->add_events("diagram.updated");
      rule->add_any_of("write");
      rule->set_anonymous(true);
      rule = service->add_publish_rules();
      rule->set_pattern("cursor:*");
      rule->add_events("cursor.moved");
      rule->set_anonymous(true);
      rule->set_skip_history(true);
      rule->mutable_conflate_interval()->set_seconds(3600);
      rule->add_copies("diagram:*");
      rule = service->add_publish_rules();
      rule->set_pattern("fast:*");
      rule->add_events("cursor.moved");
      rule->set_anonymous(true);
      rule->mutable_conflate_interval()->set_nanos(20'000'000);
      v1::PublishEvent* const event = service->add_publish_events();
      event->set_name("diagram.updated");
      event->add_channels("diagram:{diagram_id}");
    });
  }

  PairClient* Local() {
    SessionStart start;
    start.loopback = true;
    return Welcomed(std::move(start));
  }

  static void Publish(PairClient* client, absl::string_view channel, absl::string_view event,
                      const Json& data, absl::string_view id, const Json& more = Json::object()) {
    Json all = more;
    all["channel"] = std::string(channel);
    all["event"] = std::string(event);
    all["data"] = data;
    client->Request("publish", all, id);
  }
  void Update(PairClient* client, int n) {
    Publish(client, "diagram:a", "diagram.updated", {{"n", n}}, absl::StrCat(n));
    Quiet();
  }
  void Move(PairClient* client, int n, absl::string_view channel = "cursor:a") {
    Publish(client, channel, "cursor.moved", {{"n", n}}, absl::StrCat(n));
    Quiet();
  }

  // Answers the request with this place among those without an answer.
  void Answer(size_t place, const RequestReply& reply) {
    const FakeControl::Requested asked = control_->requests.at(place);
    control_->requests.erase(control_->requests.begin() + static_cast<ptrdiff_t>(place));
    asked.session->OnRequestReply(asked.id, reply);
    Quiet();
  }
  static RequestReply Accepted(int offset) {
    return {.data = absl::StrCat(R"({"status":"published","offset":)", offset, "}"),
            .error_code = {},
            .error_message = {}};
  }
  static RequestReply Error(const std::string& code) {
    return {.data = {}, .error_code = code, .error_message = "why"};
  }

  std::vector<std::string> PublishedData() const {
    std::vector<std::string> data;
    for (const FakeControl::Published& one : control_->published) data.push_back(one.data);
    return data;
  }
  int64_t counted(PublishResult result) const {
    return counts().client_publications[static_cast<size_t>(result)];
  }
};

TEST_F(SessionPublishTest, ControlGetsTheEventAndTheClientItsReceipt) {
  PairClient* const client = Local();
  client->Say(R"({"type":"request","id":"p","event":"publish","data":{"channel":"diagram:a",)"
              R"("event":"diagram.updated","data":{"n": 1.50, "m":18446744073709551616}}})");
  Quiet();
  ASSERT_THAT(control_->published, SizeIs(1));
  const FakeControl::Published& sent = control_->published[0];
  EXPECT_EQ(sent.event.channel, "diagram:a");
  EXPECT_EQ(sent.event.event, "diagram.updated");
  EXPECT_EQ(sent.data, R"({"n":1.50,"m":18446744073709551616})");
  EXPECT_THAT(sent.event.copies, IsEmpty());
  EXPECT_FALSE(sent.event.skip_history);
  EXPECT_FALSE(sent.event.exclude_publisher);
  EXPECT_THAT(client->messages, IsEmpty());
  Answer(0, Accepted(7));
  const Json receipt = client->Next();
  EXPECT_EQ(receipt["type"], "response");
  EXPECT_EQ(receipt["event"], "publish");
  EXPECT_EQ(receipt["correlation_id"], "p");
  EXPECT_EQ(receipt["data"], (Json{{"status", "published"}, {"offset", 7}}));
  EXPECT_EQ(counted(PublishResult::kPublished), 1);
}

TEST_F(SessionPublishTest, WhatTheRuleAndTheClientSayGoesWithIt) {
  PairClient* const client = Local();
  Publish(client, "cursor:a", "cursor.moved", Json::object(), "1", {{"echo", false}});
  Quiet();
  ASSERT_THAT(control_->published, SizeIs(1));
  const PublishAsk& event = control_->published[0].event;
  EXPECT_TRUE(event.skip_history);
  EXPECT_TRUE(event.exclude_publisher);
  EXPECT_THAT(event.copies, ElementsAre("diagram:a"));
}

TEST_F(SessionPublishTest, EventsAreSentInTheirOrderAndAnswersMayComeInAnother) {
  PairClient* const client = Local();
  for (int n = 0; n < 3; ++n) Update(client, n);
  EXPECT_THAT(PublishedData(), ElementsAre(R"({"n":0})", R"({"n":1})", R"({"n":2})"));
  Answer(2, Accepted(3));
  Answer(0, Error("UNAVAILABLE"));
  Answer(0, Error("INVALID_REQUEST"));
  ASSERT_THAT(client->messages, SizeIs(3));
  EXPECT_EQ(client->messages[0]["correlation_id"], "2");
  EXPECT_EQ(client->messages[1]["correlation_id"], "0");
  EXPECT_EQ(client->messages[1]["error_code"], "UNAVAILABLE");
  EXPECT_EQ(client->messages[1]["error_message"], "why");
  EXPECT_EQ(client->messages[2]["correlation_id"], "1");
  EXPECT_EQ(counted(PublishResult::kPublished), 1);
  EXPECT_EQ(counted(PublishResult::kUnavailable), 1);
  EXPECT_EQ(counted(PublishResult::kInvalid), 1);
}

TEST_F(SessionPublishTest, AnEventItselfGetsNoAnswerWhateverBecomesOfIt) {
  PairClient* const client = Local();
  const auto send = [&](const Json& data) {
    client->SayJson(Json{{"type", "event"}, {"event", "diagram.updated"}, {"data", data}});
    Quiet();
  };
  send({{"diagram_id", "a"}});
  send({{"diagram_id", "b"}, {"echo", false}});
  ASSERT_THAT(control_->published, SizeIs(2));
  EXPECT_EQ(control_->published[0].event.channel, "diagram:a");
  EXPECT_FALSE(control_->published[0].event.exclude_publisher);
  EXPECT_EQ(control_->published[1].data, R"({"diagram_id":"b","echo":false})");
  EXPECT_TRUE(control_->published[1].event.exclude_publisher);
  Answer(0, Accepted(1));
  Answer(0, Error("INTERNAL_ERROR"));
  send(Json::object());                           // no channel
  send({{"channel", "other:a"}});                 // no rule
  send({{"diagram_id", std::string(100, 'x')}});  // too large
  EXPECT_THAT(client->messages, IsEmpty());
  EXPECT_EQ(counted(PublishResult::kPublished), 1);
  EXPECT_EQ(counted(PublishResult::kFailed), 1);
  EXPECT_EQ(counted(PublishResult::kInvalid), 1);
  EXPECT_EQ(counted(PublishResult::kForbidden), 1);
  EXPECT_EQ(counted(PublishResult::kTooLarge), 1);
}

TEST_F(SessionPublishTest, EventsOfNoRuleAreIgnoredAsEver) {
  PairClient* const client = Local();
  for (const char* event : {"user.joined", "cursor.moved", "no.such"}) {
    client->SayJson(Json{{"type", "event"}, {"event", event}, {"room", "cursor:a"}});
  }
  client->SayJson(Json{{"type", "event"}});
  client->SayJson(Json{{"type", "response"}, {"event", "diagram.updated"}});
  Quiet();
  EXPECT_THAT(client->messages, IsEmpty());
  EXPECT_THAT(control_->published, IsEmpty());
  for (const int64_t count : counts().client_publications) EXPECT_EQ(count, 0);
}

TEST_F(SessionPublishTest, WithoutRulesPublishIsAnUnknownRequest) {
  Configure([](v1::WorkerService* service) {
    service->clear_publish_rules();
    service->clear_publish_events();
  });
  PairClient* const client = Local();
  Update(client, 1);
  EXPECT_EQ(client->Next()["error_message"], "Unknown request event: publish");
  client->SayJson(Json{{"type", "event"},
                       {"event", "publish"},
                       {"data", {{"channel", "diagram:a"}, {"event", "diagram.updated"}}}});
  Quiet();
  EXPECT_THAT(client->messages, IsEmpty());
  EXPECT_THAT(control_->published, IsEmpty());
}

TEST_F(SessionPublishTest, WithoutATokenOnlyOverALoopbackListener) {
  PairClient* const client = Welcomed();
  Update(client, 1);
  const Json refused = client->Next();
  EXPECT_EQ(refused["error_code"], "FORBIDDEN");
  EXPECT_EQ(refused["error_message"], "Not authorized to publish diagram.updated to diagram:a");
  SessionStart writer;
  writer.identity = std::make_unique<Identity>();
  writer.identity->permissions = {"write"};
  Update(Welcomed(std::move(writer)), 2);
  EXPECT_THAT(PublishedData(), ElementsAre(R"({"n":2})"));
  SessionStart reader;
  reader.loopback = true;
  reader.identity = std::make_unique<Identity>();
  reader.identity->permissions = {"read"};
  PairClient* const other = Welcomed(std::move(reader));
  Update(other, 3);
  EXPECT_THAT(other->Errors(), ElementsAre("FORBIDDEN"));
  EXPECT_EQ(counted(PublishResult::kForbidden), 2);
}

// ------------------------------------------------------------------------------- limits

TEST_F(SessionPublishTest, OverTheRateIsRefused) {
  Configure([](v1::WorkerService* service) {
    service->mutable_limits()->set_client_publish_rate(0.01);
    service->mutable_limits()->set_client_publish_burst(2);
  });
  PairClient* const client = Local();
  for (int n = 0; n < 3; ++n) Update(client, n);
  EXPECT_THAT(control_->published, SizeIs(2));
  const Json refused = client->Next();
  EXPECT_EQ(refused["error_code"], "RATE_LIMIT_EXCEEDED");
  EXPECT_EQ(refused["correlation_id"], "2");
  EXPECT_THAT(std::string(refused["error_message"]), HasSubstr("Publish rate limit exceeded"));
  EXPECT_EQ(counted(PublishResult::kRateLimited), 1);
}

TEST_F(SessionPublishTest, SoManyAtMostWaitForControl) {
  PairClient* const client = Local();
  for (int n = 0; n < static_cast<int>(ClientRequests::kMaxRequests); ++n) Update(client, n);
  EXPECT_THAT(client->messages, IsEmpty());
  Update(client, 1000);
  EXPECT_THAT(client->Errors(), ElementsAre("LIMIT_EXCEEDED"));
  EXPECT_EQ(client->Next()["correlation_id"], "1000");
  EXPECT_EQ(counted(PublishResult::kLimited), 1);
  Answer(0, Accepted(1));
  client->Clear();
  Update(client, 1001);
  EXPECT_THAT(client->messages, IsEmpty());
}

TEST_F(SessionPublishTest, WithoutAnAnswerTheClientIsToldThatItIsNotKnown) {
  Configure([](v1::WorkerService* service) {
    service->mutable_limits()->mutable_control_wait()->set_seconds(0);
    service->mutable_limits()->mutable_control_wait()->set_nanos(5'000'000);
  });
  PairClient* const client = Local();
  Update(client, 1);
  ASSERT_TRUE(RunUntil([&] { return !client->messages.empty(); }));
  const Json answer = client->Next();
  EXPECT_EQ(answer["error_code"], "UNAVAILABLE");
  EXPECT_EQ(answer["error_message"],
            "control is out of reach: try again; the event may have been published");
  EXPECT_THAT(control_->requests, IsEmpty());
}

// ------------------------------------------------------------------------------- conflation

TEST_F(SessionPublishTest, ReplacedEventsAreAnsweredAtOnceAndTheNewestByControl) {
  PairClient* const client = Local();
  for (int n = 0; n < 4; ++n) Move(client, n);
  EXPECT_THAT(PublishedData(), ElementsAre(R"({"n":0})"));
  ASSERT_THAT(client->messages, SizeIs(2));
  for (int n : {1, 2}) {
    const Json answer = client->Next();
    EXPECT_EQ(answer["type"], "response");
    EXPECT_EQ(answer["event"], "publish");
    EXPECT_EQ(answer["correlation_id"], absl::StrCat(n));
    EXPECT_EQ(answer["data"], (Json{{"status", "conflated"}, {"channel", "cursor:a"}}));
  }
  EXPECT_EQ(counted(PublishResult::kConflated), 2);
  // An event of another name on the channel may not overtake the one that waits.
  Configure([](v1::WorkerService* service) {
    service->mutable_publish_rules(1)->add_events("cursor.left");
    service->mutable_publish_rules(1)->clear_conflate_interval();
  });
  Publish(client, "cursor:a", "cursor.left", {{"n", 4}}, "4");
  Quiet();
  EXPECT_THAT(PublishedData(), ElementsAre(R"({"n":0})", R"({"n":3})", R"({"n":4})"));
}

TEST_F(SessionPublishTest, WhenTheIntervalIsOverTheNewestIsSent) {
  PairClient* const client = Local();
  Move(client, 0, "fast:a");
  Move(client, 1, "fast:a");
  Move(client, 2, "fast:a");
  ASSERT_TRUE(
      RunUntil([&] { return !PublishedData().empty() && PublishedData().back() == R"({"n":2})"; }));
  while (!control_->requests.empty()) Answer(0, Accepted(1));
  // Whatever the machine's speed: each is answered once.
  EXPECT_THAT(client->messages, SizeIs(3));
}

TEST_F(SessionPublishTest, WhatWaitsIsSentWhenTheClientLeaves) {
  PairClient* const client = Local();
  Move(client, 0);
  Move(client, 1);
  Move(client, 2, "cursor:b");
  Move(client, 3, "cursor:b");
  client->Close();
  Quiet();
  EXPECT_THAT(PublishedData(), ElementsAre(R"({"n":0})", R"({"n":2})", R"({"n":1})", R"({"n":3})"));
  EXPECT_THAT(control_->requests, IsEmpty());
}

TEST_F(SessionPublishTest, AnAnswerThatFindsTheClientTooSlowEndsTheSession) {
  Configure([](v1::WorkerService* service) {
    service->mutable_limits()->set_session_backlog_bytes(10'000);
    service->mutable_limits()->set_max_message_bytes(10'000);
  });
  PairClient* const client = Local();
  client->reads = false;
  for (int n = 0; n < 1000 && SessionOf(client) != nullptr && SessionOf(client)->open(); ++n) {
    Publish(client, "cursor:a", "cursor.moved", {{"n", n}}, std::string(500, 'p'));
    Quiet();
  }
  client->reads = true;
  Quiet();
  EXPECT_EQ(client->close_code, 4000);
  // The newest at the end was sent all the same, and nothing waits for an answer.
  EXPECT_THAT(control_->published, SizeIs(2));
  EXPECT_THAT(control_->requests, IsEmpty());
}

TEST_F(SessionPublishTest, AGoodbyeSendsWhatWaitsAndAnswersAll) {
  PairClient* const client = Local();
  Move(client, 0);
  Move(client, 1);
  client->session->SayGoodbye(R"({"type":"event","event":"server.draining"})",
                              CloseCode::kServiceRestart, "restart");
  Quiet();
  EXPECT_THAT(PublishedData(), ElementsAre(R"({"n":0})", R"({"n":1})"));
  ASSERT_THAT(client->messages, SizeIs(3));
  for (int n : {0, 1}) {
    EXPECT_EQ(client->messages[n]["error_code"], "UNAVAILABLE");
    EXPECT_EQ(client->messages[n]["correlation_id"], absl::StrCat(n));
    EXPECT_THAT(std::string(client->messages[n]["error_message"]),
                HasSubstr("may have been published"));
  }
  EXPECT_EQ(client->close_code, 1012);
}

}  // namespace
}  // namespace fanwire::fanout
