// SubscribeQueue when a subscribe asks for the state: the confirmation waits for it, and exactly
// the later publications follow.
#include <string>
#include <utility>

#include "tests/fanout/subscribe_queue_fixture.h"

namespace fanwire::fanout {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Json = nlohmann::json;

class SubscribeStateTest : public SubscribeQueueFixture {
 protected:
  static Json WithState(const char* channel = "a") {
    return {{"channel", channel}, {"state", true}};
  }
  // Control's answer; the state comes later.
  static SubscribeReply Follows(int64_t offset) {
    SubscribeReply reply = Granted(offset);
    reply.state_follows = true;
    return reply;
  }
  static RequestReply State(const char* json = R"({"n":1})") {
    return {.data = json, .error_code = {}, .error_message = {}};
  }
  static RequestReply NoState(const char* code) {
    return {.data = {}, .error_code = code, .error_message = "why"};
  }
  // What the only reply says, which must be a confirmation.
  Json Confirmed() {
    EXPECT_EQ(host_.replies.size(), 1u);
    EXPECT_EQ(host_.replies.back()["type"], "response") << host_.replies.back();
    return host_.replies.back()["data"];
  }
};

TEST_F(SubscribeStateTest, PublicationsWaitUntilTheStateIsConfirmed) {
  Subscribe(WithState());
  EXPECT_THAT(host_.log, ElementsAre("drop a", "ask a get", "pause"));
  EXPECT_EQ(host_.asks.front().second.state_data, R"({"id":"a"})");
  Answer(Follows(7));
  EXPECT_THAT(host_.log, ElementsAre("drop a", "ask a get", "pause", "drop a", "subscribe a"));
  queue_.OnState(1, State());
  EXPECT_THAT(host_.log, ElementsAre("drop a", "ask a get", "pause", "drop a", "subscribe a",
                                     "reply s", "go on"));
  EXPECT_EQ(Confirmed()["state"], Json::parse(R"({"n":1})"));
  EXPECT_EQ(Confirmed()["state_offset"], 7);
  EXPECT_EQ(Confirmed()["offset"], 7);
  EXPECT_FALSE(Confirmed().contains("state_reason"));
  EXPECT_EQ(upstream_.interest["a"], 1);
  EXPECT_THAT(upstream_.forgotten, IsEmpty());
}

TEST_F(SubscribeStateTest, AStateThatCameBeforeTheAnswerIsConfirmedAtOnce) {
  Subscribe(WithState());
  SubscribeReply reply = Granted(7);
  reply.state = State();
  Answer(std::move(reply));
  EXPECT_THAT(host_.log, ElementsAre("drop a", "ask a get", "pause", "drop a", "reply s", "go on",
                                     "subscribe a"));
  EXPECT_EQ(Confirmed()["state_offset"], 7);
}

TEST_F(SubscribeStateTest, WithoutAStateTheReasonIsTold) {
  const struct {
    const char* code;
    const char* reason;
  } cases[] = {{"LIMIT_EXCEEDED", "too_large"},
               {"EVENTS_MISSED", "events_missed"},
               {"UNAVAILABLE", "unavailable"},
               {"UNKNOWN_REQUEST", "unavailable"}};
  uint64_t ask = 0;
  for (const auto& [code, reason] : cases) {
    host_.replies.clear();
    Subscribe(WithState());
    Answer(Follows(7));
    queue_.OnState(++ask, NoState(code));
    EXPECT_TRUE(Confirmed()["state"].is_null());
    EXPECT_EQ(Confirmed()["state_reason"], reason);
    EXPECT_FALSE(Confirmed().contains("state_offset"));
  }
}

TEST_F(SubscribeStateTest, AControlThatAnswersWithoutStateIsToldAsSuch) {
  Subscribe(WithState());
  Answer(Granted(7));
  EXPECT_EQ(Confirmed()["state_reason"], "unavailable");
  EXPECT_TRUE(queue_.empty());
}

TEST_F(SubscribeStateTest, AStateThatDoesNotComeInTimeLeavesTheSubscription) {
  Subscribe(WithState());
  Answer(Follows(7));
  ASSERT_EQ(queue_.OnDeadline(loop_.Now() + kControlWait), SubscribeQueue::Expiry::kHandled);
  EXPECT_EQ(Confirmed()["state_reason"], "unavailable");
  EXPECT_EQ(subscriptions_.size(), 1u);
  EXPECT_EQ(upstream_.interest["a"], 1);
  EXPECT_THAT(upstream_.forgotten, ElementsAre(1));
  queue_.OnState(1, State());  // too late
  EXPECT_EQ(host_.replies.size(), 1u);
}

TEST_F(SubscribeStateTest, FurtherRequestsWaitForTheState) {
  Subscribe(WithState());
  Subscribe({{"channel", "b"}}, "2");
  Unsubscribe("a", "3");
  Answer(Follows(7));
  host_.log.clear();
  queue_.OnState(2, State());  // of another
  EXPECT_THAT(host_.log, IsEmpty());
  queue_.OnState(1, State());
  Answer(Granted());
  EXPECT_THAT(host_.log, ElementsAre("reply s", "go on", "ask b", "reply 2", "subscribe b",
                                     "drop a", "reply 3"));
}

TEST_F(SubscribeStateTest, ARecoveryBringsWhatLedToTheStateInstead) {
  Json request = From(3);
  request["state"] = true;
  Subscribe(request);
  EXPECT_THAT(host_.log, ElementsAre("drop a", "ask a after 3 get", "pause"));
  Answer(Page(4, 5, 5));
  EXPECT_FALSE(Confirmed().contains("state"));
  EXPECT_EQ(Confirmed()["recovered"], true);
  EXPECT_EQ(subscriptions_.size(), 1u);
}

TEST_F(SubscribeStateTest, ARecoveryThatFailsComesWithTheState) {
  Json request = From(3);
  request["state"] = true;
  Subscribe(request);
  SubscribeReply reply = Follows(9);
  reply.reason = "history_expired";
  Answer(std::move(reply));
  EXPECT_FALSE(subscriptions_.recovering());
  queue_.OnState(1, State());
  EXPECT_EQ(Confirmed()["recovered"], false);
  EXPECT_EQ(Confirmed()["reason"], "history_expired");
  EXPECT_EQ(Confirmed()["state_offset"], 9);
}

TEST_F(SubscribeStateTest, ASubscriptionThatAsksForTheStateBeginsAnew) {
  Subscribed("a");
  host_.first_waiting = 4;
  Subscribe(WithState());
  EXPECT_EQ(subscriptions_.size(), 0u);
  EXPECT_EQ(upstream_.interest["a"], 1);
  Answer(Follows(7));
  host_.first_waiting = 0;
  queue_.OnState(2, State());
  EXPECT_EQ(Confirmed()["offset"], 7);
  EXPECT_EQ(subscriptions_.size(), 1u);
}

TEST_F(SubscribeStateTest, WhatAPatternBroughtComesBeforeTheState) {
  Subscribed("*");
  host_.reads = true;
  host_.first_waiting = 4;
  service_.FindOrMakeChannel(Dialect::kCommon, "a")->offset = 7;
  host_.log.clear();
  Subscribe(WithState());
  EXPECT_THAT(host_.log, ElementsAre("ask a get", "pause"));  // nothing was dropped
  Answer(Follows(7));
  EXPECT_EQ(host_.first_waiting, 0);
  queue_.OnState(2, State());
  EXPECT_THAT(host_.log, ElementsAre("ask a get", "pause", "settle", "go on", "pause", "drop a",
                                     "subscribe a", "reply s", "go on"));
  EXPECT_THAT(host_.notices, IsEmpty());
}

TEST_F(SubscribeStateTest, WhatAPatternBroughtAndTheClientDoesNotTakeIsToldAsSkipped) {
  Subscribed("*");
  uint64_t ask = 1;
  for (const bool comes : {true, false}) {
    host_.notices.clear();
    Subscribe(WithState());
    Channel* const channel = service_.FindChannel(Dialect::kCommon, "a");
    channel->epoch = "e1";
    channel->offset = 7;
    host_.first_waiting = 5;
    Answer(Follows(7));
    host_.first_waiting = 0;
    channel->offset = 9;  // these follow the state
    queue_.OnState(++ask, comes ? State() : NoState("LIMIT_EXCEEDED"));
    ASSERT_EQ(host_.notices.size(), 1u);
    EXPECT_EQ(host_.notices.back()["from"], 5) << host_.notices.back();
    EXPECT_EQ(host_.notices.back()["to"], 7);
  }
}

TEST_F(SubscribeStateTest, ASessionMayCloseWhileItIsSentWhatAPatternBrought) {
  Subscribed("*");
  Subscribe(WithState());
  host_.close_at_go_on = true;
  Answer(Follows(7));
  EXPECT_EQ(upstream_.interest["a"], 0);
  EXPECT_THAT(upstream_.forgotten, ElementsAre(2));
}

TEST_F(SubscribeStateTest, SoItMayIfTheStateIsThere) {
  Subscribed("*");
  Subscribe(WithState());
  host_.close_at_go_on = true;
  SubscribeReply reply = Granted(7);
  reply.state = State();
  Answer(std::move(reply));
  EXPECT_EQ(upstream_.interest["a"], 0);
  EXPECT_THAT(host_.replies, IsEmpty());
}

TEST_F(SubscribeStateTest, WhatIsNotAllowedWhileTheStateIsAwaitedEnds) {
  Subscribe(WithState());
  Answer(Follows(7));
  host_.forbidden.insert("a");
  queue_.LeaveForbidden("permissions_changed");
  EXPECT_EQ(subscriptions_.size(), 0u);
  EXPECT_EQ(upstream_.interest["a"], 0);
  EXPECT_THAT(upstream_.forgotten, ElementsAre(1));
  EXPECT_EQ(host_.replies.back()["error_code"], "FORBIDDEN");
  EXPECT_TRUE(queue_.empty());
}

TEST_F(SubscribeStateTest, ASessionThatClosesForgetsTheState) {
  Subscribe(WithState());
  Answer(Follows(7));
  host_.Close();
  EXPECT_THAT(upstream_.forgotten, ElementsAre(1));
  EXPECT_EQ(upstream_.interest["a"], 1);  // of the subscription, which the session leaves
}

TEST_F(SubscribeStateTest, StateIsForOneChannelByNameThatHasOne) {
  const struct {
    Json data;
    const char* code;
    const char* text;
  } cases[] = {
      {{{"channels", {"a"}}, {"state", true}},
       nullptr,
       "state: comes with one \"channel\", not with \"channels\""},
      {{{"channels", Json::array({WithState()})}},
       nullptr,
       "state: comes with one \"channel\", not with \"channels\""},
      {WithState("a:*"), "INVALID_REQUEST",
       "state: comes with a channel by name, not with a pattern"},
      {{{"channel", "a"}, {"state", 1}}, "INVALID_REQUEST", "state: true or false is wanted"},
      {WithState("untold"), "INVALID_REQUEST", "state: no status request tells it"},
      {WithState("private"), "FORBIDDEN", "Not authorized"},
      {WithState("secret"), "FORBIDDEN", "Not authorized to subscribe to secret"}};
  for (const auto& [data, code, text] : cases) {
    Subscribe(data);
    const Json& reply = host_.replies.back();
    const Json& told = code == nullptr ? reply["data"]["results"][0] : reply;
    EXPECT_EQ(told["error_code"], code == nullptr ? "INVALID_REQUEST" : code) << reply;
    EXPECT_EQ(told["error_message"], text);
  }
  EXPECT_THAT(host_.asks, IsEmpty());
  EXPECT_TRUE(queue_.empty());
}

TEST_F(SubscribeStateTest, StateThatIsFalseOrNullIsNotAsked) {
  Subscribe({{"channel", "a"}, {"state", false}});
  Answer(Granted());
  Subscribe({{"channel", "b"}, {"state", nullptr}});
  Answer(Granted());
  EXPECT_THAT(host_.log,
              ElementsAre("ask a", "reply s", "subscribe a", "ask b", "reply s", "subscribe b"));
}

}  // namespace

}  // namespace fanwire::fanout
