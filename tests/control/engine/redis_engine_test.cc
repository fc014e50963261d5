// The redis engine over a real server: several controls, and what becomes of their publications
// when connections, the server or its data are lost.
#include "control/engine/redis_engine.h"

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/mutex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/control/engine/engine_fixture.h"
#include "tests/testing/redis_server.h"
#include "tests/testing/status.h"

namespace fanwire::control {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// What an engine's feed tells, by channel: "#offset", "~", "missed", "epoch changed", "unopened".
class TestFeed final : public EngineFeed {
 public:
  std::function<void(const std::string& channel)> on_unopened;
  std::function<void(const std::string& channel)> on_epoch_changed;

  void OnPublication(const FedPublication& fed) override {
    Note(fed.channel, fed.publication->offset() == 0
                          ? "~"
                          : absl::StrCat("#", fed.publication->offset(), fed.mirror ? "m" : ""));
  }
  void OnMissed(absl::string_view /*service*/, absl::string_view channel) override {
    Note(channel, "missed");
  }
  void OnEpochChanged(absl::string_view /*service*/, absl::string_view channel) override {
    Note(channel, "epoch changed");
    if (on_epoch_changed != nullptr) on_epoch_changed(std::string(channel));
  }
  void OnUnopened(absl::string_view /*service*/, absl::string_view channel) override {
    if (on_unopened == nullptr) return Note(channel, "unopened");
    on_unopened(std::string(channel));
  }

  void Note(absl::string_view channel, const std::string& what) {
    MutexLock lock(&mu_);
    notes_[std::string(channel)].push_back(what);
  }
  std::vector<std::string> of(const std::string& channel) {
    MutexLock lock(&mu_);
    return notes_[channel];
  }

 private:
  Mutex mu_;
  std::map<std::string, std::vector<std::string>> notes_ ABSL_GUARDED_BY(mu_);
};

// One control.
struct Node {
  Node(RedisOptions options, const RedisServer& server, const Clock* clock) {
    options.server = server.address();
    engine = MakeRedisEngine(options, clock);
    engine->SetFeed(&feed);
    started = engine->Start();
    user = std::make_unique<EngineUser>(engine.get(), clock);
  }
  ~Node() { engine->Close(); }

  TestFeed feed;
  std::unique_ptr<Engine> engine;
  absl::Status started;
  std::unique_ptr<EngineUser> user;
};

class RedisEngineTest : public ::testing::Test {
 protected:
  std::unique_ptr<Node> MakeNode() {
    auto node = std::make_unique<Node>(options_, server_, &clock_);
    EXPECT_OK(node->started);
    return node;
  }
  bool IsTold(Node* node, const std::string& channel, const std::vector<std::string>& notes) {
    const bool told = WaitFor([&] { return node->feed.of(channel) == notes; });
    EXPECT_THAT(node->feed.of(channel), ::testing::ElementsAreArray(notes));
    return told;
  }

  RedisServer server_;
  RedisOptions options_{.response_timeout = absl::Seconds(2),
                        .retry_pause = absl::Milliseconds(20),
                        .look_interval = absl::Milliseconds(100)};
  FakeClock clock_;
};

TEST_F(RedisEngineTest, WhatOneControlPublishesIsToldToTheOthers) {
  const auto a = MakeNode(), b = MakeNode();
  const auto at_a = a->user->Open("x"), at_b = b->user->Open("x");
  EXPECT_EQ(at_a->head().epoch, at_b->head().epoch);
  a->user->Fill(at_a.get(), 2);
  ASSERT_TRUE(IsTold(b.get(), "x", {"#1", "#2"}));
  EXPECT_EQ(at_b->head().offset, 2);
  b->user->Fill(at_b.get(), 1);
  ASSERT_TRUE(IsTold(a.get(), "x", {"#3"}));
  ASSERT_OK(a->user->Append(at_a.get(), MakePublication(clock_, 1), /*keep=*/false));
  ASSERT_TRUE(IsTold(b.get(), "x", {"#1", "#2", "~"}));
  EXPECT_THAT(a->user->Read(at_a.get(), 0, 3), ElementsAre(1, 2, 3));
  EXPECT_THAT(b->user->Read(at_b.get(), 0, 3), ElementsAre(1, 2, 3));
}

TEST_F(RedisEngineTest, AllControlsSeeOneOrder) {
  const auto a = MakeNode(), b = MakeNode();
  const auto at_a = a->user->Open("x"), at_b = b->user->Open("x");
  constexpr int kEach = 500;
  std::vector<PublicationPtr> of_a, of_b;
  for (int n = 0; n < kEach; ++n) {
    for (auto [node, channel, list] :
         {std::tuple{a.get(), at_a.get(), &of_a}, std::tuple{b.get(), at_b.get(), &of_b}}) {
      list->push_back(MakePublication(clock_, n));
      node->user->BeginAppend({{.channel = channel, .publication = list->back()}}, "own");
    }
  }
  for (Node* const node : {a.get(), b.get()}) {
    ASSERT_TRUE(node->user->Wait(
        [&] { return node->user->Count("own") == kEach && node->feed.of("x").size() == kEach; }));
  }
  // Each offset once: by the callback at the one, by the feed at the other.
  std::set<std::string> told_to_b;
  for (const std::string& note : b->feed.of("x")) told_to_b.insert(note);
  int64_t last = 0;
  for (const PublicationPtr& publication : of_a) {
    EXPECT_GT(publication->offset(), last);
    last = publication->offset();
    EXPECT_TRUE(told_to_b.contains(absl::StrCat("#", last)));
  }
  EXPECT_EQ(at_a->head(), at_b->head());
  EXPECT_EQ(at_a->head().offset, 2 * kEach);
}

TEST_F(RedisEngineTest, AChannelThatIsNotOpenIsOpenedWithWhatWasPublished) {
  const auto a = MakeNode(), b = MakeNode();
  const auto at_a = a->user->Open("x"), other = a->user->Open("y");
  std::unique_ptr<EngineChannel> at_b;
  b->feed.on_unopened = [&](const std::string& channel) {
    b->feed.Note(channel, "unopened");
    if (channel == "x") at_b = b->user->BeginOpen("x");
  };
  a->user->Fill(other.get(), 1);
  a->user->Fill(at_a.get(), 3);
  ASSERT_TRUE(IsTold(b.get(), "x", {"unopened", "#1", "#2", "#3"}));
  EXPECT_EQ(b->user->Count("open x"), 1);
  // Nobody has opened it; whoever observes all that is published hears of it.
  ASSERT_TRUE(IsTold(b.get(), "y", {"unopened", "#1"}));
}

TEST_F(RedisEngineTest, AControlThatStartsAgainFindsPositionsAndHistory) {
  auto a = MakeNode();
  auto channel = a->user->Open("x");
  a->user->Fill(channel.get(), 5);
  const Position head = channel->head();
  channel = nullptr;
  a = nullptr;
  a = MakeNode();
  channel = a->user->Open("x");
  EXPECT_EQ(channel->head(), head);
  EXPECT_THAT(a->user->Read(channel.get(), 2, 5), ElementsAre(3, 4, 5));
  a->user->Fill(channel.get(), 1);
  EXPECT_EQ(channel->head().offset, 6);
}

TEST_F(RedisEngineTest, MirrorsAreToldAsSuch) {
  const auto a = MakeNode(), b = MakeNode();
  const auto origin = a->user->Open("x"), mirror = a->user->Open("m");
  const auto at_b = b->user->Open("m");
  a->user->BeginAppend({{.channel = origin.get(), .publication = MakePublication(clock_, 1)},
                        {.channel = mirror.get(), .publication = MakePublication(clock_, 2)}},
                       "both");
  ASSERT_TRUE(IsTold(b.get(), "m", {"#1m"}));
  ASSERT_TRUE(a->user->Wait([&] { return a->user->Count("both") == 1; }));
}

TEST_F(RedisEngineTest, NothingIsMissedWhenConnectionsAreLost) {
  const auto a = MakeNode(), b = MakeNode();
  const auto at_a = a->user->Open("x"), at_b = b->user->Open("x");
  std::vector<std::string> expected;
  for (int round = 0; round < 5; ++round) {
    a->user->Fill(at_a.get(), 3);
    for (int i = 1; i <= 3; ++i) expected.push_back(absl::StrCat("#", 3 * round + i));
    server_.Call({"CLIENT", "KILL", "TYPE", "pubsub"});
    ASSERT_TRUE(IsTold(b.get(), "x", expected));
  }
}

TEST_F(RedisEngineTest, ALostLastMessageIsFoundInTheServersLog) {
  const auto a = MakeNode(), b = MakeNode();
  const auto at_a = a->user->Open("x"), at_b = b->user->Open("x");
  a->user->Fill(at_a.get(), 1);
  ASSERT_TRUE(IsTold(b.get(), "x", {"#1"}));
  // As if the message had been lost: it is appended without one.
  const std::string epoch = at_a->head().epoch.ToText();
  const std::string generation = server_.Call({"HGET", "fanwire:generation", "g"});
  server_.Call({"EVAL",
                "local v = redis.call('XRANGE', KEYS[1], '1-0', '1-0')[1][2][2] "
                "redis.call('XADD', KEYS[1], '2-0', 'v', v, 'n', 'another control..k-') "
                "redis.call('HSET', KEYS[2], 'o', '2') "
                "redis.call('XADD', 'fanwire:log', '*', 'd', struct.pack('>I2', 9) .. 'service:x' "
                ".. ARGV[1] .. struct.pack('>I8', 2)) return 1",
                "2", absl::StrCat("fanwire:h:", epoch, ":service:x"),
                absl::StrCat("fanwire:c:", generation, ":service:x"), epoch});
  EXPECT_TRUE(IsTold(b.get(), "x", {"#1", "#2"}));
  EXPECT_TRUE(IsTold(a.get(), "x", {"#2"}));
}

TEST_F(RedisEngineTest, AnEntryOfAnEarlierEpochInTheServersLogSkipsNothing) {
  const auto a = MakeNode();
  const auto channel = a->user->Open("x");
  a->user->Fill(channel.get(), 1);
  server_.Call({"EVAL",
                "redis.call('XADD', 'fanwire:log', '*', 'd', struct.pack('>I2', 9) .. 'service:x' "
                ".. '0123456789abcdef' .. struct.pack('>I8', 99) .. struct.pack('>I2', 9) .. "
                "'service:x' .. ARGV[1] .. struct.pack('>I8', 2)) return 1",
                "0", channel->head().epoch.ToText()});
  // The second part of the entry has been seen when the offset that does not exist is missed.
  ASSERT_TRUE(IsTold(a.get(), "x", {"missed"}));
  EXPECT_EQ(channel->head().offset, 2);
}

TEST_F(RedisEngineTest, AnOpenChannelStaysInTheServer) {
  options_.refresh_interval = absl::Milliseconds(20);
  const auto a = MakeNode();
  const auto channel = a->user->Open("x");
  const Epoch epoch = channel->head().epoch;
  const std::string key =
      absl::StrCat("fanwire:c:", server_.Call({"HGET", "fanwire:generation", "g"}), ":service:x");
  server_.Call({"PEXPIRE", key, "5000"});
  EXPECT_TRUE(WaitFor([&] { return std::stoi(server_.Call({"PTTL", key})) > 100'000; }));
  ASSERT_OK(a->user->Append(channel.get(), MakePublication(clock_, 1)));
  EXPECT_EQ(channel->head().epoch, epoch);
  EXPECT_GT(std::stoi(server_.Call({"PTTL", key})), 3'600'000);
}

TEST_F(RedisEngineTest, WhatIsNotKeptAnyMoreIsMissed) {
  const auto a = MakeNode(), b = MakeNode();
  const auto at_a = a->user->Open("x"), at_b = b->user->Open("x");
  const std::string epoch = at_a->head().epoch.ToText();
  const std::string generation = server_.Call({"HGET", "fanwire:generation", "g"});
  // Other publications were made and have left history before anything was heard of them.
  server_.Call({"HSET", absl::StrCat("fanwire:c:", generation, ":service:x"), "o", "5"});
  ASSERT_OK(a->user->Append(at_a.get(), MakePublication(clock_, 1)));
  EXPECT_TRUE(IsTold(b.get(), "x", {"missed", "#6"}));
  EXPECT_TRUE(IsTold(a.get(), "x", {"missed"}));
  EXPECT_EQ(at_a->head().offset, 6);
  EXPECT_THAT(a->user->Read(at_a.get(), 0, 6), ElementsAre(-1));
  EXPECT_THAT(a->user->Read(at_a.get(), 5, 6), ElementsAre(6));
}

TEST_F(RedisEngineTest, AServerThatLosesItsDataBeginsAnotherEpoch) {
  for (const bool kill : {true, false}) {
    const auto a = MakeNode();
    const std::string name = absl::StrCat("x", kill);
    const auto channel = a->user->Open(name);
    a->user->Fill(channel.get(), 3);
    const Epoch before = channel->head().epoch;
    a->feed.on_epoch_changed = [&](const std::string&) {
      a->engine->Reopen(channel.get(), [&]() -> OpenedCallback {
        return [&a, name] { a->feed.Note(name, "open"); };
      });
    };
    if (kill) {
      server_.Kill();
      server_.Start();
    } else {
      server_.Call({"FLUSHALL"});
    }
    // The first one after it may be refused.
    absl::Status last;
    ASSERT_TRUE(WaitFor([&] {
      last = a->user->Append(channel.get(), MakePublication(clock_, 1));
      return last.ok();
    })) << last;
    EXPECT_TRUE(IsTold(a.get(), name, {"epoch changed", "open"}));
    EXPECT_NE(channel->head().epoch, before);
    EXPECT_EQ(channel->head().offset, 1);
    EXPECT_THAT(a->user->Read(channel.get(), 0, 1), ElementsAre(1));
  }
}

TEST_F(RedisEngineTest, AFrozenServerRefusesAndHealsByItself) {
  options_.response_timeout = absl::Milliseconds(300);
  const auto a = MakeNode();
  const auto channel = a->user->Open("x");
  a->user->Fill(channel.get(), 2);
  server_.Freeze();
  const absl::Status refused = a->user->Append(channel.get(), MakePublication(clock_, 1));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("idempotency_key"));
  EXPECT_TRUE(WaitFor([&] { return !a->engine->Health().ok(); }));
  server_.Thaw();
  EXPECT_TRUE(WaitFor([&] { return a->engine->Health().ok(); }));
  ASSERT_OK(a->user->Append(channel.get(), MakePublication(clock_, 1)));
  // The refused one may have been kept: then it is told as one of another control.
  const int64_t head = channel->head().offset;
  EXPECT_EQ(static_cast<int64_t>(a->feed.of("x").size()), head - 3);
  EXPECT_EQ(a->user->Read(channel.get(), 0, head).size(), static_cast<size_t>(head));
}

TEST_F(RedisEngineTest, WhileTheServerIsGoneAppendsAreRefusedAndChannelsWait) {
  const auto a = MakeNode();
  const auto channel = a->user->Open("x");
  a->user->Fill(channel.get(), 2);
  server_.Kill();
  EXPECT_THAT(std::string(a->user->Append(channel.get(), MakePublication(clock_, 1)).message()),
              HasSubstr("Redis at"));
  const auto other = a->user->BeginOpen("y");
  EXPECT_EQ(a->user->Count("open y"), 0);
  EXPECT_FALSE(a->engine->Health().ok());
  server_.Start();
  EXPECT_TRUE(a->user->Wait([&] { return a->user->Count("open y") == 1; }));
  EXPECT_TRUE(WaitFor([&] { return a->engine->Health().ok(); }));
}

TEST_F(RedisEngineTest, DurableDataKeepTheirEpochsOverARestartOfTheServer) {
  RedisServer durable({"--appendonly", "yes", "--appendfsync", "always"});
  options_.durable = true;
  Node a(options_, durable, &clock_);
  ASSERT_OK(a.started);
  const auto channel = a.user->Open("x");
  a.user->Fill(channel.get(), 3);
  const Epoch epoch = channel->head().epoch;
  durable.Kill();
  durable.Start();
  ASSERT_TRUE(
      WaitFor([&] { return a.user->Append(channel.get(), MakePublication(clock_, 1)).ok(); }));
  EXPECT_EQ(channel->head().epoch, epoch);
  EXPECT_THAT(a.feed.of("x"), IsEmpty());
}

TEST_F(RedisEngineTest, StartSaysWhyTheServerCannotBeUsed) {
  options_.durable = true;
  const Node a(options_, server_, &clock_);
  EXPECT_THAT(std::string(a.started.message()), HasSubstr("appendonly"));
  options_.durable = false;
  server_.Call({"CONFIG", "SET", "requirepass", "secret"});
  const Node b(options_, server_, &clock_);
  EXPECT_THAT(std::string(b.started.message()), HasSubstr("NOAUTH"));
  options_.password = "wrong";
  const Node c(options_, server_, &clock_);
  EXPECT_THAT(std::string(c.started.message()), HasSubstr("WRONGPASS"));
  options_.password = "secret";
  const Node d(options_, server_, &clock_);
  EXPECT_OK(d.started);
  server_.Kill();
  const Node e(options_, server_, &clock_);
  EXPECT_THAT(std::string(e.started.message()), HasSubstr("Connection refused"));
}

TEST_F(RedisEngineTest, AReplicaIsRefused) {
  RedisServer replica({"--replicaof", absl::StrCat("127.0.0.1 ", server_.port())});
  const Node a(options_, replica, &clock_);
  EXPECT_THAT(std::string(a.started.message()), HasSubstr("replica"));
}

}  // namespace
}  // namespace fanwire::control
