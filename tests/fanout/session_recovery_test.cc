// Recovery: in pages while live publications come, with patterns beside it, and what can go wrong.
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "tests/fanout/session_fixture.h"

namespace fanwire::fanout {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class SessionRecoveryTest : public SessionFixture {
 protected:
  static Json From(int64_t offset, const char* epoch = "e1") {
    return {{"recover", {{"epoch", epoch}, {"offset", offset}}}};
  }

  static std::vector<int64_t> Range(int64_t from, int64_t to) {
    std::vector<int64_t> range(static_cast<size_t>(to - from + 1));
    std::iota(range.begin(), range.end(), from);
    return range;
  }

  // So many publications that nobody has got.
  void History(absl::string_view channel, int count, size_t padding = 0) {
    FakePublication publication;
    publication.padding = padding;
    for (int i = 0; i < count; ++i) control_->Publish(channel, publication);
  }

  // One answer and what it brings.
  void Step() {
    control_->AnswerNext();
    control_->Apply();
    Quiet();
  }
};

TEST_F(SessionRecoveryTest, ConfirmationThenWhatWasMissedThenLive) {
  History("a", 5);
  PairClient* const client = Welcomed();
  client->Subscribe("a", From(2));
  Settle();
  Publish("a");
  ASSERT_THAT(client->messages, SizeIs(5));
  const Json& data = client->messages[0]["data"];
  EXPECT_EQ(data["offset"], 5);
  EXPECT_EQ(data["recovered"], true);
  EXPECT_EQ(data["recovered_count"], 3);
  EXPECT_THAT(client->Offsets("a"), ElementsAre(3, 4, 5, 6));
  EXPECT_EQ(counts().recovered, 3);
  EXPECT_EQ(counts().matched, 1);  // recovered ones are counted apart
}

TEST_F(SessionRecoveryTest, WithNothingMissedItIsRecoveredWithZero) {
  History("a", 2);
  PairClient* const client = Welcomed();
  client->Subscribe("a", From(2));
  Settle();
  EXPECT_EQ(client->Next()["data"]["recovered_count"], 0);
  Publish("a");
  EXPECT_THAT(client->Offsets("a"), ElementsAre(3));
}

TEST_F(SessionRecoveryTest, WhatCannotBeRecoveredSaysWhyAndGoesOnLive) {
  History("a", 9);
  control_->log("a").trimmed = 5;
  PairClient* const client = Welcomed();
  client->Subscribe("a", From(2));
  client->Subscribe("b", From(2, "other"));
  Settle();
  const Json trimmed = client->Next(), changed = client->Next();
  EXPECT_EQ(trimmed["data"]["recovered"], false);
  EXPECT_EQ(trimmed["data"]["reason"], "history_expired");
  EXPECT_EQ(trimmed["data"]["offset"], 9);
  EXPECT_EQ(changed["data"]["reason"], "epoch_changed");
  EXPECT_EQ(changed["data"]["epoch"], "e1");
  Publish("a");
  EXPECT_THAT(client->Offsets("a"), ElementsAre(10));
}

TEST_F(SessionRecoveryTest, PagesAndLivePublicationsComeOnceAndInOrder) {
  History("a", 40, 4000);  // several pages
  PairClient* const client = Welcomed();
  PairClient* const live = Subscribed("a");
  client->Subscribe("a", From(0));
  Quiet();
  int pages = 0;
  while (!control_->asks.empty()) {
    control_->Publish("a");
    Step();
    control_->Publish("a");
    ++pages;
  }
  EXPECT_GT(pages, 3);
  control_->Apply();
  Quiet();
  const int64_t head = control_->log("a").head();
  EXPECT_EQ(client->Next()["event"], "subscribe");
  EXPECT_EQ(client->Offsets("a"), Range(1, head));
  EXPECT_EQ(live->Offsets("a"), Range(41, head));
}

TEST_F(SessionRecoveryTest, ASlowClientIsAskedForNoPageThatHasNoRoom) {
  History("a", 100, 4000);
  PairClient* const client = Welcomed();
  client->reads = false;
  client->Subscribe("a", From(0));
  Quiet();
  int pages = 0;
  while (!control_->asks.empty() && pages < 100) {
    Step();
    ++pages;
  }
  EXPECT_LT(pages, 5);
  EXPECT_LE(SessionOf(client)->Describe().backlog_bytes, 2u * (64 << 10));
  client->reads = true;
  Quiet();
  Settle();
  EXPECT_EQ(client->Offsets("a"), Range(1, 100));
}

TEST_F(SessionRecoveryTest, ARecoveryIsNotClosedForSlownessByWhatItBrings) {
  History("a", 4, 40'000);  // each alone is over half the budget
  PairClient* const client = Welcomed();
  client->reads = false;
  client->Subscribe("a", From(0));
  Quiet();
  while (!control_->asks.empty()) Step();
  EXPECT_TRUE(SessionOf(client)->active());
  client->reads = true;
  Quiet();
  Settle();
  EXPECT_THAT(client->Offsets("a"), ElementsAre(1, 2, 3, 4));
}

TEST_F(SessionRecoveryTest, WithoutProgressForLongTheSessionIsClosedAsSlow) {
  Configure([](v1::WorkerService* service) {
    auto* const timeout = service->mutable_limits()->mutable_recovery_timeout();
    timeout->set_seconds(0);
    timeout->set_nanos(20'000'000);
  });
  History("a", 100, 4000);
  PairClient* const client = Welcomed();
  client->reads = false;
  client->Subscribe("a", From(0));
  Quiet();
  while (!control_->asks.empty()) Step();
  EXPECT_TRUE(RunUntil([&] { return !SessionOf(client)->open(); }));
  client->reads = true;
  Quiet();
  EXPECT_EQ(client->close_code, 4000);
  EXPECT_EQ(control_->interest["a"], 0);
}

TEST_F(SessionRecoveryTest, WhileControlIsAwayARecoveryWaitsAndThenGoesOn) {
  Configure([](v1::WorkerService* service) {
    auto* const timeout = service->mutable_limits()->mutable_recovery_timeout();
    timeout->set_seconds(0);
    timeout->set_nanos(10'000'000);
  });
  History("a", 100, 4000);
  PairClient* const client = Welcomed();
  client->Subscribe("a", From(0));
  Quiet();
  Step();
  ASSERT_FALSE(control_->asks.empty());  // the next page, which control does not answer
  bool later = false;
  loop_.RunAfter(absl::Milliseconds(50), [&] { later = true; });
  ASSERT_TRUE(RunUntil([&] { return later; }));
  EXPECT_EQ(client->close_code, std::nullopt);
  while (!control_->asks.empty()) Step();
  EXPECT_EQ(client->Offsets("a"), Range(1, 100));
}

TEST_F(SessionRecoveryTest, AChannelNamedTwiceIsRecoveredOnceAndNothingIsLost) {
  History("a", 20, 4000);
  for (const bool recover_first : {true, false}) {
    PairClient* const client = Welcomed();
    Json recover = From(2);
    recover["channel"] = "a";
    client->Request("subscribe",
                    {{"channels", recover_first ? Json{recover, "a"} : Json{"a", recover}}});
    Quiet();
    while (!control_->asks.empty()) Step();
    Publish("a");
    const Json results = client->Next()["data"]["results"];
    ASSERT_THAT(results, SizeIs(2));
    EXPECT_EQ(results[0], results[1]);
    EXPECT_EQ(results[0]["recovered"], true);
    const int64_t head = control_->log("a").head();
    EXPECT_EQ(client->Offsets("a"), Range(3, head));
  }
}

TEST_F(SessionRecoveryTest, SeveralRecoveriesGoOneAfterTheOther) {
  for (const char* channel : {"a", "b", "c"}) History(channel, 20, 4000);
  PairClient* const client = Welcomed();
  Json channels = Json::array();
  for (const char* channel : {"a", "b", "c"}) {
    Json one = From(0);
    one["channel"] = channel;
    channels.push_back(one);
  }
  client->Request("subscribe", {{"channels", channels}});
  Quiet();
  int rounds = 0;
  while (!control_->asks.empty() && ++rounds < 100) {
    control_->Publish("b");
    Step();
  }
  control_->Apply();
  Quiet();
  const Json confirmation = client->Next();
  ASSERT_EQ(confirmation["event"], "subscribe");
  EXPECT_EQ(confirmation["data"]["results"][2]["recovered_count"], 20);
  EXPECT_EQ(client->Offsets("a"), Range(1, 20));
  EXPECT_EQ(client->Offsets("b"), Range(1, control_->log("b").head()));
  EXPECT_EQ(client->Offsets("c"), Range(1, 20));
}

TEST_F(SessionRecoveryTest, AFilterHoldsForWhatIsRecovered) {
  FakePublication x, y;
  x.event = "x";
  y.event = "y";
  control_->Publish("a", x);
  control_->Publish("a", y);
  control_->Publish("a", x);
  PairClient* const client = Welcomed();
  Json options = From(0);
  options["events"] = {"x"};
  SubscribeTo(client, "a", options);
  EXPECT_THAT(client->Offsets("a"), ElementsAre(1, 3));
}

TEST_F(SessionRecoveryTest, TheExcludedConnectionDoesNotRecoverItsOwn) {
  PairClient* const client = Welcomed();
  FakePublication own;
  own.exclude = client->id;
  control_->Publish("a");
  control_->Publish("a", own);
  control_->Publish("a");
  SubscribeTo(client, "a", From(0));
  EXPECT_THAT(client->Offsets("a"), ElementsAre(1, 3));
}

TEST_F(SessionRecoveryTest, AResubscribeWithRecoverBeginsAnewWithoutDuplicates) {
  PairClient* const client = Subscribed("a");
  client->reads = false;
  FakePublication large;
  large.padding = 4000;
  for (int i = 0; i < 12; ++i) Publish("a", large);
  client->Subscribe("a", From(12));
  Quiet();
  control_->Publish("a");
  Settle();
  control_->Publish("a");
  Settle();
  client->reads = true;
  Quiet();
  std::vector<int64_t> offsets = client->Offsets("a");
  // What was with the connection already, then what the client asked for: after 12.
  ASSERT_GE(offsets.size(), 2u);
  EXPECT_EQ(offsets[offsets.size() - 2], 13);
  EXPECT_EQ(offsets.back(), 14);
  EXPECT_LT(offsets.size(), 14u);
  for (size_t i = 1; i < offsets.size(); ++i) EXPECT_GT(offsets[i], offsets[i - 1]);
}

TEST_F(SessionRecoveryTest, APlainSubscribeDuringARecoveryLetsItGoOn) {
  History("a", 60, 4000);
  PairClient* const client = Welcomed();
  client->Subscribe("a", From(0));
  Quiet();
  Step();
  const std::vector<int64_t> before = client->Offsets("a");
  ASSERT_FALSE(before.empty());
  ASSERT_LT(before.back(), 60);
  client->Clear();
  client->Subscribe("a");
  Quiet();
  // Who counts on from this confirmation takes what still comes for new, and rightly so.
  const Json confirmation = client->Next();
  EXPECT_EQ(confirmation["status"], "subscribed");
  EXPECT_EQ(confirmation["data"]["offset"], before.back());
  Settle();
  Publish("a");
  EXPECT_EQ(client->Offsets("a"), Range(before.back() + 1, 61));
  EXPECT_EQ(counts().subscriptions, 1);
}

TEST_F(SessionRecoveryTest, APlainSubscribeDuringARecoveryBringsItsFilter) {
  History("a", 60, 4000);
  PairClient* const client = Welcomed();
  client->Subscribe("a", From(0));
  Quiet();
  Step();
  const std::vector<int64_t> before = client->Offsets("a");
  client->Subscribe("a", {{"events", {"rare"}}});
  Quiet();
  client->Clear();
  control_->Publish("a", {.event = "rare"});
  Settle();
  Publish("a");
  Publish("a", {.event = "rare"});
  // What the first page had brought before waits no longer; of the rest only the rare ones come.
  std::vector<int64_t> offsets = client->Offsets("a");
  ASSERT_GE(offsets.size(), 2u);
  EXPECT_THAT(std::vector<int64_t>(offsets.end() - 2, offsets.end()), ElementsAre(61, 63));
  EXPECT_LT(offsets.size(), 60 - before.size());
}

// ------------------------------------------------------------------------------- with patterns

TEST_F(SessionRecoveryTest, APatternBringsNothingTwiceWhileItsChannelRecovers) {
  History("w:1", 30, 4000);
  PairClient* const client = Welcomed();
  SubscribeTo(client, "w:*");
  client->Subscribe("w:1", From(0));
  Quiet();
  int rounds = 0;
  while (!control_->asks.empty() && ++rounds < 100) {
    control_->Publish("w:1");
    control_->Publish("w:2");
    control_->Apply();
    Step();
  }
  control_->Publish("w:1");
  control_->Apply();
  Quiet();
  EXPECT_EQ(client->Offsets("w:1"), Range(1, control_->log("w:1").head()));
  EXPECT_EQ(client->Offsets("w:2"), Range(1, control_->log("w:2").head()));
}

TEST_F(SessionRecoveryTest, TheSameWithAnotherSubscriptionBeside) {
  History("w:1", 30, 4000);
  PairClient* const client = Subscribed("z");
  SubscribeTo(client, "w:*");
  SubscribeTo(client, "**");
  client->Subscribe("w:1", From(0));
  Quiet();
  while (!control_->asks.empty()) {
    control_->Publish("w:1");
    control_->Apply();
    Step();
  }
  control_->Publish("w:1");
  control_->Apply();
  Quiet();
  EXPECT_EQ(client->Offsets("w:1"), Range(1, control_->log("w:1").head()));
}

// What is withheld for a recovery that ends early is told, and the pattern goes on.
class WithheldTest : public SessionRecoveryTest {
 protected:
  // A client of `w:*` that recovers `w:1`, of which the first page has come, or not even that.
  PairClient* Recovering(bool first_page) {
    History("w:1", 30, 4000);
    PairClient* const client = Welcomed();
    SubscribeTo(client, "w:*");
    Publish("w:1");  // the worker knows the channel: 31
    client->Clear();
    client->Subscribe("w:1", From(0));
    Quiet();
    if (first_page) Step();
    for (int i = 0; i < 3; ++i) control_->Publish("w:1");  // withheld: 32, 33, 34
    control_->Apply();
    Quiet();
    return client;
  }
  // One notice, up to 34; then what is live.
  void ExpectTold(PairClient* client, int64_t from) {
    const std::vector<Json> told = client->Named("channel.skipped");
    ASSERT_THAT(told, SizeIs(1));
    EXPECT_EQ(told[0]["data"]["channel"], "w:1");
    EXPECT_EQ(told[0]["data"]["from"], from);
    EXPECT_EQ(told[0]["data"]["to"], 34);
    EXPECT_EQ(told[0]["data"]["reason"], "recovery_ended");
    client->Clear();
    Publish("w:1");
    EXPECT_THAT(client->Offsets("w:1"), ElementsAre(35));
  }
};

TEST_F(WithheldTest, WhenTheClientUnsubscribes) {
  PairClient* const client = Recovering(/*first_page=*/true);
  client->Unsubscribe("w:1");
  Quiet();
  ExpectTold(client, 32);
}

TEST_F(WithheldTest, WhenControlRefusesTheSubscribe) {
  PairClient* const client = Recovering(/*first_page=*/false);
  SubscribeReply refused;
  refused.error_code = "LIMIT_EXCEEDED";
  refused.error_message = "no";
  control_->AnswerNext(std::move(refused));
  control_->Apply();
  Quiet();
  EXPECT_THAT(client->Errors(), ElementsAre("LIMIT_EXCEEDED"));
  ExpectTold(client, 32);
}

TEST_F(WithheldTest, WhenNothingCanBeRecovered) {
  PairClient* const client = Recovering(/*first_page=*/false);
  control_->log("w:1").trimmed = 5;
  Step();
  ExpectTold(client, 32);
}

TEST_F(WithheldTest, NotWhenTheRecoveryBringsIt) {
  PairClient* const client = Recovering(/*first_page=*/true);
  Settle();
  EXPECT_THAT(client->Named("channel.skipped"), IsEmpty());
  EXPECT_EQ(client->Offsets("w:1"), Range(1, 34));
}

TEST_F(WithheldTest, NotToAClientWithoutThePattern) {
  PairClient* const client = Recovering(/*first_page=*/true);
  client->Unsubscribe("w:*");
  client->Unsubscribe("w:1");
  Quiet();
  EXPECT_THAT(client->Named("channel.skipped"), IsEmpty());
}

TEST_F(SessionRecoveryTest, WhatRecoveryWillNotBringIsNotWithheld) {
  History("w:1", 30, 4000);
  PairClient* const client = Welcomed();
  SubscribeTo(client, "w:*");
  Json options = From(0);
  options["events"] = {"happened"};
  client->Subscribe("w:1", options);
  Quiet();
  Step();
  ASSERT_THAT(control_->asks, SizeIs(1));  // more pages follow
  FakePublication cursor, other;
  cursor.position = false;
  other.event = "other";  // the exact subscription does not want it, the pattern does
  control_->Publish("w:1", cursor);
  control_->Publish("w:1", other);
  control_->Apply();
  while (!control_->asks.empty()) Step();
  EXPECT_THAT(client->Named("other"), SizeIs(1));
  EXPECT_THAT(client->Numbers(), SizeIs(32));
}

}  // namespace
}  // namespace fanwire::fanout
