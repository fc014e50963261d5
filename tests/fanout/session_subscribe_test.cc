// Subscribing: confirmations and their order, filters, patterns and what overlaps, limits, errors.
#include <string>

#include "absl/strings/str_cat.h"
#include "common/proto_time.h"
#include "proto/policies.h"
#include "tests/fanout/session_fixture.h"

namespace fanwire::fanout {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class SessionSubscribeTest : public SessionFixture {
 protected:
  void WaitForControlAtMost(absl::Duration wait) {
    Configure([wait](v1::WorkerService* service) {
      SetDuration(wait, service->mutable_limits()->mutable_control_wait());
    });
  }

  FakePublication Event(const char* name) {
    FakePublication publication;
    publication.event = name;
    return publication;
  }
};

// ------------------------------------------------------------------------------- one channel

TEST_F(SessionSubscribeTest, TheConfirmationTellsThePositionAndTheNextEventFollowsIt) {
  control_->Publish("a");
  control_->Publish("a");
  PairClient* const client = Welcomed();
  client->Subscribe("a");
  Settle();
  const Json confirmation = client->Next();
  EXPECT_EQ(confirmation["type"], "response");
  EXPECT_EQ(confirmation["event"], "subscribe");
  EXPECT_EQ(confirmation["correlation_id"], "r");
  EXPECT_EQ(confirmation["status"], "subscribed");
  EXPECT_EQ(confirmation["channel"], "a");
  EXPECT_EQ(confirmation["data"],
            (Json{{"status", "subscribed"}, {"channel", "a"}, {"epoch", "e1"}, {"offset", 2}}));
  EXPECT_EQ(Publish("a"), 3);
  EXPECT_EQ(client->Next()["offset"], 3);
}

TEST_F(SessionSubscribeTest, NothingIsConfirmedBeforeControlHasAnswered) {
  PairClient* const client = Welcomed();
  client->Subscribe("a");
  Quiet();
  EXPECT_THAT(client->messages, IsEmpty());
  ASSERT_THAT(control_->asks, SizeIs(1));
  EXPECT_EQ(control_->interest["a"], 1);  // told before the ask
  Settle();
  EXPECT_THAT(client->messages, SizeIs(1));
}

TEST_F(SessionSubscribeTest, WhatIsPublishedBeforeTheCutIsNotForTheSession) {
  PairClient* const other = Subscribed("a");
  PairClient* const client = Welcomed();
  client->Subscribe("a");
  Quiet();
  control_->Publish("a");
  control_->Answer();
  control_->Publish("a");
  control_->Apply();  // all in one turn
  Quiet();
  EXPECT_EQ(client->Next()["data"]["offset"], 1);
  EXPECT_THAT(client->Offsets("a"), ElementsAre(2));
  EXPECT_THAT(other->Offsets("a"), ElementsAre(1, 2));
}

TEST_F(SessionSubscribeTest, ASecondSubscribeIsConfirmedWithoutAskingAndBringsNothingTwice) {
  PairClient* const client = Subscribed("a");
  Publish("a");
  client->Clear();
  client->Subscribe("a");
  Quiet();
  EXPECT_THAT(control_->asks, IsEmpty());
  EXPECT_EQ(client->Next()["data"]["offset"], 1);
  Publish("a");
  EXPECT_THAT(client->Offsets("a"), ElementsAre(2));
  EXPECT_EQ(counts().subscriptions, 1);
}

TEST_F(SessionSubscribeTest, APositionToldAgainCountsOnlyWhatHasBeenSent) {
  PairClient* const client = Subscribed("a");
  client->reads = false;
  FakePublication large;
  large.padding = 4000;
  for (int i = 0; i < 12; ++i) Publish("a", large);
  ASSERT_TRUE(SessionOf(client)->slow());
  client->Subscribe("a");
  Quiet();
  client->reads = true;
  Quiet();
  // Whoever counts on from the confirmation's offset misses nothing and gets nothing twice.
  int64_t last = 0;
  for (const Json& message : client->messages) {
    if (message.contains("number")) {
      EXPECT_EQ(message["offset"], last + 1);
      last = message["offset"];
    } else {
      EXPECT_EQ(message["data"]["offset"], last);
    }
  }
  EXPECT_EQ(last, 12);
}

TEST_F(SessionSubscribeTest, AfterUnsubscribeNothingComesAndInterestEnds) {
  PairClient* const client = Subscribed("a");
  client->Unsubscribe("a");
  Quiet();
  const Json answer = client->Next();
  EXPECT_EQ(answer["event"], "unsubscribe");
  EXPECT_EQ(answer["data"], (Json{{"status", "unsubscribed"}, {"channel", "a"}}));
  Publish("a");
  EXPECT_THAT(client->messages, IsEmpty());
  EXPECT_EQ(control_->interest["a"], 0);
  EXPECT_EQ(service_->FindChannel(Dialect::kCommon, "a"), nullptr);
}

TEST_F(SessionSubscribeTest, WhatWaitsOfAChannelThatWasLeftIsDropped) {
  PairClient* const client = Subscribed("a");
  client->reads = false;
  FakePublication large;
  large.padding = 4000;
  for (int i = 0; i < 14; ++i) Publish("a", large);
  client->Unsubscribe("a");
  Quiet();
  client->reads = true;
  Quiet();
  EXPECT_EQ(client->messages.back()["event"], "unsubscribe");
  const auto got = static_cast<int64_t>(client->Numbers().size());
  EXPECT_LT(got, 14);
  EXPECT_EQ(counts().written, got);
  EXPECT_EQ(dropped(DropReason::kClosing), 14 - got);
}

// ------------------------------------------------------------------------------- their order

TEST_F(SessionSubscribeTest, ConfirmationsComeInTheOrderOfTheRequests) {
  PairClient* const client = Welcomed();
  client->Request("subscribe", {{"channel", "a"}}, "1");
  client->Request("subscribe", {{"channel", "b"}}, "2");
  client->Request("unsubscribe", {{"channel", "a"}}, "3");
  client->Request("subscribe", {{"channels", {"c", "d"}}}, "4");
  client->Request("subscribe", {{"channel", ""}}, "5");
  Quiet();
  EXPECT_THAT(control_->asks, SizeIs(1));
  Settle();
  ASSERT_THAT(client->messages, SizeIs(5));
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(client->messages[i]["correlation_id"], absl::StrCat(i + 1));
  }
  EXPECT_FALSE(SessionOf(client)->SubscribesTo("a"));
  for (const char* channel : {"b", "c", "d"}) {
    EXPECT_TRUE(SessionOf(client)->SubscribesTo(channel)) << channel;
  }
}

TEST_F(SessionSubscribeTest, ManyBehindASingleOneAreSubscribedToAsWell) {
  PairClient* const client = Welcomed();
  client->Subscribe("a");
  client->Request("subscribe", {{"channels", {"b", "c"}}});
  Settle();
  ASSERT_THAT(client->messages, SizeIs(2));
  EXPECT_EQ(client->messages[1]["data"]["results"][0]["epoch"], "e1");
  client->Clear();
  Publish("b");
  EXPECT_THAT(client->Offsets("b"), ElementsAre(1));
}

TEST_F(SessionSubscribeTest, AnUnsubscribeWaitsForTheSubscribeUnderWay) {
  PairClient* const client = Welcomed();
  client->Subscribe("a");
  client->Unsubscribe("a");
  client->Subscribe("b");
  Settle();
  ASSERT_THAT(client->messages, SizeIs(3));
  EXPECT_EQ(client->messages[0]["event"], "subscribe");
  EXPECT_EQ(client->messages[1]["event"], "unsubscribe");
  EXPECT_EQ(client->messages[2]["channel"], "b");
  EXPECT_FALSE(SessionOf(client)->SubscribesTo("a"));
  EXPECT_EQ(control_->interest["a"], 0);
}

TEST_F(SessionSubscribeTest, PingAndRequestsNeedNotWaitForASubscribe) {
  PairClient* const client = Welcomed();
  client->Subscribe("a");
  client->SayJson(Json{{"type", "ping"}});
  Quiet();
  EXPECT_EQ(client->Next()["type"], "pong");
  Settle();
}

TEST_F(SessionSubscribeTest, EventsOfOtherChannelsGoOnMeanwhile) {
  PairClient* const client = Subscribed("a");
  client->Subscribe("b");
  Publish("a");
  EXPECT_THAT(client->Offsets("a"), ElementsAre(1));
  Settle();
}

// ------------------------------------------------------------------------------- many

TEST_F(SessionSubscribeTest, ManyAreAnsweredAtOnceInOrderEachWithItsOutcome) {
  control_->Publish("b");
  PairClient* const client = Welcomed();
  client->Request("subscribe", {{"channels", {"a", {{"channel", "b"}}, "", 5, "c:*"}}});
  Settle();
  ASSERT_THAT(client->messages, SizeIs(1));
  const Json answer = client->Next();
  EXPECT_EQ(answer["status"], "subscribed");
  const Json& results = answer["data"]["results"];
  ASSERT_THAT(results, SizeIs(5));
  EXPECT_EQ(results[0]["offset"], 0);
  EXPECT_EQ(results[1]["offset"], 1);
  EXPECT_EQ(results[2]["error_code"], "INVALID_CHANNEL");
  EXPECT_EQ(results[3]["error_code"], "INVALID_CHANNEL");
  EXPECT_EQ(results[4]["channel"], "c:*");
  EXPECT_FALSE(results[4].contains("offset"));
}

TEST_F(SessionSubscribeTest, TheAnswerToManyComesBeforeAnyEventOfAnyOfThem) {
  PairClient* const client = Subscribed("z");
  client->Request("subscribe", {{"channels", {"a", "b", "c"}}});
  Quiet();
  control_->AnswerNext();
  control_->Publish("a");
  control_->AnswerNext();
  control_->Publish("b");
  control_->Publish("z");
  control_->Apply();
  Quiet();
  EXPECT_THAT(client->messages, IsEmpty());  // c has no answer yet
  control_->Answer();
  control_->Publish("a");
  control_->Apply();
  Quiet();
  ASSERT_THAT(client->messages, SizeIs(5));
  EXPECT_EQ(client->messages[0]["event"], "subscribe");
  EXPECT_EQ(client->messages[0]["data"]["results"][0]["offset"], 0);
  EXPECT_THAT(client->Offsets("a"), ElementsAre(1, 2));
  EXPECT_THAT(client->Offsets("b"), ElementsAre(1));
  EXPECT_THAT(client->Offsets("z"), ElementsAre(1));
  EXPECT_THAT(client->Numbers(), ElementsAre(1, 2, 3, 4));  // none has overtaken another
}

TEST_F(SessionSubscribeTest, ManyThatAreNoListAreAnInvalidRequest) {
  PairClient* const client = Welcomed();
  client->Request("subscribe", {{"channels", "a"}});
  Quiet();
  const Json error = client->Next();
  EXPECT_EQ(error["error_code"], "INVALID_REQUEST");
  EXPECT_THAT(error["error_message"].get<std::string>(), HasSubstr("10000"));
}

TEST_F(SessionSubscribeTest, AChannelNamedTwiceIsSubscribedToOnce) {
  PairClient* const client = Welcomed();
  client->Request("subscribe", {{"channels", {"a", "a"}}});
  Settle();
  EXPECT_THAT(client->Next()["data"]["results"], SizeIs(2));
  Publish("a");
  EXPECT_THAT(client->Offsets("a"), ElementsAre(1));
  EXPECT_EQ(counts().subscriptions, 1);
}

TEST_F(SessionSubscribeTest, ManyAreLeftByOneMessage) {
  PairClient* const client = Welcomed();
  client->Request("subscribe", {{"channels", {"a", "b", "c", "d"}}});
  Settle();
  client->Clear();
  client->Request("unsubscribe", {{"channels", {"b", "never", "d"}}});
  Quiet();
  EXPECT_THAT(client->Next()["data"]["results"], SizeIs(3));
  for (const char* channel : {"a", "b", "c", "d"}) Publish(channel);
  EXPECT_THAT(client->Offsets("a"), ElementsAre(1));
  EXPECT_THAT(client->Offsets("b"), IsEmpty());
  EXPECT_THAT(client->Offsets("c"), ElementsAre(1));
  EXPECT_THAT(client->Offsets("d"), IsEmpty());
}

// ------------------------------------------------------------------------------- refusals

TEST_F(SessionSubscribeTest, ABadChannelIsRefusedWithWhatIsWrong) {
  PairClient* const client = Welcomed();
  client->Request("subscribe", Json::object());
  client->Request("subscribe", {{"channel", 5}});
  client->Subscribe("");
  client->Subscribe(std::string(257, 'a'));
  client->Subscribe(" a");
  client->Subscribe("a:**:b");
  client->Request("unsubscribe", {{"channel", "a\tb"}});
  Quiet();
  ASSERT_THAT(client->messages, SizeIs(7));
  for (const Json& error : client->messages) {
    EXPECT_EQ(error["error_code"], "INVALID_CHANNEL");
    EXPECT_EQ(error["correlation_id"], "r");
  }
  EXPECT_EQ(client->messages[0]["error_message"], "channel: a text is wanted");
  EXPECT_THAT(client->messages[3]["error_message"].get<std::string>(), HasSubstr("256"));
  EXPECT_TRUE(control_->interest.empty());
}

TEST_F(SessionSubscribeTest, OverTheLimitOfSubscriptionsEachIsRefusedByItself) {
  Configure([](v1::WorkerService* service) {
    service->mutable_limits()->set_max_channels_per_session(2);
  });
  PairClient* const client = Welcomed();
  client->Request("subscribe", {{"channels", {"a", "b", "c"}}});
  Settle();
  const Json results = client->Next()["data"]["results"];
  EXPECT_EQ(results[1]["status"], "subscribed");
  EXPECT_EQ(results[2]["error_code"], "LIMIT_EXCEEDED");
  EXPECT_EQ(results[2]["error_message"], "a session may have 2 subscriptions");
  client->Subscribe("c:*");
  client->Subscribe("a");  // is one already
  Settle();
  EXPECT_EQ(client->Next()["error_code"], "LIMIT_EXCEEDED");
  EXPECT_EQ(client->Next()["status"], "subscribed");
  client->Unsubscribe("a");
  client->Subscribe("c");
  Settle();
  client->Next();
  EXPECT_EQ(client->Next()["status"], "subscribed");
}

TEST_F(SessionSubscribeTest, ARefusalOfControlIsPassedOnAndLeavesNoInterest) {
  PairClient* const client = Welcomed();
  client->Subscribe("a");
  client->Subscribe("b:*");
  client->Request("subscribe", {{"channels", {"c"}}});
  Quiet();
  for (int i = 0; i < 3; ++i) {
    SubscribeReply refusal;
    refusal.error_code = "LIMIT_EXCEEDED";
    refusal.error_message = "too many channels";
    ASSERT_FALSE(control_->asks.empty());
    control_->AnswerNext(std::move(refusal));
    control_->Apply();
    Quiet();
  }
  ASSERT_THAT(client->messages, SizeIs(3));
  EXPECT_EQ(client->messages[0]["error_code"], "LIMIT_EXCEEDED");
  EXPECT_EQ(client->messages[0]["error_message"], "too many channels");
  EXPECT_EQ(client->messages[1]["error_code"], "LIMIT_EXCEEDED");
  EXPECT_EQ(client->messages[2]["data"]["results"][0]["error_code"], "LIMIT_EXCEEDED");
  for (const auto& [name, count] : control_->interest) EXPECT_EQ(count, 0) << name;
  EXPECT_TRUE(service_->channels(Dialect::kCommon).empty());
  EXPECT_TRUE(service_->patterns(Dialect::kCommon).empty());
}

TEST_F(SessionSubscribeTest, WithoutControlASubscribeIsUnavailableAndTheNextOneIsTried) {
  WaitForControlAtMost(absl::Milliseconds(10));
  PairClient* const client = Welcomed();
  client->Subscribe("a");
  client->Unsubscribe("z");  // waits for its turn, needs no control
  EXPECT_TRUE(RunUntil([&] { return client->messages.size() == 2; }));
  EXPECT_EQ(client->messages[0]["error_code"], "UNAVAILABLE");
  EXPECT_EQ(client->messages[1]["event"], "unsubscribe");
  EXPECT_THAT(control_->asks, IsEmpty());
  EXPECT_EQ(control_->interest["a"], 0);
  client->Clear();
  WaitForControlAtMost(absl::Seconds(30));
  SubscribeTo(client, "b");  // control is back
}

TEST_F(SessionSubscribeTest, AnAnswerThatComesTooLateIsForNobody) {
  WaitForControlAtMost(absl::Milliseconds(5));
  PairClient* const client = Welcomed();
  client->Subscribe("a");
  Quiet();
  control_->Answer();  // on its way
  EXPECT_TRUE(RunUntil([&] { return !client->messages.empty(); }));
  client->Clear();
  control_->Apply();
  Publish("a");
  EXPECT_THAT(client->messages, IsEmpty());
  EXPECT_EQ(counts().subscriptions, 0);
}

TEST_F(SessionSubscribeTest, WhoLeavesWhileSubscribingLeavesNothingBehind) {
  PairClient* const client = Welcomed();
  client->Request(
      "subscribe",
      {{"channels",
        {"a", "b:*", {{"channel", "c"}, {"recover", {{"epoch", "e1"}, {"offset", 0}}}}}}});
  Quiet();
  control_->AnswerNext();
  control_->Apply();
  client->Close();
  Quiet();
  control_->Apply();
  for (const auto& [name, count] : control_->interest) EXPECT_EQ(count, 0) << name;
  EXPECT_TRUE(service_->channels(Dialect::kCommon).empty());
  EXPECT_TRUE(service_->patterns(Dialect::kCommon).empty());
}

// ------------------------------------------------------------------------------- filters

TEST_F(SessionSubscribeTest, AFilterLetsOnlyItsEventsThrough) {
  PairClient* const filtered = Welcomed();
  SubscribeTo(filtered, "a", {{"events", {"x", "y"}}});
  PairClient* const all = Subscribed("a");
  for (const char* event : {"x", "z", "y", "other"}) Publish("a", Event(event));
  EXPECT_THAT(filtered->Offsets("a"), ElementsAre(1, 3));
  EXPECT_THAT(all->Offsets("a"), ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(counts().matched, 6);  // after filters
}

TEST_F(SessionSubscribeTest, AnEmptyListFiltersNothing) {
  PairClient* const client = Welcomed();
  SubscribeTo(client, "a", {{"events", {"y"}}});
  SubscribeTo(client, "a", {{"events", Json::array()}});
  Publish("a", Event("x"));
  EXPECT_THAT(client->Offsets("a"), ElementsAre(1));
}

TEST_F(SessionSubscribeTest, AFilterForWhatNoEventIsCalledIsRefused) {
  PairClient* const client = Welcomed();
  client->Subscribe("a", {{"events", {"*"}}});
  Quiet();
  const Json error = client->Next();
  EXPECT_EQ(error["error_code"], "INVALID_REQUEST");
  EXPECT_EQ(error["error_message"], "events: name 1: \"*\" has a '*', and no event's name can");
  EXPECT_EQ(counts().subscriptions, 0);
}

TEST_F(SessionSubscribeTest, ALaterSubscribeChangesTheFilter) {
  PairClient* const client = Welcomed();
  SubscribeTo(client, "a", {{"events", {"x"}}});
  SubscribeTo(client, "a", {{"events", {"y"}}});
  Publish("a", Event("x"));
  Publish("a", Event("y"));
  EXPECT_THAT(client->Offsets("a"), ElementsAre(2));
  SubscribeTo(client, "a");
  Publish("a", Event("x"));
  EXPECT_THAT(client->Offsets("a"), ElementsAre(2, 3));
}

TEST_F(SessionSubscribeTest, OneFilterForManyChannelsHoldsWhereNoOtherIsGiven) {
  PairClient* const client = Welcomed();
  client->Request("subscribe",
                  {{"events", {"x"}}, {"channels", {"a", {{"channel", "b"}, {"events", {"y"}}}}}});
  Settle();
  EXPECT_THAT(client->Next()["data"]["results"], SizeIs(2));
  for (const char* channel : {"a", "b"}) {
    for (const char* event : {"x", "y"}) Publish(channel, Event(event));
  }
  EXPECT_THAT(client->Offsets("a"), ElementsAre(1));
  EXPECT_THAT(client->Offsets("b"), ElementsAre(2));
}

// ------------------------------------------------------------------------------- patterns

TEST_F(SessionSubscribeTest, APatternBringsEveryChannelThatMatches) {
  PairClient* const client = Welcomed();
  SubscribeTo(client, "w:*");
  Publish("w:1");
  Publish("w:2");
  Publish("w:1:x");
  Publish("p:1");
  EXPECT_THAT(client->Offsets("w:1"), ElementsAre(1));
  EXPECT_THAT(client->Offsets("w:2"), ElementsAre(1));
  EXPECT_THAT(client->Numbers(), SizeIs(2));
}

TEST_F(SessionSubscribeTest, ARecoverOfAPatternIsToldThatThereIsNone) {
  PairClient* const client = Welcomed();
  client->Subscribe("w:*", {{"recover", {{"epoch", "e1"}, {"offset", 0}}}});
  Settle();
  const Json confirmed = client->Next();
  EXPECT_EQ(confirmed["data"]["recovered"], false);
  EXPECT_EQ(confirmed["data"]["reason"], "pattern");
  Publish("w:1");
  EXPECT_THAT(client->Offsets("w:1"), ElementsAre(1));
}

TEST_F(SessionSubscribeTest, AnEventOfSeveralSubscriptionsComesOnce) {
  PairClient* const client = Welcomed();
  for (const char* name : {"w:1", "w:*", "**", "w:**"}) SubscribeTo(client, name);
  for (int i = 0; i < 3; ++i) Publish("w:1");
  Publish("w:2");
  Publish("p");
  EXPECT_THAT(client->Offsets("w:1"), ElementsAre(1, 2, 3));
  EXPECT_THAT(client->Numbers(), ElementsAre(1, 2, 3, 4, 5));
  EXPECT_EQ(counts().matched, 5);
  client->Clear();
  client->Unsubscribe("w:1");
  client->Unsubscribe("w:*");
  Publish("w:1");
  EXPECT_THAT(client->Offsets("w:1"), ElementsAre(4));
}

TEST_F(SessionSubscribeTest, FiltersOfOverlappingSubscriptionsAreUnited) {
  PairClient* const client = Welcomed();
  SubscribeTo(client, "w:1", {{"events", {"x"}}});
  SubscribeTo(client, "w:*", {{"events", {"y"}}});
  for (const char* event : {"x", "y", "z"}) Publish("w:1", Event(event));
  EXPECT_THAT(client->Offsets("w:1"), ElementsAre(1, 2));
  SubscribeTo(client, "**");
  Publish("w:1", Event("z"));
  EXPECT_THAT(client->Offsets("w:1"), ElementsAre(1, 2, 4));
}

TEST_F(SessionSubscribeTest, WhatCameBeforeAPatternsAnswerIsNotForIt) {
  PairClient* const other = Subscribed("w:1");
  PairClient* const client = Welcomed();
  client->Subscribe("w:*");
  Quiet();
  control_->Publish("w:1");
  control_->Answer();
  control_->Publish("w:1");
  control_->Apply();
  Quiet();
  EXPECT_THAT(client->Offsets("w:1"), ElementsAre(2));
  EXPECT_THAT(other->Offsets("w:1"), ElementsAre(1, 2));
}

TEST_F(SessionSubscribeTest, LeavingAPatternForgetsItsTableAndItsChannels) {
  PairClient* const client = Welcomed();
  SubscribeTo(client, "w:*");
  Publish("w:1");
  client->Unsubscribe("w:*");
  Quiet();
  EXPECT_TRUE(service_->patterns(Dialect::kCommon).empty());
  EXPECT_TRUE(service_->channels(Dialect::kCommon).empty());
}

// ------------------------------------------------------------------------------- exclusion

TEST_F(SessionSubscribeTest, TheExcludedConnectionDoesNotGetItByAnySubscription) {
  PairClient* const publisher = Subscribed("w:1");
  SubscribeTo(publisher, "w:*");
  PairClient* const other = Subscribed("w:1");
  FakePublication own;
  own.exclude = publisher->id;
  control_->Publish("w:1");
  control_->Publish("w:1", own);
  control_->Publish("w:1");
  control_->Apply();
  Quiet();
  EXPECT_THAT(publisher->Offsets("w:1"), ElementsAre(1, 3));
  EXPECT_THAT(other->Offsets("w:1"), ElementsAre(1, 2, 3));
  EXPECT_EQ(counts().matched, 5);
}

}  // namespace
}  // namespace fanwire::fanout
