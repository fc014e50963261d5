// SubscribeQueue: what the session is told to do, in which order, and what control is asked.
#include "fanout/subscribe_queue.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "proto/channel_name.h"
#include "tests/fanout/subscribe_queue_fixture.h"

namespace fanwire::fanout {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Json = nlohmann::json;
using SubscribeQueueTest = SubscribeQueueFixture;

// ------------------------------------------------------------------------------- their order

TEST_F(SubscribeQueueTest, ASingleSubscribeIsConfirmedBeforeItsPublicationsCanCome) {
  Subscribe("a");
  EXPECT_THAT(host_.log, ElementsAre("ask a"));
  EXPECT_EQ(upstream_.interest["a"], 1);
  EXPECT_FALSE(queue_.empty());
  Answer(Granted(7));
  EXPECT_THAT(host_.log, ElementsAre("ask a", "reply s", "subscribe a"));
  EXPECT_EQ(host_.replies[0]["data"]["offset"], 7);
  EXPECT_TRUE(queue_.empty());
}

TEST_F(SubscribeQueueTest, ConfirmationsComeInTheOrderOfTheRequests) {
  Subscribe({{"channel", "a"}}, "1");
  Subscribe({{"channel", "b"}}, "2");
  Unsubscribe("a", "3");
  Subscribe({{"channel", ""}}, "4");
  EXPECT_THAT(host_.log, ElementsAre("ask a"));  // the others wait
  Answer(Granted());
  Answer(Granted());
  EXPECT_THAT(host_.log,
              ElementsAre("ask a", "reply 1", "subscribe a", "ask b", "reply 2", "subscribe b",
                          "drop a", "reply 3", "reply 4 INVALID_CHANNEL"));
}

TEST_F(SubscribeQueueTest, TheReplyToManyComesBeforeAnyPublicationOfThem) {
  Subscribe({{"channels", {"a", "b"}}});
  Answer(Granted());
  Answer(Granted());
  EXPECT_THAT(host_.log, ElementsAre("ask a", "ask b", "pause", "subscribe a", "subscribe b",
                                     "reply s", "go on"));
  EXPECT_THAT(host_.replies[0]["data"]["results"], SizeIs(2));
}

TEST_F(SubscribeQueueTest, ManyOfWhichNoneNeedsControlAreAnsweredAtOnce) {
  Subscribe({{"channels", {"", 5, "secret"}}});
  EXPECT_THAT(host_.log, ElementsAre("reply s"));
  const Json& results = host_.replies[0]["data"]["results"];
  EXPECT_EQ(results[0]["error_code"], "INVALID_CHANNEL");
  EXPECT_EQ(results[1]["error_code"], "INVALID_CHANNEL");
  EXPECT_EQ(results[2]["error_code"], "FORBIDDEN");
  Subscribe({{"channels", Json::array()}});
  EXPECT_EQ(host_.replies[1]["data"]["results"], Json::array());
}

TEST_F(SubscribeQueueTest, TooManyWaitingRequestsAreRefused) {
  for (int i = 0; i < 10'000; ++i) queue_.Add(Message("a"), Context("s"));
  EXPECT_THAT(host_.replies, IsEmpty());
  Subscribe("a");
  ASSERT_THAT(host_.replies, SizeIs(1));
  EXPECT_EQ(host_.replies[0]["error_code"], "LIMIT_EXCEEDED");
  EXPECT_EQ(host_.replies[0]["error_message"], "more than 10000 subscribes wait");
}

TEST_F(SubscribeQueueTest, RequestsThatWouldTakeTooMuchMemoryAreRefused) {
  EventFilter events;
  for (char c = 'a'; c < 'j'; ++c) events.insert(std::string(1'000'000, c));
  for (int i = 0; i < 2; ++i) {
    ClientMessage large = Message("a");
    large.channels[0].events = std::make_shared<EventFilter>(events);
    queue_.Add(std::move(large), Context("s"));
  }
  ASSERT_THAT(host_.replies, SizeIs(1));
  EXPECT_EQ(host_.replies[0]["error_code"], "LIMIT_EXCEEDED");
  EXPECT_EQ(host_.replies[0]["error_message"],
            "the subscribes that wait would take more than 16777216 bytes");
}

// ------------------------------------------------------------------------------- single requests

TEST_F(SubscribeQueueTest, OptionsThatAreMalformedAreRefused) {
  Subscribe({{"channel", "a"}, {"recover", {{"epoch", "e"}, {"offset", -1}}}});
  Subscribe({{"channel", "a"}, {"events", "started"}});
  EXPECT_THAT(host_.log, ElementsAre("reply s INVALID_REQUEST", "reply s INVALID_REQUEST"));
}

TEST_F(SubscribeQueueTest, ASecondSubscribeChangesTheFilterWithoutAskingControl) {
  Subscribed("a");
  Channel* const a = service_.FindChannel(Dialect::kCommon, "a");
  a->epoch = "e1";
  a->offset = 9;
  Subscribe({{"channel", "a"}, {"events", {"x"}}});
  EXPECT_THAT(host_.log, ElementsAre("reply s"));
  EXPECT_EQ(host_.replies[0]["data"]["offset"], 9);
  EXPECT_NE(subscriptions_.all()[0].filter, nullptr);
  EXPECT_EQ(subscriptions_.size(), 1u);
}

TEST_F(SubscribeQueueTest, APositionToldAgainCountsOnlyWhatWasSent) {
  Subscribed("a");
  Channel* const a = service_.FindChannel(Dialect::kCommon, "a");
  a->epoch = "e1";
  a->offset = 9;
  host_.first_waiting = 4;
  Subscribe("a");
  EXPECT_EQ(host_.replies[0]["data"]["offset"], 3);
}

TEST_F(SubscribeQueueTest, AnUnsubscribeFromAnUnknownChannelIsConfirmed) {
  Unsubscribe("never");
  EXPECT_THAT(host_.log, ElementsAre("reply u"));
}

TEST_F(SubscribeQueueTest, AnUnsubscribeDropsWhatWaitsUnlessAPatternMayHaveBroughtIt) {
  Subscribed("w:1");
  Subscribed("w:2");
  Unsubscribe("w:1");
  EXPECT_THAT(host_.log, ElementsAre("drop w:1", "reply u"));
  Subscribed("w:*");
  Unsubscribe("w:2");
  EXPECT_THAT(host_.log, ElementsAre("settle", "reply u"));
  Unsubscribe("w:*");
  EXPECT_TRUE(subscriptions_.empty());
}

TEST_F(SubscribeQueueTest, ARecoverOfAPatternIsToldThatThereIsNone) {
  Subscribe(From(3, "w:*"));
  ASSERT_THAT(host_.asks, SizeIs(1));
  EXPECT_FALSE(host_.asks[0].second.recover);
  Answer(SubscribeReply());
  EXPECT_THAT(host_.log, ElementsAre("ask w:*", "reply s", "subscribe w:*"));
  Subscribe(From(3, "w:*"));  // no question this time
  for (const Json& reply : host_.replies) {
    EXPECT_EQ(reply["data"], (Json{{"status", "subscribed"},
                                   {"channel", "w:*"},
                                   {"recovered", false},
                                   {"recovered_count", 0},
                                   {"reason", "pattern"}}));
  }
  EXPECT_THAT(host_.replies, SizeIs(2));
  EXPECT_FALSE(subscriptions_.recovering());
}

TEST_F(SubscribeQueueTest, AChannelNamedTwiceIsSubscribedToOnceWithTheLaterFilter) {
  Subscribe({{"channels", {"a", {{"channel", "a"}, {"events", {"x"}}}, "a"}}});
  EXPECT_THAT(host_.log, ElementsAre("ask a", "pause"));
  Answer(Granted(3));
  ASSERT_EQ(subscriptions_.size(), 1u);
  EXPECT_EQ(subscriptions_.all()[0].filter, nullptr);  // that of the last one: none
  EXPECT_EQ(upstream_.interest["a"], 1);
  const Json& results = host_.replies[0]["data"]["results"];
  ASSERT_THAT(results, SizeIs(3));
  for (const Json& result : results) EXPECT_EQ(result["offset"], 3);
}

TEST_F(SubscribeQueueTest, AChannelNamedTwiceIsRecoveredOnceWhereverThePositionStands) {
  for (const Json& channels :
       {Json{"a", From(1)}, Json{From(1), "a"}, Json{From(0), From(1), "a"}}) {
    Subscribe({{"channels", channels}});
    ASSERT_THAT(host_.asks, SizeIs(1)) << channels;
    EXPECT_TRUE(host_.asks[0].second.recover);
    EXPECT_EQ(host_.asks[0].second.offset, 1);  // the last position given
    host_.log.clear();
    Answer(Page(2, 3, 3));
    EXPECT_THAT(host_.log, ElementsAre("a 2", "a 3", "subscribe a", "reply s", "go on"));
    for (const Json& result : host_.replies.back()["data"]["results"]) {
      EXPECT_EQ(result["recovered"], true) << channels;
      EXPECT_EQ(result["recovered_count"], 2);
      EXPECT_EQ(result["offset"], 3);
    }
    EXPECT_EQ(subscriptions_.size(), 1u);
    Unsubscribe("a");
  }
}

TEST_F(SubscribeQueueTest, AnOptionThatIsMalformedRefusesOnlyItsOwnMention) {
  Subscribe({{"channels",
              {{{"channel", "a"}, {"events", {"*"}}}, "a", {{"channel", "a"}, {"recover", 7}}}}});
  Answer(Granted(3));
  const Json& results = host_.replies[0]["data"]["results"];
  EXPECT_EQ(results[0]["error_code"], "INVALID_REQUEST");
  EXPECT_EQ(results[1]["status"], "subscribed");
  EXPECT_EQ(results[2]["error_code"], "INVALID_REQUEST");
}

TEST_F(SubscribeQueueTest, WhatIsUnderWayCountsTowardsTheLimitOfSubscriptions) {
  v1::WorkerService limited;
  limited.mutable_limits()->set_max_channel_bytes(256);
  limited.mutable_limits()->set_max_channels_per_session(2);
  limited.mutable_limits()->set_session_backlog_bytes(kBudget);
  limited.mutable_limits()->mutable_control_wait()->set_seconds(5);
  service_.set_settings(std::make_shared<ServiceSettings>(limited));
  Subscribe({{"channels", {"a", From(0, "b"), "c"}}});
  EXPECT_THAT(host_.asks, SizeIs(2));
  Answer(Granted());
  Answer(Page(1, 2, 9));  // more pages follow
  EXPECT_EQ(host_.replies[0]["data"]["results"][2]["error_code"], "LIMIT_EXCEEDED");
  Subscribe("c");
  EXPECT_EQ(host_.replies[1]["error_code"], "LIMIT_EXCEEDED");
  EXPECT_EQ(host_.replies[1]["error_message"], "a session may have 2 subscriptions");
}

// ------------------------------------------------------------------------------- other permissions

TEST_F(SubscribeQueueTest, WhatIsNotAllowedAnyMoreIsLeftAndTold) {
  Subscribed("a");
  Subscribed("b");
  Subscribed("w:*");
  host_.forbidden = {"a", "w:*"};
  queue_.LeaveForbidden("changed");
  EXPECT_THAT(host_.log,
              ElementsAre("settle", "settle", "settle", "drop forbidden", "reply ", "reply "));
  ASSERT_THAT(host_.replies, SizeIs(2));
  EXPECT_EQ(host_.replies[0]["event"], "channel.unsubscribed");
  EXPECT_EQ(host_.replies[0]["room"], "a");
  EXPECT_EQ(host_.replies[0]["data"], (Json{{"channel", "a"}, {"reason", "changed"}}));
  EXPECT_EQ(host_.replies[1]["data"]["channel"], "w:*");
  ASSERT_EQ(subscriptions_.size(), 1u);
  EXPECT_EQ(subscriptions_.all()[0].name(), "b");
  host_.log.clear();
  queue_.LeaveForbidden("changed");  // nothing is left to be told
  EXPECT_THAT(host_.log, IsEmpty());
}

TEST_F(SubscribeQueueTest, ARecoveryThatIsNotAllowedAnyMoreEnds) {
  Subscribe({{"channels", {From(0, "a"), From(0, "b")}}});
  Answer(Page(1, 1, 3));
  Answer(Page(1, 1, 3));
  host_.forbidden = {"a"};
  queue_.LeaveForbidden("changed");
  EXPECT_EQ(host_.replies.back()["data"]["channel"], "a");
  EXPECT_EQ(upstream_.interest["a"], 0);
  ASSERT_THAT(host_.asks, SizeIs(2));  // the first is forgotten
  host_.asks.pop_front();
  host_.log.clear();
  Answer(Page(2, 3, 3));
  EXPECT_THAT(host_.log, ElementsAre("b 2", "b 3", "subscribe b"));
}

TEST_F(SubscribeQueueTest, ASubscribeUnderWayThatIsNotAllowedAnyMoreIsRefused) {
  Subscribe("a");
  Subscribe({{"channel", "b"}}, "later");
  host_.forbidden = {"a", "b"};
  queue_.LeaveForbidden("changed");
  EXPECT_THAT(host_.log, ElementsAre("ask a", "reply s FORBIDDEN", "reply later FORBIDDEN"));
  EXPECT_EQ(upstream_.forgotten, (std::vector<uint64_t>{1}));
  EXPECT_TRUE(queue_.empty());
}

TEST_F(SubscribeQueueTest, OfManyOnlyThoseThatAreNotAllowedAnyMoreAreRefused) {
  Subscribe({{"channels", {From(0, "a"), "b", "c", "a"}}});
  Answer(Page(1, 2, 2));  // a is subscribed to before the one reply
  host_.forbidden = {"a", "b"};
  queue_.LeaveForbidden("changed");
  EXPECT_EQ(host_.replies.back()["event"], "channel.unsubscribed");
  host_.asks.pop_front();  // that of b is forgotten
  Answer(Granted());
  const Json& results = host_.replies.back()["data"]["results"];
  ASSERT_THAT(results, SizeIs(4));
  EXPECT_EQ(results[0]["error_code"], "FORBIDDEN");
  EXPECT_EQ(results[1]["error_code"], "FORBIDDEN");
  EXPECT_EQ(results[2]["status"], "subscribed");
  EXPECT_EQ(results[3]["error_code"], "FORBIDDEN");
  EXPECT_EQ(subscriptions_.size(), 1u);
}

TEST_F(SubscribeQueueTest, ANoticeThatClosesTheSessionEndsEverything) {
  Subscribed("a");
  Subscribed("b");
  host_.forbidden = {"a", "b"};
  host_.close_at_reply = true;
  queue_.LeaveForbidden("changed");
  EXPECT_THAT(host_.replies, SizeIs(1));
  EXPECT_TRUE(queue_.empty());
}

// ------------------------------------------------------------------------------- without control

TEST_F(SubscribeQueueTest, ARefusalOfControlIsPassedOnAndLeavesNoInterest) {
  Subscribe("a");
  Answer(Refused());
  EXPECT_THAT(host_.log, ElementsAre("ask a", "reply s LIMIT_EXCEEDED"));
  EXPECT_EQ(upstream_.interest["a"], 0);
  Subscribe({{"channels", {"b"}}});
  Answer(Refused());
  EXPECT_EQ(host_.replies[1]["data"]["results"][0]["error_code"], "LIMIT_EXCEEDED");
  EXPECT_EQ(upstream_.interest["b"], 0);
}

TEST_F(SubscribeQueueTest, WhatControlDoesNotAnswerInTimeIsUnavailableAndTheNextIsTried) {
  const absl::Duration before = loop_.Now();
  Subscribe("a");
  Unsubscribe("z");
  EXPECT_GE(queue_.deadline(), before + kControlWait);
  EXPECT_LE(queue_.deadline(), loop_.Now() + kControlWait);
  EXPECT_EQ(queue_.OnDeadline(queue_.deadline() - absl::Milliseconds(1)),
            SubscribeQueue::Expiry::kHandled);
  EXPECT_THAT(host_.replies, IsEmpty());
  EXPECT_EQ(queue_.OnDeadline(queue_.deadline()), SubscribeQueue::Expiry::kHandled);
  EXPECT_THAT(host_.log, ElementsAre("ask a", "reply s UNAVAILABLE", "reply u"));
  EXPECT_THAT(upstream_.forgotten, ElementsAre(1u));
  EXPECT_EQ(upstream_.interest["a"], 0);
  EXPECT_EQ(queue_.deadline(), absl::InfiniteDuration());
}

TEST_F(SubscribeQueueTest, OfManyThatExpireTheAnsweredOnesAreKept) {
  Subscribe({{"channels", {"a", "b"}}});
  Answer(Granted());
  EXPECT_EQ(queue_.OnDeadline(queue_.deadline()), SubscribeQueue::Expiry::kHandled);
  const Json& results = host_.replies[0]["data"]["results"];
  EXPECT_EQ(results[0]["status"], "subscribed");
  EXPECT_EQ(results[1]["error_code"], "UNAVAILABLE");
  EXPECT_EQ(upstream_.interest["b"], 0);
  EXPECT_EQ(host_.log.back(), "go on");
}

TEST_F(SubscribeQueueTest, AnAnswerThatNobodyWaitsForIsIgnored) {
  queue_.OnReply(17, Granted());
  Subscribe("a");
  queue_.OnReply(17, Granted());
  EXPECT_THAT(host_.log, ElementsAre("ask a"));
}

TEST_F(SubscribeQueueTest, AReplyThatClosesTheSessionEndsEverything) {
  for (const bool refused : {false, true}) {
    for (const bool many : {false, true}) {
      SCOPED_TRACE(absl::StrCat(refused, many));
      NotingHost host(&subscriptions_);
      SubscribeQueue queue({.host = &host,
                            .subscriptions = &subscriptions_,
                            .service = &service_,
                            .upstream = &upstream_,
                            .loop = &loop_,
                            .clock = &clock_});
      host.queue = &queue;
      queue.Add(Message("a", many), Context("1"));
      queue.Add(Message("b"), Context("2"));
      host.close_at_reply = true;
      queue.OnReply(1, refused ? Refused() : Granted());
      EXPECT_TRUE(queue.empty());
      EXPECT_THAT(host.asks, SizeIs(1));  // the second was not started
      while (!subscriptions_.empty()) {   // those of many are joined before the reply
        --upstream_.interest[std::string(subscriptions_.back().name())];
        subscriptions_.Remove(&subscriptions_.back());
      }
      for (const auto& [name, count] : upstream_.interest) EXPECT_EQ(count, 0) << name;
    }
  }
}

TEST_F(SubscribeQueueTest, ASessionThatClosesWhileARequestStartsEndsEverything) {
  Subscribed("w:*");
  Subscribed("a");
  host_.close_at_settle = true;
  Request("unsubscribe", {{"channels", {"w:*", "a"}}}, "u");
  EXPECT_THAT(host_.log, ElementsAre("settle", "closed"));
  EXPECT_TRUE(queue_.empty());
}

TEST_F(SubscribeQueueTest, CancelForgetsWhatControlWasAskedAndGivesBackInterest) {
  Subscribe(From(0));
  Answer(Page(1, 2, 9));
  EXPECT_TRUE(subscriptions_.recovering());
  Subscribe({{"channels", {"b", "w:*", From(4, "c")}}});
  host_.Close();
  EXPECT_THAT(upstream_.forgotten, SizeIs(4));
  for (const auto& [name, count] : upstream_.interest) EXPECT_EQ(count, 0) << name;
  EXPECT_FALSE(subscriptions_.recovering());
}

// ------------------------------------------------------------------------------- recovery

TEST_F(SubscribeQueueTest, TheConfirmationThenAllPagesThenTheSubscription) {
  Subscribe(From(3));
  Answer(Page(4, 5, 8));
  EXPECT_THAT(host_.log,
              ElementsAre("drop a", "ask a after 3", "reply s", "a 4", "a 5", "ask a after 5"));
  const Json& data = host_.replies[0]["data"];
  EXPECT_EQ(data["recovered"], true);
  EXPECT_EQ(data["recovered_count"], 5);
  EXPECT_EQ(data["offset"], 8);
  EXPECT_TRUE(queue_.Recovers(service_.FindChannel(Dialect::kCommon, "a")));
  host_.log.clear();
  Answer(Page(6, 8, 8));
  EXPECT_THAT(host_.log, ElementsAre("a 6", "a 7", "a 8", "subscribe a"));
  EXPECT_FALSE(subscriptions_.recovering());
  EXPECT_TRUE(queue_.empty());
}

TEST_F(SubscribeQueueTest, NoPageIsAskedForWhileHalfTheBudgetWaits) {
  Subscribe(From(0));
  host_.waiting = kBudget / 2 + 1;
  Answer(Page(1, 2, 9));
  EXPECT_THAT(host_.asks, IsEmpty());
  // Not even the first page was kept: it is asked for again.
  EXPECT_THAT(host_.log, ElementsAre("drop a", "ask a after 0", "reply s"));
  host_.waiting = kBudget / 2;
  queue_.RequestNextPage();
  queue_.RequestNextPage();  // one page is under way at a time
  ASSERT_THAT(host_.asks, SizeIs(1));
  EXPECT_EQ(host_.asks[0].second.offset, 0);
  EXPECT_EQ(host_.asks[0].second.page_bytes, kBudget / 2);
}

TEST_F(SubscribeQueueTest, RecoveriesGoOneAfterTheOther) {
  Subscribe({{"channels", {From(0, "a"), From(0, "b")}}});
  EXPECT_EQ(host_.asks[0].second.page_bytes, 1u);  // the reply waits for the others
  Answer(Page(1, 1, 3));
  Answer(Page(1, 1, 3));
  host_.log.clear();
  ASSERT_THAT(host_.asks, SizeIs(1));
  Answer(Page(2, 2, 3));
  Answer(Page(3, 3, 3));
  Answer(Page(2, 3, 3));
  EXPECT_THAT(host_.log, ElementsAre("a 2", "ask a after 2", "a 3", "subscribe a", "ask b after 1",
                                     "b 2", "b 3", "subscribe b"));
}

TEST_F(SubscribeQueueTest, WhatExpiredIsToldInItsPlaceAndWhatIsNotForTheSessionIsLeftOut) {
  Subscribe(From(0));
  SubscribeReply page = Page(1, 7, 7);
  for (const size_t expired : {1, 2, 6}) page.events[expired].frame = nullptr;
  page.events[4].exclude_connection = "me";
  Answer(std::move(page));
  EXPECT_THAT(host_.log, ElementsAre("drop a", "ask a after 0", "reply s", "a 1", "notice", "a 4",
                                     "a 6", "notice", "subscribe a"));
  EXPECT_EQ(host_.notices[0],
            (Json{{"channel", "a"}, {"from", 2}, {"to", 3}, {"reason", "expired"}}));
  EXPECT_EQ(host_.notices[1]["from"], 7);
}

TEST_F(SubscribeQueueTest, WhatCannotBeRecoveredIsToldInTheConfirmationAndGoesOnLive) {
  Subscribe(From(2));
  SubscribeReply reply = Granted(9);
  reply.reason = "history_expired";
  Answer(std::move(reply));
  EXPECT_EQ(host_.replies[0]["data"]["recovered"], false);
  EXPECT_EQ(host_.replies[0]["data"]["reason"], "history_expired");
  EXPECT_EQ(host_.log.back(), "subscribe a");
}

TEST_F(SubscribeQueueTest, HistoryLostBetweenPagesIsToldAndGoesOnLive) {
  Subscribe(From(0));
  Answer(Page(1, 2, 9));
  SubscribeReply lost = Granted(12);
  Answer(std::move(lost));
  EXPECT_EQ(host_.notices[0],
            (Json{{"channel", "a"}, {"from", 3}, {"to", 12}, {"reason", "history_expired"}}));
  EXPECT_EQ(host_.log.back(), "subscribe a");
}

TEST_F(SubscribeQueueTest, ANewEpochBetweenPagesIsToldFromItsBeginning) {
  Subscribe(From(0));
  Answer(Page(1, 2, 9));
  SubscribeReply anew = Granted(3);
  anew.epoch = "e2";
  anew.reason = "epoch_changed";
  Answer(std::move(anew));
  EXPECT_EQ(
      host_.notices[0],
      (Json{
          {"channel", "a"}, {"from", 1}, {"to", 3}, {"reason", "epoch_changed"}, {"epoch", "e2"}}));
}

TEST_F(SubscribeQueueTest, APageThatControlRefusesIsToldAsWhatIsMissing) {
  Subscribe(From(0));
  Answer(Page(1, 2, 9));
  Channel* const a = service_.FindChannel(Dialect::kCommon, "a");
  a->epoch = "e1";
  a->offset = 11;
  Answer(Refused());
  EXPECT_EQ(host_.notices[0]["from"], 3);
  EXPECT_EQ(host_.notices[0]["to"], 11);
  EXPECT_EQ(host_.log.back(), "subscribe a");
}

TEST_F(SubscribeQueueTest, APlainSubscribeDuringARecoveryLetsItGoOnWithTheNewFilter) {
  Subscribe(From(0));
  Answer(Page(1, 2, 9));
  host_.log.clear();
  Subscribe({{"channel", "a"}, {"events", {"rare"}}});
  EXPECT_THAT(host_.log, ElementsAre("reply s"));
  EXPECT_EQ(host_.replies[1]["data"]["offset"], 2);
  host_.log.clear();
  Answer(Page(3, 9, 9));
  EXPECT_THAT(host_.log, ElementsAre("subscribe a"));
  EXPECT_NE(subscriptions_.all()[0].filter, nullptr);
}

TEST_F(SubscribeQueueTest, ASubscribeWithRecoverBeginsARecoveryAnew) {
  Subscribe(From(0));
  Answer(Page(1, 2, 9));
  host_.log.clear();
  Subscribe(From(7));
  EXPECT_THAT(host_.log, ElementsAre("drop a", "ask a after 7"));
  EXPECT_THAT(upstream_.forgotten, ElementsAre(2u));  // the page that was under way
  host_.asks.pop_front();
  Answer(Page(8, 9, 9));
  EXPECT_EQ(host_.log.back(), "subscribe a");
  EXPECT_EQ(upstream_.interest["a"], 1);
}

TEST_F(SubscribeQueueTest, AnUnsubscribeEndsARecovery) {
  Subscribe(From(0));
  Answer(Page(1, 2, 9));
  host_.log.clear();
  Unsubscribe("a");
  EXPECT_THAT(host_.log, ElementsAre("drop a", "reply u"));
  EXPECT_THAT(upstream_.forgotten, ElementsAre(2u));
  EXPECT_TRUE(queue_.empty());
}

TEST_F(SubscribeQueueTest, WhenARecoveryEndsEarlyTheNextOneContinues) {
  Subscribe({{"channels", {From(0, "a"), From(0, "b")}}});
  Answer(Page(1, 1, 3));
  Answer(Page(1, 1, 3));
  host_.log.clear();
  Unsubscribe("a");
  EXPECT_THAT(host_.log, ElementsAre("drop a", "ask b after 1", "reply u"));
  host_.asks.pop_front();  // that of a: control's answer would be ignored
  host_.log.clear();
  Answer(Page(2, 3, 3));
  EXPECT_THAT(host_.log, ElementsAre("b 2", "b 3", "subscribe b"));
}

TEST_F(SubscribeQueueTest, WhatAPatternWasNotLetBringIsToldIfControlDoesNotAnswer) {
  Subscribe("*");
  Answer(Granted());
  Channel* const channel = service_.FindOrMakeChannel(Dialect::kCommon, "a");
  channel->epoch = "e1";
  channel->offset = 6;
  Subscribe(From(3));
  queue_.Withhold(channel, 7);
  queue_.Withhold(channel, 8);
  channel->offset = 8;
  host_.log.clear();
  clock_.Advance(kControlWait);
  EXPECT_EQ(queue_.OnDeadline(queue_.deadline()), SubscribeQueue::Expiry::kHandled);
  EXPECT_EQ(host_.replies.back()["error_code"], "UNAVAILABLE");
  ASSERT_THAT(host_.notices, SizeIs(1));
  EXPECT_EQ(host_.notices[0],
            (Json{{"channel", "a"}, {"from", 7}, {"to", 8}, {"reason", "recovery_ended"}}));
}

TEST_F(SubscribeQueueTest, ANewEpochThatAPatternWasNotLetTellIsToldAlsoIfItHasNoEventsYet) {
  Subscribe("*");
  Answer(Granted());
  Channel* const channel = service_.FindOrMakeChannel(Dialect::kCommon, "a");
  channel->epoch = "e1";
  channel->offset = 6;
  Subscribe(From(3));
  channel->epoch = "e2";
  channel->offset = 0;
  queue_.Withhold(channel, 0);  // the notice
  clock_.Advance(kControlWait);
  EXPECT_EQ(queue_.OnDeadline(queue_.deadline()), SubscribeQueue::Expiry::kHandled);
  ASSERT_THAT(host_.notices, SizeIs(1));
  EXPECT_EQ(
      host_.notices[0],
      (Json{
          {"channel", "a"}, {"from", 0}, {"to", 0}, {"reason", "epoch_changed"}, {"epoch", "e2"}}));
}

TEST_F(SubscribeQueueTest, WhatWaitedIsCarriedOverToTheNextRecovery) {
  Subscribe("*");
  Answer(Granted());
  Channel* const channel = service_.FindOrMakeChannel(Dialect::kCommon, "a");
  channel->epoch = "e1";
  channel->offset = 6;
  Subscribe(From(3));
  Answer(Page(4, 5, 6));
  queue_.Withhold(channel, 7);
  channel->offset = 7;
  Subscribe(From(5));
  EXPECT_THAT(host_.notices, IsEmpty());
  host_.asks.pop_front();  // of the recovery that ended
  Answer(Refused());
  ASSERT_THAT(host_.notices, SizeIs(1));
  EXPECT_EQ(host_.notices[0]["from"], 7);
  EXPECT_EQ(host_.notices[0]["to"], 7);
}

TEST_F(SubscribeQueueTest, ARecoveryWithoutProgressForLongIsTold) {
  Subscribe(From(0));
  host_.waiting = kBudget;
  const absl::Duration before = loop_.Now();
  Answer(Page(1, 2, 9));
  EXPECT_GE(queue_.deadline(), before + kRecoveryTimeout);
  EXPECT_LE(queue_.deadline(), loop_.Now() + kRecoveryTimeout);
  EXPECT_EQ(queue_.OnDeadline(queue_.deadline()), SubscribeQueue::Expiry::kNoProgress);
}

TEST_F(SubscribeQueueTest, WhatLeavesOfALongPageIsProgressOfItsRecovery) {
  Subscribe(From(0));
  host_.waiting = kBudget;
  Answer(Page(1, 2, 9));
  for (int i = 0; i < 3; ++i) {
    ++host_.sent;
    const absl::Duration before = loop_.Now();
    EXPECT_EQ(queue_.OnDeadline(queue_.deadline()), SubscribeQueue::Expiry::kHandled);
    EXPECT_GE(queue_.deadline(), before + kRecoveryTimeout);
  }
  EXPECT_EQ(queue_.OnDeadline(queue_.deadline()), SubscribeQueue::Expiry::kNoProgress);
}

TEST_F(SubscribeQueueTest, ARecoveryThatWaitsForControlIsNotTheClientsFault) {
  Subscribe(From(0));
  Answer(Page(1, 2, 9));  // the client has room, so the next page is asked for
  ASSERT_THAT(host_.asks, SizeIs(1));
  EXPECT_EQ(queue_.deadline(), absl::InfiniteDuration());
  EXPECT_EQ(queue_.OnDeadline(loop_.Now() + 10 * kRecoveryTimeout),
            SubscribeQueue::Expiry::kHandled);
  // Control is back: from now on the client has to make room.
  host_.waiting = kBudget;
  Answer(Page(3, 4, 9));
  EXPECT_GE(queue_.deadline(), loop_.Now());
  EXPECT_EQ(queue_.OnDeadline(queue_.deadline()), SubscribeQueue::Expiry::kNoProgress);
}

TEST_F(SubscribeQueueTest, WhatTheClientReadsIsProgressForEveryRecovery) {
  host_.waiting = kBudget;
  Subscribe({{"channels", {From(0, "a"), From(0, "b")}}});
  Answer(Page(1, 1, 3));
  Answer(Page(1, 1, 3));
  const absl::Duration began = queue_.deadline();
  const auto turn_later = [this] {
    const absl::Duration now = loop_.Now();
    while (loop_.Now() == now) {
      loop_.Post([] {});
      loop_.RunTurn(absl::Seconds(5));
    }
  };
  turn_later();
  queue_.OnProgress();
  EXPECT_GT(queue_.deadline(), began);
  const absl::Duration read = queue_.deadline();
  turn_later();
  host_.waiting = 0;
  queue_.RequestNextPage();
  host_.waiting = kBudget;
  Answer(Page(2, 3, 3));  // the end of the first one
  EXPECT_GT(queue_.deadline(), read);
}

}  // namespace
}  // namespace fanwire::fanout
