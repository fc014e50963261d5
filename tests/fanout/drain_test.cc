// Goodbyes over a window, and the deadline.
#include "fanout/drain.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "proto/policies.h"
#include "tests/fanout/ports_fixture.h"
#include "tests/testing/status.h"
#include "tests/testing/ws_client.h"

namespace fanwire::fanout {

namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

class DrainTest : public PortsFixture {
 protected:
  DrainTest() : drain_(&loop_, ports_.get()) {
    v1::WorkerConfig config = Config();
    AddListener(AddService(&config, "akosha"));
    EXPECT_OK(Apply(config));
  }

  std::vector<PairClient*> ConnectMany(int count) {
    std::vector<PairClient*> clients;
    for (int i = 0; i < count; ++i) {
      clients.push_back(Connect(ports()[static_cast<size_t>(i) % 2]));
    }
    return clients;
  }

  void Start(const DrainOrder& order) {
    drain_.Start(order,
                 [this](int64_t remaining, bool done) { progress_.emplace_back(remaining, done); });
  }

  static int64_t ToldGoodbye(const std::vector<PairClient*>& clients) {
    return std::count_if(clients.begin(), clients.end(), [](const PairClient* client) {
      return !client->Named("server.draining").empty();
    });
  }

  // Answers closes as well-behaved clients do.
  static void AnswerCloses(const std::vector<PairClient*>& clients) {
    for (PairClient* const client : clients) {
      if (client->close_code.has_value() && !client->ended) client->Close();
    }
  }

  std::vector<std::pair<int64_t, bool>> progress_;
  Drain drain_;
};

TEST_F(DrainTest, WithoutSessionsItIsOverAtOnce) {
  Start({});
  EXPECT_TRUE(drain_.started());
  EXPECT_TRUE(drain_.done());
  EXPECT_THAT(progress_, ElementsAre(std::pair<int64_t, bool>(0, true)));
  EXPECT_FALSE(ports_->listening());
}

TEST_F(DrainTest, EachClientIsToldWhenToComeBackAndThenClosed) {
  const std::vector<PairClient*> clients = ConnectMany(3);
  DrainOrder order;
  order.window = absl::ZeroDuration();
  order.reconnect_after_min = absl::Milliseconds(100);
  order.reconnect_after_max = absl::Seconds(5);
  order.reason = "deploy";
  Start(order);
  ASSERT_TRUE(RunUntil([&] {
    AnswerCloses(clients);
    return drain_.done();
  }));
  for (const PairClient* const client : clients) {
    ASSERT_THAT(client->messages, SizeIs(1));
    EXPECT_EQ(client->messages[0]["event"], "server.draining");
    EXPECT_THAT(client->messages[0]["data"]["reconnect_after_ms"], ElementsAre(100, 103));
    EXPECT_EQ(client->messages[0]["data"]["reason"], "deploy");
    EXPECT_EQ(client->close_code, 1012);
    EXPECT_EQ(client->close_reason, "deploy");
  }
  EXPECT_EQ(progress_.back(), (std::pair<int64_t, bool>(0, true)));
}

TEST_F(DrainTest, TheTimeToReconnectGrowsWithTheNumberOfClients) {
  DrainOrder order;
  order.reconnect_after_min = absl::Milliseconds(100);
  order.reconnect_after_max = absl::Seconds(5);
  EXPECT_EQ(order.ReconnectWithin(0), absl::Milliseconds(100));
  EXPECT_EQ(order.ReconnectWithin(30), absl::Milliseconds(130));
  EXPECT_EQ(order.ReconnectWithin(4900), absl::Seconds(5));
  EXPECT_EQ(order.ReconnectWithin(1'000'000), absl::Seconds(5));
  order.reconnect_after_max = absl::Milliseconds(50);
  EXPECT_EQ(order.ReconnectWithin(30), absl::Milliseconds(100));
}

TEST_F(DrainTest, WhoWaitsToBeAcceptedIsAnsweredAndToldToGoElsewhere) {
  // Connected as far as the kernel is concerned; the worker has not looked yet.
  std::vector<PairClient*> waiting;
  for (int i = 0; i < 100; ++i) {
    waiting.push_back(Dialled(ports()[0]));
    waiting.back()->Say(WsClient::UpgradeRequest());
  }
  EXPECT_EQ(ports_->connections(), 0u);
  DrainOrder order;
  order.window = absl::ZeroDuration();
  order.deadline = absl::Seconds(60);
  Start(order);
  EXPECT_FALSE(drain_.done());
  EXPECT_FALSE(ports_->listening());
  ASSERT_TRUE(RunUntil([&] {
    AnswerCloses(waiting);
    return drain_.done();
  }));
  for (const PairClient* const client : waiting) {
    ASSERT_THAT(client->messages, SizeIs(2));
    EXPECT_EQ(client->messages[0]["event"], "session.created");
    EXPECT_EQ(client->messages[1]["event"], "server.draining");
    EXPECT_EQ(client->close_code, 1012);
  }
  EXPECT_FALSE(Listens(ports()[0]));
}

TEST_F(DrainTest, NobodyComesInWhileItLasts) {
  const std::vector<PairClient*> clients = ConnectMany(1);
  DrainOrder order;
  order.window = absl::Seconds(10);
  Start(order);
  EXPECT_FALSE(Listens(ports()[0]));
  EXPECT_FALSE(Listens(ports()[1]));
}

TEST_F(DrainTest, GoodbyesAreSpreadOverTheWindow) {
  const std::vector<PairClient*> clients = ConnectMany(40);
  DrainOrder order;
  order.window = absl::Milliseconds(800);
  order.deadline = absl::Seconds(60);
  const absl::Duration began = loop_.Now();
  Start(order);
  // The first at once, nobody before its part of the window, all by its end.
  int64_t told = 0;
  while (told < 40) {
    loop_.RunTurn(absl::Milliseconds(5));
    for (PairClient* const client : clients) client->Pump();
    told = ToldGoodbye(clients);
    const absl::Duration passed = loop_.Now() - began;
    const double part = absl::FDivDuration(passed + absl::Milliseconds(20), order.window);
    ASSERT_LE(static_cast<double>(told), 40 * part + 1);
    ASSERT_LT(passed, absl::Seconds(20));
  }
  EXPECT_GE(loop_.Now() - began, order.window * 0.9);
  EXPECT_FALSE(drain_.done());  // nobody has answered
  ASSERT_TRUE(RunUntil([&] {
    AnswerCloses(clients);
    return drain_.done();
  }));
  // Told all the way down.
  EXPECT_TRUE(std::is_sorted(progress_.rbegin(), progress_.rend(),
                             [](const auto& a, const auto& b) { return a.first < b.first; }));
}

TEST_F(DrainTest, WhoHasNotGoneByTheDeadlineIsCutOff) {
  const std::vector<PairClient*> clients = ConnectMany(4);
  DrainOrder order;
  order.window = absl::ZeroDuration();
  order.deadline = absl::Milliseconds(100);
  const absl::Duration began = loop_.Now();
  Start(order);
  ASSERT_TRUE(RunUntil([&] { return drain_.done(); }));
  EXPECT_GE(loop_.Now() - began, order.deadline);
  EXPECT_EQ(ports_->connections(), 0u);
  EXPECT_EQ(progress_.back(), (std::pair<int64_t, bool>(0, true)));
  ASSERT_TRUE(RunUntil([&] {
    return std::all_of(clients.begin(), clients.end(),
                       [](const PairClient* client) { return client->ended; });
  }));
}

TEST_F(DrainTest, ADeadlineBeforeTheWindowsEndCutsOffWhoWasNotToldYet) {
  const std::vector<PairClient*> clients = ConnectMany(6);
  DrainOrder order;
  order.window = absl::Seconds(60);
  order.deadline = absl::Milliseconds(60);
  Start(order);
  ASSERT_TRUE(RunUntil([&] { return drain_.done(); }));
  EXPECT_LT(ToldGoodbye(clients), 6);
  EXPECT_EQ(ports_->connections(), 0u);
}

TEST_F(DrainTest, AConnectionThatNeverUpgradedDoesNotHoldItForEver) {
  Dialled(ports()[0]);  // the handshake may take 30 s
  ASSERT_TRUE(RunUntil([&] { return ports_->connections() == 1; }));
  DrainOrder order;
  order.window = absl::ZeroDuration();
  order.deadline = absl::Milliseconds(50);
  const absl::Duration began = loop_.Now();
  Start(order);
  ASSERT_TRUE(RunUntil([&] { return drain_.done(); }));
  EXPECT_LT(loop_.Now() - began, absl::Seconds(20));
}

TEST_F(DrainTest, ASecondOrderIsIgnored) {
  ConnectMany(2);
  DrainOrder order;
  order.window = absl::Seconds(10);
  order.deadline = absl::Seconds(60);
  Start(order);
  const size_t told = progress_.size();
  DrainOrder other;
  other.window = absl::ZeroDuration();
  other.deadline = absl::ZeroDuration();
  Start(other);
  EXPECT_THAT(progress_, SizeIs(told));
  EXPECT_FALSE(drain_.done());
}

TEST_F(DrainTest, OneThatIsDestroyedSaysNothingMore) {
  const std::vector<PairClient*> clients = ConnectMany(10);
  {
    Drain drain(&loop_, ports_.get());
    DrainOrder order;
    order.window = absl::Milliseconds(200);
    drain.Start(order,
                [this](int64_t remaining, bool done) { progress_.emplace_back(remaining, done); });
  }
  const size_t told = progress_.size();
  RunFor(absl::Milliseconds(100));
  EXPECT_THAT(progress_, SizeIs(told));
  EXPECT_LT(ToldGoodbye(clients), 10);
}

TEST_F(DrainTest, WhatWaitsForAClientGoesOutBeforeItsGoodbye) {
  PairClient* const client = Subscribed(ports()[0], "a");
  client->reads = false;
  Channel* const channel = service()->FindChannel(Dialect::kCommon, "a");
  ASSERT_NE(channel, nullptr);
  int published = 0;
  while (!client->session->slow()) {
    hub_.Deliver(channel,
                 {.frame = Frame::Text(R"({"type":"event","event":"e","room":"a","pad":")" +
                                       std::string(8000, '.') + "\"}"),
                  .offset = ++published});
    hub_.CommitAll();
    hub_.Run();
  }
  DrainOrder order;
  order.window = absl::ZeroDuration();
  order.deadline = absl::Seconds(60);
  Start(order);
  client->reads = true;
  ASSERT_TRUE(RunUntil([&] { return client->close_code.has_value(); }));
  EXPECT_THAT(client->messages, SizeIs(static_cast<size_t>(published) + 1));
  EXPECT_EQ(client->messages.back()["event"], "server.draining");
}

}  // namespace
}  // namespace fanwire::fanout
