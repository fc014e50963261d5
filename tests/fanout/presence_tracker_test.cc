#include "fanout/presence_tracker.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/jwt.h"
#include "common/proto_time.h"
#include "tests/fakes/fake_link.h"
#include "tests/fanout/session_fixture.h"

namespace fanwire::fanout {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

const JwtKey kPresenceKey{.id = "", .secret = "a secret of sixteen"};

class PresenceTrackerTest : public SessionFixture {
 protected:
  PresenceTrackerTest() {
    Configure([](v1::WorkerService* service) {
      service->add_presence("diagram:*");
      service->mutable_limits()->set_presence_info_bytes(64);
      service->add_keys()->set_secret(kPresenceKey.secret);
      v1::PermissionRule* const rule = service->add_permissions();
      rule->set_prefix("diagram:");
      rule->add_any_of("read");
    });
    tracker_.Review({service_.get()});
    tracker_.SendSnapshot(/*restored=*/false);
    link_.Take();
    context_.presence = &tracker_;
  }
  ~PresenceTrackerTest() override { group_ = nullptr; }  // its sessions need the tracker

  // What control was sent since the last call: "+ana0/diagram:1{info}", "-0/…", "~0/…" (may
  // return), with the user and the number of the client; and "[", "]" of a snapshot.
  std::vector<std::string> Sent() {
    std::vector<std::string> texts;
    for (const v1::WorkerItem& item : link_.Take()) {
      if (!item.has_presence()) continue;
      ++messages_;
      const v1::PresenceUpdate& update = item.presence();
      if (update.snapshot_first()) texts.emplace_back("[");
      for (const v1::PresenceChange& change : update.changes()) {
        EXPECT_EQ(change.service(), "mahavishnu");
        texts.push_back(absl::StrCat(change.left()       ? change.may_return() ? "~" : "-"
                                     : update.restored() ? "="
                                                         : "+",
                                     change.user_id(), NumberOf(change.connection_id()), "/",
                                     change.channel(), change.info()));
      }
      if (update.snapshot_last()) texts.emplace_back("]");
    }
    return texts;
  }
  size_t NumberOf(const std::string& id) const {
    for (size_t i = 0; i < clients_.size(); ++i) {
      if (clients_[i]->id == id) return i;
    }
    return 99;
  }
  static SessionStart As(const std::string& user, const std::string& info = "") {
    SessionStart start;
    start.identity = std::make_unique<Identity>(
        Identity{.user = user, .permissions = {"read"}, .info = info, .expires_at = {}});
    return start;
  }

  FakeLink link_;
  PresenceTracker tracker_{&loop_, &link_};
  int messages_ = 0;
};

TEST_F(PresenceTrackerTest, ASubscriptionByNameOfATrackedChannelIsToldAndItsEnd) {
  PairClient* const client = Welcomed(As("ana"));
  SubscribeTo(client, "diagram:1");
  EXPECT_THAT(Sent(), ElementsAre("+ana0/diagram:1"));
  client->Unsubscribe("diagram:1");
  Quiet();
  EXPECT_THAT(Sent(), ElementsAre("-0/diagram:1"));
  EXPECT_EQ(tracker_.sessions(), 0u);
}

TEST_F(PresenceTrackerTest, OtherChannelsAndPatternsAreNot) {
  PairClient* const client = Welcomed();
  SubscribeTo(client, "workflow:1");
  SubscribeTo(client, "diagram:*");
  EXPECT_THAT(Sent(), IsEmpty());
  EXPECT_EQ(tracker_.sessions(), 0u);
}

TEST_F(PresenceTrackerTest, NobodyIsAMemberBeforeControlHasAnswered) {
  PairClient* const client = Welcomed();
  client->Subscribe("diagram:1");
  Quiet();
  EXPECT_THAT(Sent(), IsEmpty());
  SubscribeReply refusal;
  refusal.error_code = "LIMIT_EXCEEDED";
  control_->AnswerNext(refusal);
  control_->Apply();
  Quiet();
  EXPECT_THAT(Sent(), IsEmpty());
}

TEST_F(PresenceTrackerTest, WhoSubscribesAgainStaysAMember) {
  control_->Publish("diagram:1");
  PairClient* const client = Subscribed("diagram:1");
  EXPECT_THAT(Sent(), ElementsAre("+0/diagram:1"));
  SubscribeTo(client, "diagram:1");
  SubscribeTo(client, "diagram:1", {{"recover", {{"epoch", "e1"}, {"offset", 0}}}});
  EXPECT_THAT(Sent(), IsEmpty());
  SubscribeTo(client, "diagram:1", {{"info", {{"n", 1}}}});
  EXPECT_THAT(Sent(), ElementsAre(R"(+0/diagram:1{"n":1})"));
  client->Unsubscribe("diagram:1");
  Quiet();
  EXPECT_THAT(Sent(), ElementsAre("-0/diagram:1"));
}

// The earlier subscription ends when the client subscribes anew with a position.
TEST_F(PresenceTrackerTest, WhoIsRefusedWhenSubscribingAgainLeaves) {
  PairClient* const client = Subscribed("diagram:1");
  Sent();
  client->Subscribe("diagram:1", {{"recover", {{"epoch", "e1"}, {"offset", 0}}}});
  Quiet();
  EXPECT_THAT(Sent(), IsEmpty());
  SubscribeReply refusal;
  refusal.error_code = "LIMIT_EXCEEDED";
  control_->AnswerNext(refusal);
  control_->Apply();
  Quiet();
  EXPECT_THAT(Sent(), ElementsAre("-0/diagram:1"));
}

TEST_F(PresenceTrackerTest, WhoSubscribesAgainWithoutAnAnswerLeaves) {
  PairClient* const client = Subscribed("diagram:1");
  Sent();
  Configure([](v1::WorkerService* service) {
    SetDuration(absl::Milliseconds(1), service->mutable_limits()->mutable_control_wait());
  });
  client->Subscribe("diagram:1", {{"recover", {{"epoch", "e1"}, {"offset", 0}}}});
  ASSERT_TRUE(RunUntil([&] { return !client->messages.empty(); }));
  EXPECT_THAT(client->Errors(), ElementsAre("UNAVAILABLE"));
  Quiet();
  EXPECT_THAT(Sent(), ElementsAre("-0/diagram:1"));
}

TEST_F(PresenceTrackerTest, ARecoveringSessionIsAMember) {
  FakePublication large;
  large.padding = 30'000;
  for (int i = 0; i < 20; ++i) control_->Publish("diagram:1", large);
  PairClient* const client = Welcomed();
  client->reads = false;
  client->Subscribe("diagram:1", {{"recover", {{"epoch", "e1"}, {"offset", 0}}}});
  Quiet();
  control_->Answer();
  control_->Apply();
  Quiet();
  EXPECT_THAT(Sent(), ElementsAre("+0/diagram:1"));
}

// ------------------------------------------------------------------------------- info and user

TEST_F(PresenceTrackerTest, TheInfoOfTheTokenCountsBeforeTheSubscribes) {
  PairClient* const token = Welcomed(As("ana", R"({"name":"Ana"})"));
  PairClient* const other = Welcomed(As("ben"));
  SubscribeTo(token, "diagram:1", {{"info", {{"name", "Mallory"}}}});
  SubscribeTo(other, "diagram:1", {{"info", {{"name", "Ben"}}}});
  EXPECT_THAT(Sent(),
              ElementsAre(R"(+ana0/diagram:1{"name":"Ana"})", R"(+ben1/diagram:1{"name":"Ben"})"));
}

TEST_F(PresenceTrackerTest, ABadInfoIsRefusedWhereItCounts) {
  PairClient* const client = Welcomed();
  const Json long_info = {{"name", std::string(60, 'x')}};
  client->Subscribe("diagram:1", {{"info", "Ana"}});
  client->Subscribe("diagram:1", {{"info", long_info}});
  Settle();
  EXPECT_EQ(client->Next()["error_message"], "info: an object is wanted");
  EXPECT_EQ(client->Next()["error_message"], "info: has 71 bytes, at most 64 allowed");
  EXPECT_THAT(Sent(), IsEmpty());
  // Elsewhere clients may have written anything.
  SubscribeTo(client, "workflow:1", {{"info", "Ana"}});
  SubscribeTo(client, "workflow:2", {{"info", long_info}});
}

TEST_F(PresenceTrackerTest, InfoOfManyChannelsHoldsForThoseWithoutTheirOwn) {
  PairClient* const client = Welcomed();
  client->Request(
      "subscribe",
      {{"info", {{"n", 1}}},
       {"channels", {"diagram:1", {{"channel", "diagram:2"}, {"info", {{"n", 2}}}}, "diagram:3"}}});
  Settle();
  EXPECT_THAT(Sent(), UnorderedElementsAre(R"(+0/diagram:1{"n":1})", R"(+0/diagram:2{"n":2})",
                                           R"(+0/diagram:3{"n":1})"));
}

TEST_F(PresenceTrackerTest, AnotherTokenIsTold) {
  PairClient* const client = Welcomed();
  SubscribeTo(client, "diagram:1", {{"info", {{"n", 1}}}});
  Sent();
  JwtClaims claims;
  claims.user = "ana";
  claims.permissions = {"read"};
  client->Request("auth", {{"token", MintJwt(claims, kPresenceKey)}});
  Quiet();
  EXPECT_THAT(Sent(), ElementsAre(R"(+ana0/diagram:1{"n":1})"));
  claims.permissions.clear();  // may not subscribe any more
  client->Request("auth", {{"token", MintJwt(claims, kPresenceKey)}});
  Quiet();
  EXPECT_THAT(Sent(), ElementsAre("-0/diagram:1"));
}

// ------------------------------------------------------------------------------- the end

TEST_F(PresenceTrackerTest, ASessionThatEndsLeavesItsChannels) {
  PairClient* const client = Subscribed("diagram:1");
  SubscribeTo(client, "diagram:2");
  Sent();
  client->Close();
  Quiet();
  EXPECT_THAT(Sent(), UnorderedElementsAre("-0/diagram:1", "-0/diagram:2"));
}

TEST_F(PresenceTrackerTest, AnOperatorsDisconnectIsALeave) {
  PairClient* const client = Subscribed("diagram:1");
  Sent();
  client->session->Disconnect(4500, "out");
  Quiet();
  EXPECT_THAT(Sent(), ElementsAre("-0/diagram:1"));
}

TEST_F(PresenceTrackerTest, WhoIsSentToAnotherWorkerMayReturn) {
  PairClient* const client = Subscribed("diagram:1");
  Sent();
  client->session->SayGoodbye("{}", CloseCode::kServiceRestart, "restart");
  Quiet();
  EXPECT_THAT(Sent(), ElementsAre("~0/diagram:1"));
}

// ------------------------------------------------------------------------------- the link

TEST_F(PresenceTrackerTest, AStormTakesFewMessages) {
  for (int i = 0; i < 200; ++i) Welcomed()->Subscribe("diagram:1");
  Settle();
  EXPECT_THAT(Sent(), SizeIs(200));
  EXPECT_LE(messages_, 10);
}

TEST_F(PresenceTrackerTest, LongUpdatesAreSplit) {
  Configure([](v1::WorkerService* service) {
    service->mutable_limits()->set_presence_info_bytes(64 << 10);
  });
  PairClient* const client = Welcomed();
  for (int i = 0; i < 20; ++i) {
    SubscribeTo(client, absl::StrCat("diagram:", i), {{"info", {{"x", std::string(60'000, 'x')}}}});
  }
  EXPECT_THAT(Sent(), SizeIs(20));
  messages_ = 0;
  tracker_.SendSnapshot(/*restored=*/true);
  const std::vector<std::string> snapshot = Sent();
  EXPECT_THAT(snapshot, SizeIs(22));
  EXPECT_EQ(snapshot.front(), "[");
  EXPECT_EQ(snapshot.back(), "]");
  for (size_t i = 1; i < 21; ++i) EXPECT_EQ(snapshot[i][0], '=') << i;
  EXPECT_GE(messages_, 4);
  EXPECT_LE(messages_, 7);
}

TEST_F(PresenceTrackerTest, TheNextAttachmentBeginsWithASnapshot) {
  PairClient* const stays = Subscribed("diagram:1");
  PairClient* const goes = Subscribed("diagram:1");
  Sent();
  link_.is_attached = false;
  tracker_.OnDetached();
  goes->Close();
  SubscribeTo(Welcomed(), "diagram:2");
  SubscribeTo(stays, "diagram:2");
  link_.is_attached = true;
  Quiet();
  EXPECT_THAT(Sent(), IsEmpty());  // it may not come before the snapshot
  tracker_.SendSnapshot(/*restored=*/false);
  const std::vector<std::string> sent = Sent();
  EXPECT_THAT(sent, UnorderedElementsAre("[", "+0/diagram:1", "+0/diagram:2", "+2/diagram:2", "]"));
  EXPECT_EQ(sent.front(), "[");
}

TEST_F(PresenceTrackerTest, WhatWaitsWhenTheLinkIsCutIsInTheSnapshot) {
  PairClient* const client = Welcomed();
  client->Subscribe("diagram:1");
  Quiet();
  control_->Answer();
  control_->Apply();  // the change waits for the next turn
  tracker_.OnDetached();
  tracker_.SendSnapshot(/*restored=*/false);
  Quiet();
  EXPECT_THAT(Sent(), ElementsAre("[", "+0/diagram:1", "]"));
}

// ------------------------------------------------------------------------------- a reload

TEST_F(PresenceTrackerTest, AReloadTracksOtherChannelsOfThoseWhoAreThere) {
  PairClient* const client = Subscribed("diagram:1");
  SubscribeTo(client, "workflow:1");
  SubscribeTo(client, "workflow:*");
  Sent();
  Configure([](v1::WorkerService* service) {
    service->clear_presence();
    service->add_presence("workflow:*");
  });
  tracker_.Review({service_.get()});
  EXPECT_THAT(Sent(), ElementsAre("[", "=0/workflow:1", "]"));
  tracker_.Review({service_.get()});
  EXPECT_THAT(Sent(), IsEmpty());  // nothing has changed
  Configure([](v1::WorkerService* service) { service->clear_presence(); });
  tracker_.Review({service_.get()});
  EXPECT_THAT(Sent(), ElementsAre("[", "]"));
  EXPECT_EQ(tracker_.sessions(), 0u);
}

}  // namespace

}  // namespace fanwire::fanout
