// Sending: clients that do not read, backlog policies and their notices, the ledger, tracks.
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "proto/policies.h"
#include "tests/fanout/session_fixture.h"

namespace fanwire::fanout {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class SessionSendTest : public SessionFixture {
 protected:
  static FakePublication Large(size_t padding = 4000) {
    FakePublication publication;
    publication.padding = padding;
    return publication;
  }

  void Policy(absl::string_view channel, BacklogPolicy policy) {
    control_->log(channel).backlog = policy;
  }

  // The ranges of the client's skip notices, as "from-to reason".
  static std::vector<std::string> Skips(const PairClient& client) {
    std::vector<std::string> skips;
    for (const Json& notice : client.Named("channel.skipped")) {
      const Json& data = notice["data"];
      skips.push_back(absl::StrCat(data["from"].get<int64_t>(), "-", data["to"].get<int64_t>(), " ",
                                   data["reason"].get<std::string>()));
    }
    return skips;
  }

  // Whether the client got or was told of every offset up to `last`, in order and none twice.
  static void ExpectComplete(const PairClient& client, absl::string_view channel, int64_t last) {
    int64_t next = 1;
    for (const Json& message : client.messages) {
      if (message["room"] != std::string(channel)) continue;
      if (message["event"] == "channel.skipped") {
        EXPECT_GE(message["data"]["from"], next);
        EXPECT_GE(message["data"]["to"], message["data"]["from"]);
        next = message["data"]["to"].get<int64_t>() + 1;
      } else {
        EXPECT_EQ(message["offset"], next);
        next = message["offset"].get<int64_t>() + 1;
      }
    }
    EXPECT_EQ(next, last + 1);
  }
};

// ------------------------------------------------------------------------------- slow and quick

TEST_F(SessionSendTest, WhoKeepsUpHasNoBacklog) {
  PairClient* const client = Subscribed("a");
  for (int i = 0; i < 200; ++i) Publish("a", Large());
  EXPECT_EQ(counts().written, 200);
  EXPECT_EQ(counts().queued, 0);
  EXPECT_FALSE(SessionOf(client)->slow());
}

TEST_F(SessionSendTest, WhoPausesGetsEverythingInOrderLater) {
  PairClient* const client = Subscribed("a");
  client->reads = false;
  for (int i = 0; i < 12; ++i) Publish("a", Large());
  EXPECT_TRUE(SessionOf(client)->slow());
  EXPECT_EQ(counts().slow_sessions, 1);
  EXPECT_GT(counts().backlog_bytes, 0);
  EXPECT_GT(counts().queued, 0);
  EXPECT_EQ(LedgerError(), 0);
  client->reads = true;
  Quiet();
  ExpectComplete(*client, "a", 12);
  EXPECT_EQ(counts().written, 12);
  EXPECT_EQ(counts().slow_sessions, 0);
  Publish("a");
  ExpectComplete(*client, "a", 13);
}

TEST_F(SessionSendTest, ASlowSubscriberIsClosedAndTheOthersStillReceive) {
  PairClient* const slow = Subscribed("a");
  PairClient* const quick = Subscribed("a");
  slow->reads = false;
  for (int i = 0; i < 30; ++i) Publish("a", Large());
  ExpectComplete(*quick, "a", 30);
  EXPECT_EQ(LedgerError(), 0);
  slow->reads = true;
  Quiet();
  EXPECT_EQ(slow->close_code, 4000);
  EXPECT_EQ(slow->close_reason, "slow subscriber");
  const auto got = static_cast<int64_t>(slow->Numbers().size());
  EXPECT_EQ(counts().written, 30 + got);
  // The one that was too many is counted; what came later did not match any more.
  EXPECT_EQ(counts().matched, 30 + got + dropped(DropReason::kSlowClosed));
  EXPECT_GT(dropped(DropReason::kSlowClosed), 10);
  EXPECT_EQ(counts().lost_connection, 0);
  EXPECT_EQ(counts().queued, 0);
}

TEST_F(SessionSendTest, WhoVanishesLosesWhatWaited) {
  PairClient* const client = Subscribed("a");
  client->reads = false;
  for (int i = 0; i < 12; ++i) Publish("a", Large());
  const int64_t queued = counts().queued;
  ASSERT_GT(queued, 0);
  client->Close();
  Quiet();
  EXPECT_EQ(counts().lost_connection, queued);
  EXPECT_EQ(counts().queued, 0);
  EXPECT_EQ(LedgerError(), 0);
}

TEST_F(SessionSendTest, WhoSaysGoodbyeWithABacklogLosesWhatWaited) {
  PairClient* const client = Subscribed("a");
  client->reads = false;
  for (int i = 0; i < 12; ++i) Publish("a", Large());
  client->SendClose(1000);
  Quiet();
  EXPECT_EQ(counts().queued, 0);
  EXPECT_GT(counts().lost_connection, 0);
  EXPECT_EQ(counts().written + counts().lost_connection, 12);
}

TEST_F(SessionSendTest, RepliesToWhoDoesNotReadAreBounded) {
  Configure([](v1::WorkerService* service) {
    service->mutable_limits()->set_session_backlog_bytes(10'000);
    service->mutable_limits()->set_max_message_bytes(10'000);
  });
  PairClient* const client = Welcomed();
  client->reads = false;
  for (int i = 0; i < 1000 && SessionOf(client) != nullptr && SessionOf(client)->open(); ++i) {
    client->SayJson(Json{{"type", "ping"}, {"id", std::string(500, 'p')}});
    Quiet();
  }
  client->reads = true;
  Quiet();
  EXPECT_EQ(client->close_code, 4000);
}

// ------------------------------------------------------------------------------- policies

TEST_F(SessionSendTest, OnAPatternTheNoticeComesThoughItsChannelIsSilent) {
  Policy("w:a", BacklogPolicy::kDropOldest);
  Policy("w:b", BacklogPolicy::kDropOldest);
  PairClient* const client = Welcomed();
  SubscribeTo(client, "w:*");
  client->reads = false;
  for (int i = 0; i < 3; ++i) Publish("w:b", Large());
  for (int i = 0; i < 6; ++i) Publish("w:a", Large());
  for (int i = 0; i < 40; ++i) Publish("w:b", Large());
  client->reads = true;
  Quiet();
  Publish("w:a");
  ExpectComplete(*client, "w:a", 7);
  ExpectComplete(*client, "w:b", 43);
}

TEST_F(SessionSendTest, WhatHasTimeLeftIsSent) {
  PairClient* const client = Subscribed("a");
  FakePublication lasting;
  lasting.ttl = absl::Hours(1);
  Publish("a", lasting);
  EXPECT_THAT(client->Offsets("a"), ElementsAre(1));
}

// ------------------------------------------------------------------------------- goodbye

TEST_F(SessionSendTest, AllThatWaitsGoesOutBeforeTheGoodbye) {
  PairClient* const client = Subscribed("a");
  client->reads = false;
  for (int i = 0; i < 12; ++i) Publish("a", Large());
  SessionOf(client)->SayGoodbye(
      DrainingText(absl::ZeroDuration(), absl::Seconds(1), "deploy", absl::Now()),
      CloseCode::kServiceRestart, "deploy");
  client->reads = true;
  Quiet();
  ExpectComplete(*client, "a", 12);
  EXPECT_EQ(client->messages.back()["event"], "server.draining");
  EXPECT_EQ(client->close_code, 1012);
  EXPECT_EQ(counts().written, 12);
  EXPECT_EQ(counts().lost_connection, 0);
}

TEST_F(SessionSendTest, AGoodbyeInTheMiddleOfASubscribeLosesNothingEither) {
  PairClient* const client = Subscribed("a");
  client->Request("subscribe", {{"channels", {"b", "c"}}});
  Quiet();
  Publish("a");
  EXPECT_THAT(client->messages, IsEmpty());  // paused
  SessionOf(client)->SayGoodbye(
      DrainingText(absl::ZeroDuration(), absl::Seconds(1), "deploy", absl::Now()),
      CloseCode::kServiceRestart, "deploy");
  Quiet();
  EXPECT_THAT(client->Offsets("a"), ElementsAre(1));
  EXPECT_EQ(client->close_code, 1012);
}

TEST_F(SessionSendTest, ANoticeThatIsDueGoesOutBeforeTheGoodbye) {
  Policy("a", BacklogPolicy::kDropOldest);
  PairClient* const client = Subscribed("a");
  client->reads = false;
  for (int i = 0; i < 40; ++i) Publish("a", Large());
  SessionOf(client)->SayGoodbye("{}", CloseCode::kServiceRestart, "deploy");
  client->reads = true;
  Quiet();
  ASSERT_EQ(client->messages.back(), Json::object());
  client->messages.pop_back();
  ExpectComplete(*client, "a", 40);
}

TEST_F(SessionSendTest, AnAbortedSessionLosesWhatWaited) {
  PairClient* const client = Subscribed("a");
  client->reads = false;
  for (int i = 0; i < 12; ++i) Publish("a", Large());
  SessionOf(client)->Abort();
  Quiet();
  EXPECT_EQ(counts().queued, 0);
  EXPECT_EQ(counts().written + counts().lost_connection, 12);
}

TEST_F(SessionSendTest, HoweverASessionEndsTheLedgerAddsUp) {
  struct End {
    const char* name;
    std::function<void(PairClient*)> begin;
    bool readable = true;  // the client can still read afterwards
  };
  const std::vector<End> ends = {
      {"slow",
       [&](PairClient* client) {
         while (SessionOf(client)->open()) Publish("a", Large());
       }},
      {"gap", [&](PairClient* client) { SessionOf(client)->CloseForGap(); }},
      {"operator", [&](PairClient* client) { SessionOf(client)->Disconnect(4500, "out"); }},
      {"goodbye",
       [&](PairClient* client) {
         SessionOf(client)->SayGoodbye("{}", CloseCode::kServiceRestart, "deploy");
       }},
      {"abort", [&](PairClient* client) { SessionOf(client)->Abort(); }},
      {"vanished", [](PairClient* client) { client->Close(); }, /*readable=*/false},
      {"its own goodbye", [](PairClient* client) { client->SendClose(1000); }},
  };
  for (const End& end : ends) {
    // The close is answered after all was read, or never.
    for (const bool reads : {true, false}) {
      SCOPED_TRACE(absl::StrCat(end.name, reads ? ", read" : ", not read"));
      const ServiceCounts before = counts();
      PairClient* const client = Subscribed("a");
      client->reads = false;
      for (int i = 0; i < 12; ++i) Publish("a", Large());
      end.begin(client);
      Quiet();
      EXPECT_EQ(LedgerError(), 0);
      client->reads = reads;
      Quiet();
      EXPECT_EQ(LedgerError(), 0);
      const auto got = static_cast<int64_t>(client->Numbers().size());
      client->SendClose(1000);
      client->Close();
      Quiet();
      EXPECT_EQ(SessionOf(client), nullptr);
      EXPECT_EQ(counts().queued, 0);
      EXPECT_EQ(LedgerError(), 0);
      EXPECT_GE(counts().matched, before.matched + 12);
      // No more is called written than was handed to the kernel, and no less.
      if (reads && end.readable) {
        EXPECT_EQ(counts().written - before.written, got);
      }
    }
  }
}

TEST_F(SessionSendTest, WhatASlowClosedSessionHadIsCountedBeforeItAnswers) {
  PairClient* const slow = Subscribed("a");
  slow->reads = false;
  while (SessionOf(slow)->open()) Publish("a", Large(1000));
  // Of what the connection had only the frame that is partly out may still go.
  EXPECT_LE(counts().queued, 1);
  EXPECT_EQ(counts().backlog_bytes, 0);
  slow->reads = true;
  Quiet();
  ASSERT_NE(SessionOf(slow), nullptr);  // waits for the answer to its close
  EXPECT_EQ(counts().queued, 0);
  EXPECT_EQ(counts().written, static_cast<int64_t>(slow->Numbers().size()));
}

// ------------------------------------------------------------------------------- tracks

TEST_F(SessionSendTest, ATrackedPublicationIsReportedOnceWithWhatBecameOfIt) {
  PairClient* const quick = Subscribed("a");
  PairClient* const filtered = Welcomed();
  SubscribeTo(filtered, "a", {{"events", {"other"}}});
  PairClient* const several = Subscribed("a");
  SubscribeTo(several, "b");
  FakePublication tracked;
  tracked.track = 7;
  tracked.exclude = quick->id;
  Publish("a", tracked);
  ASSERT_THAT(reports_, SizeIs(1));
  EXPECT_TRUE(reports_[0].second);
  EXPECT_EQ(reports_[0].first.publication_id, 7u);
  EXPECT_EQ(reports_[0].first.matched, 1);
  EXPECT_EQ(reports_[0].first.written, 1);
  EXPECT_GT(reports_[0].first.first_written_us, 0);
  EXPECT_TRUE(tracks_.empty());
}

TEST_F(SessionSendTest, ATrackWithoutSubscribersEndsAtOnce) {
  PairClient* const client = Subscribed("a");
  FakePublication tracked;
  tracked.track = 7;
  control_->Publish("a", tracked);
  client->Unsubscribe("a");
  Quiet();  // before the publication is applied
  control_->log("a");
  control_->Apply();
  EXPECT_TRUE(tracks_.empty());
}

TEST_F(SessionSendTest, ATrackWaitsForTheSlowAndSettlesWithTheirEnd) {
  PairClient* const quick = Subscribed("a");
  PairClient* const slow = Subscribed("a");
  PairClient* const leaves = Subscribed("a");
  slow->reads = leaves->reads = false;
  while (!SessionOf(leaves)->slow()) Publish("a", Large());
  FakePublication tracked;
  tracked.track = 9;
  Publish("a", tracked);
  ASSERT_THAT(reports_, SizeIs(1));
  EXPECT_FALSE(reports_[0].second);
  EXPECT_EQ(reports_[0].first.matched, 3);
  EXPECT_EQ(reports_[0].first.written, 1);
  slow->reads = true;
  Quiet();
  tracks_.ReportChanges();
  ASSERT_THAT(reports_, SizeIs(2));
  EXPECT_FALSE(reports_[1].second);
  EXPECT_EQ(reports_[1].first.written, 2);
  leaves->Close();
  Quiet();
  ASSERT_THAT(reports_, SizeIs(3));
  EXPECT_TRUE(reports_[2].second);
  EXPECT_EQ(reports_[2].first.matched, 3);
  EXPECT_EQ(reports_[2].first.written, 2);
  EXPECT_EQ(reports_[2].first.lost_connection, 1);
  EXPECT_TRUE(tracks_.empty());
  EXPECT_NE(quick->session, nullptr);
}

TEST_F(SessionSendTest, TracksCountWhatASlowClosedSessionHad) {
  PairClient* const slow = Subscribed("a");
  Subscribed("a");
  slow->reads = false;
  while (!SessionOf(slow)->slow()) Publish("a", Large());
  FakePublication tracked = Large();
  for (uint64_t id = 1; id <= 30; ++id) {
    tracked.track = id;
    Publish("a", tracked);
  }
  slow->reads = true;
  Quiet();
  EXPECT_TRUE(tracks_.empty());
  int finals = 0;
  int64_t dropped = 0;
  for (const auto& [track, final] : reports_) {
    if (!final) continue;
    ++finals;
    EXPECT_EQ(track.matched, track.written + track.dropped_total());
    EXPECT_GE(track.written, 1);  // the other one's
    dropped += track.dropped[static_cast<size_t>(DropReason::kSlowClosed)];
  }
  EXPECT_EQ(finals, 30);
  EXPECT_GT(dropped, 5);
  EXPECT_LT(dropped, 30);  // it was closed on the way
}

}  // namespace
}  // namespace fanwire::fanout
