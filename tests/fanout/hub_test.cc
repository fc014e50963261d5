// Fan-out: slices, what a turn joins, order, and tables that change under way.
#include "fanout/hub.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "proto/policies.h"
#include "tests/fanout/session_fixture.h"

namespace fanwire::fanout {

namespace {

using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class HubTest : public SessionFixture {
 protected:
  std::vector<PairClient*> SubscribedMany(absl::string_view channel, int count) {
    std::vector<PairClient*> clients;
    for (int i = 0; i < count; ++i) clients.push_back(Subscribed(channel));
    return clients;
  }

  static std::vector<int64_t> Range(int64_t from, int64_t to) {
    std::vector<int64_t> range;
    for (int64_t i = from; i <= to; ++i) range.push_back(i);
    return range;
  }

  // How many of them have something, without a turn of the loop.
  static int64_t Served(const std::vector<PairClient*>& clients) {
    return std::count_if(clients.begin(), clients.end(), [](PairClient* client) {
      client->Pump();
      return !client->messages.empty();
    });
  }

  Channel* channel(absl::string_view name) { return service_->FindChannel(Dialect::kCommon, name); }
};

// ------------------------------------------------------------------------------- slices

TEST_F(HubTest, AShortFanOutIsOverInItsTurn) {
  const std::vector<PairClient*> clients = SubscribedMany("a", 10);
  control_->Publish("a");
  control_->Apply();
  EXPECT_EQ(hub_.pending_bytes(), 0u);
  EXPECT_EQ(Served(clients), 10);
}

TEST_F(HubTest, ALongFanOutGoesOnByItselfTurnAfterTurn) {
  hub_.set_slice(4);
  const std::vector<PairClient*> clients = SubscribedMany("a", 30);
  control_->Publish("a");
  control_->Apply();
  EXPECT_EQ(Served(clients), 4);
  EXPECT_GT(hub_.pending_bytes(), 0u);
  Quiet();
  EXPECT_EQ(hub_.pending_bytes(), 0u);
  for (const PairClient* client : clients) EXPECT_THAT(client->Offsets("a"), ElementsAre(1));
  EXPECT_EQ(counts().matched, 30);
  EXPECT_EQ(counts().written, 30);
}

TEST_F(HubTest, AHugeChannelDoesNotHoldUpASmallOne) {
  hub_.set_slice(4);
  const std::vector<PairClient*> big = SubscribedMany("big", 30);
  PairClient* const small = Subscribed("small");
  for (int i = 0; i < 3; ++i) control_->Publish("big");
  control_->Publish("small");
  control_->Apply();
  small->Pump();
  EXPECT_THAT(small->Offsets("small"), ElementsAre(1));
  EXPECT_LT(Served(big), 30);
  Quiet();
  for (const PairClient* client : big) EXPECT_EQ(client->Offsets("big"), Range(1, 3));
}

TEST_F(HubTest, ChannelsThatTakeLongShareTheTurns) {
  hub_.set_slice(4);
  const std::vector<PairClient*> a = SubscribedMany("a", 20);
  const std::vector<PairClient*> b = SubscribedMany("b", 20);
  control_->Publish("a");
  control_->Publish("b");
  control_->Apply();
  EXPECT_EQ(Served(a), 2);
  EXPECT_EQ(Served(b), 2);
  Quiet();
  EXPECT_EQ(Served(a) + Served(b), 40);
}

TEST_F(HubTest, ASliceEndsWhenItsTimeIsOver) {
  const std::vector<PairClient*> clients = SubscribedMany("a", 100);
  slice_clock_.step = absl::Milliseconds(1);
  hub_.set_slice(1000, absl::Milliseconds(2));
  control_->Publish("a");
  control_->Apply();
  const int64_t served = Served(clients);
  EXPECT_GT(served, 0);
  EXPECT_LT(served, 100);
  Quiet();
  for (const PairClient* client : clients) EXPECT_THAT(client->Offsets("a"), ElementsAre(1));
}

TEST_F(HubTest, ServicesTakeTurnsHoweverManyChannelsOneHasBusy) {
  hub_.set_slice(4);
  for (const char* name : {"a", "b", "c", "d"}) SubscribedMany(name, 20);
  // Another service's subscribers; their sockets are all that a fan-out touches.
  Service other(std::make_shared<ServiceSettings>(config_));
  Channel* const quiet = other.FindOrMakeChannel(Dialect::kCommon, "quiet");
  std::vector<PairClient*> clients;
  for (int i = 0; i < 5; ++i) {
    clients.push_back(Welcomed());
    quiet->subscribers.Add(
        {.session = clients.back()->session, .fd = clients.back()->session->fd()});
  }
  for (const char* name : {"a", "b", "c", "d"}) control_->Publish(name);
  control_->Apply();
  hub_.Deliver(quiet, {.frame = Frame::Text(R"({"event":"e","room":"quiet"})"), .offset = 1});
  hub_.CommitAll();
  hub_.Run();
  hub_.CommitAll();  // a turn with nothing new
  hub_.Run();
  EXPECT_GE(Served(clients), 2);
  Quiet();
  EXPECT_EQ(Served(clients), 5);
  EXPECT_EQ(other.counts().written, 5);
  for (int i = 4; i >= 0; --i) quiet->subscribers.Remove(static_cast<uint32_t>(i));
}

TEST_F(HubTest, WhatSessionsGatherCostsNoSendsUntilTheySendItAtOnce) {
  std::vector<PairClient*> clients = SubscribedMany("a", 10);
  for (PairClient* const client : clients) SubscribeTo(client, "b");
  hub_.set_slice(4);
  control_->Publish("a");
  control_->Publish("b");
  control_->Apply();
  EXPECT_EQ(Served(clients), 4);
  for (const PairClient* client : clients) {
    EXPECT_THAT(client->messages.size(), AnyOf(0u, 2u));
  }
  Quiet();
  for (const PairClient* client : clients) {
    EXPECT_THAT(client->Offsets("a"), ElementsAre(1));
    EXPECT_THAT(client->Offsets("b"), ElementsAre(1));
  }
}

TEST_F(HubTest, AnAnswerComesBehindWhatASessionHasGathered) {
  std::vector<PairClient*> clients = SubscribedMany("a", 2);
  for (PairClient* const client : clients) SubscribeTo(client, "b");
  hub_.set_slice(1);
  control_->Publish("a");
  control_->Publish("b");
  control_->Apply();
  EXPECT_EQ(Served(clients), 1);
  PairClient* const waiting = clients[0]->messages.empty() ? clients[0] : clients[1];
  waiting->session->OnText(R"({"type":"ping","id":"p"})");
  Quiet();
  ASSERT_THAT(waiting->messages, SizeIs(3));
  EXPECT_EQ(waiting->messages.back()["type"], "pong");
}

TEST_F(HubTest, ASessionThatGathersVeryMuchSendsInBetween) {
  std::vector<PairClient*> clients = SubscribedMany("a", 1);
  SubscribeTo(clients[0], "b");
  hub_.set_slice(1, absl::Milliseconds(1));
  control_->Publish("b");
  for (int i = 0; i < 200; ++i) control_->Publish("a");
  control_->Apply();
  EXPECT_GE(clients[0]->session->Describe().delivered, 64);
  Quiet();
  EXPECT_EQ(clients[0]->Offsets("a"), Range(1, 200));
}

TEST_F(HubTest, WhatArrivedBeforeAFilterChangesGoesAsItWas) {
  PairClient* const client = Subscribed("a");
  client->Subscribe("c");
  client->Subscribe("a", {{"events", {"other"}}});  // waits for the first
  Quiet();
  control_->Publish("a");
  control_->Answer();  // in the same turn
  control_->Publish("a");
  control_->Apply();
  Quiet();
  EXPECT_THAT(client->Offsets("a"), ElementsAre(1));
  EXPECT_EQ(counts().matched, 1);
}

// ------------------------------------------------------------------------------- ahead

TEST_F(HubTest, SettleServesOneSessionAheadAndNobodyTwice) {
  hub_.set_slice(2);
  const std::vector<PairClient*> clients = SubscribedMany("a", 10);
  PairClient* const pattern = Welcomed();
  SubscribeTo(pattern, "*");
  for (int i = 0; i < 2; ++i) {
    control_->Publish("a");
    control_->Apply();
  }
  const int64_t before = Served(clients);
  hub_.Settle(clients[9]->session);
  hub_.Settle(clients[9]->session);  // has it
  hub_.Settle(clients[0]->session);  // was served in its turn
  hub_.Settle(pattern->session);
  EXPECT_EQ(Served(clients), before + 1);
  EXPECT_THAT(clients[9]->Offsets("a"), ElementsAre(1, 2));
  EXPECT_EQ(Served({pattern}), 1);
  EXPECT_GT(hub_.pending_bytes(), 0u);
  Quiet();
  for (const PairClient* client : clients) EXPECT_THAT(client->Offsets("a"), ElementsAre(1, 2));
  EXPECT_THAT(pattern->Offsets("a"), ElementsAre(1, 2));
  EXPECT_EQ(counts().matched, 22);
  EXPECT_EQ(counts().written, 22);
}

TEST_F(HubTest, SettleLeavesOutWhomAPublicationExcludes) {
  hub_.set_slice(1);
  const std::vector<PairClient*> clients = SubscribedMany("a", 5);
  FakePublication own;
  own.exclude = clients[4]->id;
  control_->Publish("a", own);
  control_->Apply();
  hub_.Settle(clients[4]->session);
  Quiet();
  EXPECT_THAT(clients[4]->Offsets("a"), IsEmpty());
  EXPECT_EQ(counts().matched, 4);
}

TEST_F(HubTest, DrainWalksAllToTheEndAtOnce) {
  hub_.set_slice(1);
  const std::vector<PairClient*> clients = SubscribedMany("a", 10);
  PairClient* const other = Subscribed("b");
  control_->Publish("a");
  control_->Publish("b");
  control_->Apply();
  EXPECT_GT(hub_.pending_bytes(), 0u);
  hub_.Drain();
  EXPECT_EQ(hub_.pending_bytes(), 0u);
  EXPECT_EQ(Served(clients), 10);
  EXPECT_EQ(Served({other}), 1);
}

TEST_F(HubTest, WhatIsUnderWayAtTheEndIsLetGo) {
  hub_.set_slice(1);
  SubscribedMany("a", 10);
  for (int i = 0; i < 3; ++i) {
    control_->Publish("a");
    control_->Apply();
  }
  EXPECT_GT(hub_.pending_bytes(), 0u);
}

// ------------------------------------------------------------------------------- order

TEST_F(HubTest, EachChannelsOrderHoldsForEverySessionInEverySlice) {
  const std::vector<std::string> names = {"a", "b", "c"};
  for (const size_t slice : {1, 2, 7, 512}) {
    SCOPED_TRACE(slice);
    hub_.set_slice(slice);
    std::vector<PairClient*> clients;
    std::vector<int64_t> before;
    for (const std::string& name : names) {
      clients.push_back(Subscribed(name));
      before.push_back(control_->log(name).head());
    }
    PairClient* const all = Subscribed("a");
    SubscribeTo(all, "b");
    SubscribeTo(all, "c");
    clients.push_back(all);
    // Several in a turn, and turns while earlier ones are still under way.
    for (int i = 0; i < 60; ++i) {
      control_->Publish(names[static_cast<size_t>(i * i + i / 3) % 3]);
      if (i % 4 == 0) control_->Apply();
    }
    control_->Apply();
    Quiet();
    for (size_t n = 0; n < names.size(); ++n) {
      const std::vector<int64_t> wanted = Range(before[n] + 1, control_->log(names[n]).head());
      EXPECT_EQ(clients[n]->Offsets(names[n]), wanted);
      EXPECT_EQ(all->Offsets(names[n]), wanted);
    }
    for (PairClient* client : clients) client->Close();
    Quiet();
  }
}

TEST_F(HubTest, WhatATurnBringsIsJoinedHoweverMuchItIs) {
  Configure([](v1::WorkerService* service) {
    service->mutable_limits()->set_session_backlog_bytes(1 << 20);
  });
  PairClient* const client = Subscribed("a");
  FakePublication large;
  large.padding = 3000;
  for (int i = 0; i < 60; ++i)
    control_->Publish("a", large);  // several times what one send carries
  control_->Apply();
  Quiet();
  EXPECT_EQ(client->Offsets("a"), Range(1, 60));
  EXPECT_EQ(counts().publications, 60);
  EXPECT_EQ(counts().matched, 60);
  EXPECT_EQ(counts().written, 60);
}

TEST_F(HubTest, ASessionOnManyChannelsGetsEachPublicationOnce) {
  Configure([](v1::WorkerService* service) {
    service->mutable_limits()->set_max_channels_per_session(2000);
  });
  PairClient* const client = Welcomed();
  Json channels = Json::array();
  for (int i = 0; i < 800; ++i) channels.push_back(absl::StrCat("c:", i));
  client->Request("subscribe", {{"channels", channels}});
  Quiet();
  Settle();
  client->Clear();
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 800; i += 2) control_->Publish(absl::StrCat("c:", i));
  }
  control_->Apply();
  Quiet();
  EXPECT_THAT(client->messages, SizeIs(800));
  for (int i = 0; i < 800; ++i) {
    const std::vector<int64_t> offsets = client->Offsets(absl::StrCat("c:", i));
    if (i % 2 == 0) {
      EXPECT_THAT(offsets, ElementsAre(1, 2));
    } else {
      EXPECT_THAT(offsets, IsEmpty());
    }
  }
}

TEST_F(HubTest, WhoMatchesByNameAndByPatternsGetsItOnceInEverySlice) {
  for (const size_t slice : {1, 512}) {
    SCOPED_TRACE(slice);
    hub_.set_slice(slice);
    PairClient* const client = Welcomed();
    for (const char* name : {"w:*", "w:a", "**"}) SubscribeTo(client, name);
    PairClient* const pattern = Welcomed();
    SubscribeTo(pattern, "w:*");
    const int64_t before = control_->log("w:a").head();
    for (int i = 0; i < 5; ++i) control_->Publish("w:a");
    control_->Apply();
    Quiet();
    EXPECT_EQ(client->Offsets("w:a"), Range(before + 1, before + 5));
    EXPECT_EQ(pattern->Offsets("w:a"), Range(before + 1, before + 5));
  }
}

TEST_F(HubTest, TheExcludedSessionGetsAllButThatOne) {
  PairClient* const sender = Subscribed("a");
  PairClient* const other = Subscribed("a");
  FakePublication own;
  own.exclude = sender->id;
  control_->Publish("a");
  control_->Publish("a", own);
  control_->Publish("a");
  control_->Apply();
  Quiet();
  EXPECT_THAT(sender->Offsets("a"), ElementsAre(1, 3));
  EXPECT_THAT(other->Offsets("a"), ElementsAre(1, 2, 3));
  EXPECT_EQ(counts().matched, 5);
}

TEST_F(HubTest, OneWhoseExcludedSessionIsGoneIsForAll) {
  PairClient* const client = Subscribed("a");
  FakePublication own;
  own.exclude = "3ccc63d1-0536-4da3-b35c-af6892a4f2c1";
  Publish("a", own);
  EXPECT_THAT(client->Offsets("a"), ElementsAre(1));
}

// ------------------------------------------------------------------------------- who is meant

TEST_F(HubTest, WhoSubscribesGetsNothingThatArrivedBefore) {
  PairClient* const first = Subscribed("a");
  PairClient* const late = Welcomed();
  late->Subscribe("a");
  Quiet();
  control_->Publish("a");
  control_->Answer();  // behind it, in the same turn
  control_->Publish("a");
  control_->Apply();
  Quiet();
  EXPECT_THAT(first->Offsets("a"), ElementsAre(1, 2));
  EXPECT_EQ(late->Next()["data"]["offset"], 1);
  EXPECT_THAT(late->Offsets("a"), ElementsAre(2));
}

TEST_F(HubTest, WhoSubscribesInTheMiddleOfAFanOutIsNotPartOfIt) {
  hub_.set_slice(2);
  const std::vector<PairClient*> clients = SubscribedMany("a", 10);
  PairClient* const late = Welcomed();
  late->Subscribe("a");
  Quiet();
  control_->Publish("a");
  control_->Apply();
  EXPECT_LT(Served(clients), 10);
  control_->Answer();
  control_->Apply();
  control_->Publish("a");
  control_->Apply();
  Quiet();
  EXPECT_EQ(late->Next()["data"]["offset"], 1);
  EXPECT_THAT(late->Offsets("a"), ElementsAre(2));
  for (const PairClient* client : clients) EXPECT_THAT(client->Offsets("a"), ElementsAre(1, 2));
}

TEST_F(HubTest, WhoLeavesInTheMiddleOfAFanOutChangesNothingForTheOthers) {
  hub_.set_slice(2);
  std::vector<PairClient*> clients = SubscribedMany("a", 12);
  control_->Publish("a");
  control_->Apply();
  // One that was served, the last one, and one between.
  for (const size_t i : {0, 11, 6}) clients[i]->session->Abort();
  EXPECT_EQ(channel("a")->subscribers.size(), 9u);
  EXPECT_THAT(channel("a")->subscribers.entries(), SizeIs(12));
  Quiet();
  EXPECT_THAT(channel("a")->subscribers.entries(), SizeIs(9));
  Publish("a");
  for (const size_t i : {1, 2, 3, 4, 5, 7, 8, 9, 10}) {
    EXPECT_THAT(clients[i]->Offsets("a"), ElementsAre(1, 2)) << i;
  }
  EXPECT_THAT(clients[11]->Offsets("a"), IsEmpty());
  EXPECT_THAT(clients[6]->Offsets("a"), IsEmpty());
  EXPECT_EQ(counts().matched, 19);
}

TEST_F(HubTest, AllMayLeaveInTheMiddleOfAFanOut) {
  hub_.set_slice(2);
  const std::vector<PairClient*> clients = SubscribedMany("a", 6);
  control_->Publish("a");
  control_->Publish("a");
  control_->Apply();
  for (PairClient* const client : clients) client->session->Abort();
  Quiet();
  EXPECT_EQ(hub_.pending_bytes(), 0u);
  EXPECT_EQ(channel("a"), nullptr);
}

TEST_F(HubTest, APatternThatIsLeftInTheMiddleOfAFanOutGoesWithIt) {
  hub_.set_slice(1);
  PairClient* const pattern = Welcomed();
  SubscribeTo(pattern, "w:*");
  SubscribedMany("w:a", 4);
  control_->Publish("w:a");
  control_->Apply();
  pattern->session->Abort();
  EXPECT_NE(service_->FindPattern(Dialect::kCommon, "w:*"), nullptr);  // being walked
  Quiet();
  EXPECT_EQ(service_->FindPattern(Dialect::kCommon, "w:*"), nullptr);
  EXPECT_EQ(counts().written, 4);
}

TEST_F(HubTest, WhatNobodySubscribesToIsNoErrorAndLeavesNothing) {
  Channel* const nobodys = service_->FindOrMakeChannel(Dialect::kCommon, "nobody:1");
  Track* const track = tracks_.Open(5);
  hub_.Deliver(nobodys, {.frame = Frame::Text("{}"), .offset = 1, .track = track});
  hub_.CommitAll();
  hub_.Run();
  EXPECT_EQ(channel("nobody:1"), nullptr);
  EXPECT_EQ(counts().publications, 1);
  EXPECT_EQ(counts().matched, 0);
  ASSERT_THAT(reports_, SizeIs(1));
  EXPECT_TRUE(reports_[0].second);
  EXPECT_EQ(reports_[0].first.matched, 0);
}

TEST_F(HubTest, ATrackIsReportedWhenItsFanOutIsOverNotBefore) {
  hub_.set_slice(2);
  SubscribedMany("a", 7);
  FakePublication tracked;
  tracked.track = 3;
  control_->Publish("a", tracked);
  control_->Apply();
  EXPECT_THAT(reports_, IsEmpty());
  Quiet();
  ASSERT_THAT(reports_, SizeIs(1));
  EXPECT_TRUE(reports_[0].second);
  EXPECT_EQ(reports_[0].first.matched, 7);
  EXPECT_EQ(reports_[0].first.written, 7);
}

TEST_F(HubTest, ANoticeIsNoPublication) {
  PairClient* const client = Subscribed("a");
  hub_.Deliver(channel("a"),
               {.frame = Frame::Text(R"({"event":"channel.skipped","room":"a"})"), .notice = true});
  hub_.CommitAll();
  hub_.Run();
  Quiet();
  EXPECT_THAT(client->messages, SizeIs(1));
  EXPECT_EQ(counts().publications, 0);
  EXPECT_EQ(counts().matched, 0);
  EXPECT_EQ(counts().written, 0);
}

TEST_F(HubTest, PublicationsAreCountedByTheKindsThatTheConfigurationNames) {
  Configure([](v1::WorkerService* service) { service->add_channel_kinds("workflow"); });
  Subscribed("workflow:1");
  Subscribed("odd:1");
  Publish("workflow:1");
  Publish("workflow:1");
  Publish("odd:1");
  ASSERT_THAT(service_->kinds(), SizeIs(2));
  EXPECT_EQ(service_->kinds().at("other").broadcasts, 1);
  EXPECT_EQ(service_->kinds().at("workflow").broadcasts, 2);
}

TEST_F(HubTest, AFanOutIsMeasuredOnceHoweverManySubscribersThereAre) {
  Configure([](v1::WorkerService* service) { service->add_channel_kinds("workflow"); });
  for (int i = 0; i < 5; ++i) Subscribed("workflow:1");
  const auto measured = [](const Histogram& histogram) {
    const std::vector<uint64_t> counts = histogram.snapshot().counts;
    return std::accumulate(counts.begin(), counts.end(), uint64_t{0});
  };
  const Histogram& fanouts = service_->kinds().at("workflow").fanout;
  const Histogram& latencies = service_->latencies().events;
  // A turn's publications of one channel are one fan-out.
  Channel* const channel = service_->FindChannel(Dialect::kCommon, "workflow:1");
  const int64_t received_us = absl::ToUnixMicros(absl::Now() - absl::Seconds(30));
  for (int64_t offset : {1, 2, 3}) {
    hub_.Deliver(
        channel,
        {.frame = Frame::Text("{}"), .offset = offset, .received_us = received_us + 1000 * offset});
  }
  hub_.CommitAll();
  hub_.Run();
  Quiet();
  EXPECT_EQ(measured(fanouts), 1u);
  EXPECT_LT(fanouts.snapshot().sum, 29);
  EXPECT_EQ(measured(latencies), 1u);
  EXPECT_GE(latencies.snapshot().sum, 29.9);
  EXPECT_LT(latencies.snapshot().sum, 90);
  // One that is walked in slices is measured when it is done; a notice is none.
  hub_.set_slice(2);
  hub_.Deliver(channel, {.frame = Frame::Text("{}"), .offset = 4});
  hub_.CommitAll();
  hub_.Run();
  EXPECT_EQ(measured(fanouts), 1u);
  Quiet();
  EXPECT_EQ(measured(fanouts), 2u);
  EXPECT_EQ(measured(latencies), 1u);  // not known when control received it
  hub_.Deliver(channel, {.frame = Frame::Text("{}"), .notice = true});
  hub_.CommitAll();
  hub_.Run();
  Quiet();
  EXPECT_EQ(measured(fanouts), 2u);
}

// ------------------------------------------------------------------------------- names of events

TEST_F(HubTest, AnEventsNameIsFoundByItsHandle) {
  hub_.DefineEvent(1, "started");
  hub_.DefineEvent(2, "failed");
  EXPECT_EQ(hub_.EventName(1), "started");
  EXPECT_EQ(hub_.EventName(2), "failed");
  EXPECT_EQ(hub_.EventName(0), "");
  EXPECT_EQ(hub_.EventName(3), "");
  hub_.DefineEvent(2, "finished");
  EXPECT_EQ(hub_.EventName(2), "finished");
}

TEST_F(HubTest, AnotherAttachmentsHandlesReplaceTheFormerOnes) {
  hub_.DefineEvent(100, "old");
  hub_.DefineEvent(101, "older");
  hub_.DefineEvent(1, "new");
  EXPECT_EQ(hub_.EventName(1), "new");
  EXPECT_EQ(hub_.EventName(100), "");
  EXPECT_EQ(hub_.EventName(101), "");
}

TEST_F(HubTest, OfVeryManyNamesTheOldestAreForgotten) {
  constexpr uint32_t kNames = 140'000;
  for (uint32_t i = 1; i <= kNames; ++i) hub_.DefineEvent(i, absl::StrCat("e", i));
  EXPECT_EQ(hub_.EventName(1), "");
  EXPECT_EQ(hub_.EventName(kNames), absl::StrCat("e", kNames));
  EXPECT_EQ(hub_.EventName(kNames - 65'536), absl::StrCat("e", kNames - 65'536));
}

}  // namespace
}  // namespace fanwire::fanout
