// Recovery: in pages while live publications come, with patterns beside it, and what can go wrong.
#include <numeric>
#include <string>
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

TEST_F(SessionRecoveryTest, OneThatTakesLongDoesNotStarveTheOthersDeadlines) {
  Configure([](v1::WorkerService* service) {
    service->mutable_limits()->set_session_backlog_bytes(16 << 10);  // pages of two
    auto* const timeout = service->mutable_limits()->mutable_recovery_timeout();
    timeout->set_seconds(0);
    timeout->set_nanos(400'000'000);
  });
  History("a", 60, 4000);
  History("b", 20, 4000);
  PairClient* const client = Welcomed();
  for (const char* channel : {"a", "b"}) client->Subscribe(channel, From(0));
  Quiet();
  // A page each 20 ms: the first takes far longer than the timeout, which is long beside a page's
  // time even on a busy machine.
  const absl::Duration began = loop_.Now();
  while (!control_->asks.empty()) {
    bool later = false;
    loop_.RunAfter(absl::Milliseconds(20), [&] { later = true; });
    ASSERT_TRUE(RunUntil([&] { return later; }));
    if (!control_->asks.empty()) Step();
  }
  EXPECT_GT(loop_.Now() - began, absl::Milliseconds(450));
  EXPECT_EQ(client->close_code, std::nullopt);
  EXPECT_EQ(client->Offsets("a"), Range(1, 60));
  EXPECT_EQ(client->Offsets("b"), Range(1, 20));
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

TEST_F(SessionRecoveryTest, WhatHasExpiredIsToldAsSkippedInItsPlace) {
  PairClient* const client = Welcomed();
  client->Subscribe("a", From(0));
  Quiet();
  SubscribeReply reply;
  reply.epoch = "e1";
  reply.offset = 5;
  reply.recovered = true;
  reply.recover_count = 5;
  const auto add = [&](int64_t offset, bool expired) {
    reply.events.push_back(
        {.offset = offset,
         .frame = expired
                      ? nullptr
                      : Frame::Text(Json{{"event", "x"}, {"room", "a"}, {"offset", offset}}.dump()),
         .event = 0,
         .exclude_connection = ""});
  };
  add(1, false);
  add(2, true);
  add(3, true);
  add(4, false);
  add(5, true);
  control_->AnswerNext(std::move(reply));
  control_->Apply();
  Quiet();
  ASSERT_THAT(client->messages, SizeIs(5));
  EXPECT_EQ(client->messages[1]["offset"], 1);
  EXPECT_EQ(client->messages[2]["event"], "channel.skipped");
  EXPECT_EQ(client->messages[2]["data"],
            (Json{{"channel", "a"}, {"from", 2}, {"to", 3}, {"reason", "expired"}}));
  EXPECT_EQ(client->messages[3]["offset"], 4);
  EXPECT_EQ(client->messages[4]["data"]["from"], 5);
}

TEST_F(SessionRecoveryTest, HistoryLostBetweenPagesIsToldAndGoesOnLive) {
  History("a", 40, 4000);
  PairClient* const client = Welcomed();
  client->Subscribe("a", From(0));
  Quiet();
  Step();
  const int64_t got = client->Offsets("a").back();
  ASSERT_THAT(control_->asks, SizeIs(1));
  control_->log("a").trimmed = 39;
  Step();
  Publish("a");
  const std::vector<Json> skipped = client->Named("channel.skipped");
  ASSERT_THAT(skipped, SizeIs(1));
  EXPECT_EQ(skipped[0]["data"],
            (Json{{"channel", "a"}, {"from", got + 1}, {"to", 40}, {"reason", "history_expired"}}));
  EXPECT_EQ(client->messages.back()["offset"], 41);
}

TEST_F(SessionRecoveryTest, ANewEpochBetweenPagesIsToldWithIt) {
  History("a", 40, 4000);
  PairClient* const client = Welcomed();
  client->Subscribe("a", From(0));
  Quiet();
  Step();
  control_->NewEpoch("a", "e2");
  History("a", 3);
  client->Clear();
  while (!control_->asks.empty()) Step();
  const std::vector<Json> skipped = client->Named("channel.skipped");
  ASSERT_THAT(skipped, SizeIs(1));
  EXPECT_EQ(
      skipped[0]["data"],
      (Json{
          {"channel", "a"}, {"from", 1}, {"to", 3}, {"reason", "epoch_changed"}, {"epoch", "e2"}}));
}

TEST_F(SessionRecoveryTest, APageThatControlRefusesIsToldAsWhatIsMissing) {
  History("a", 40, 4000);
  PairClient* const other = Subscribed("a");
  PairClient* const client = Welcomed();
  client->Subscribe("a", From(0));
  Quiet();
  Step();
  const int64_t got = client->Offsets("a").back();
  SubscribeReply refusal;
  refusal.error_code = "INTERNAL_ERROR";
  refusal.error_message = "no";
  ASSERT_THAT(control_->asks, SizeIs(1));
  control_->AnswerNext(std::move(refusal));
  control_->Apply();
  Quiet();
  Publish("a");
  const std::vector<Json> skipped = client->Named("channel.skipped");
  ASSERT_THAT(skipped, SizeIs(1));
  EXPECT_EQ(skipped[0]["data"]["from"], got + 1);
  EXPECT_EQ(skipped[0]["data"]["to"], 40);
  EXPECT_EQ(client->messages.back()["offset"], 41);
  EXPECT_THAT(other->Offsets("a"), ElementsAre(41));
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

TEST_F(SessionRecoveryTest, AnUnsubscribeEndsARecovery) {
  History("a", 60, 4000);
  PairClient* const client = Welcomed();
  client->reads = false;
  client->Subscribe("a", From(0));
  Quiet();
  Step();
  client->Unsubscribe("a");
  Quiet();
  client->reads = true;
  Quiet();
  Settle();
  Publish("a");
  EXPECT_EQ(client->messages.back()["event"], "unsubscribe");
  EXPECT_EQ(control_->interest["a"], 0);
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
