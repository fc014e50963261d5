// OutQueue over a real connection: what a client that reads, and one that does not, gets of what
// was added, and how the ledger counts it.
#include "fanout/out_queue.h"

#include <sys/socket.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "fanout/net/connection_group.h"
#include "fanout/net/event_loop.h"
#include "fanout/service.h"
#include "fanout/track.h"
#include "fanwire/v1/worker.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/policies.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fanout/session_fixture.h"
#include "tests/testing/ws_client.h"

namespace fanwire::fanout {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Added = OutQueue::Added;
using Kind = OutQueue::Kind;
using Outcome = OutQueue::Outcome;

constexpr size_t kBudget = 64 << 10;
constexpr size_t kMaxMessage = 10'000;

class OutQueueTest : public ::testing::Test, public ConnectionHost, public ConnectionHandler {
 protected:
  OutQueueTest()
      : tracks_([this] { return loop_.Now(); },
                [this](const Track& track, bool final) { reports_.emplace_back(track, final); }),
        service_(Settings()),
        group_(std::make_unique<ConnectionGroup>(ConnectionOptions(), &loop_, &sockets_, this)) {
    int ends[2] = {-1, -1};
    FANWIRE_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    // A client that does not read leaves the kernel about this much room.
    const int small = 8 << 10;
    ::setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    client_ = std::make_unique<PairClient>(ends[1]);
    group_->Add(ends[0], PeerAddress());
    client_->Say(WsClient::UpgradeRequest());
    Quiet();
  }

  ~OutQueueTest() override {
    client_->Close();
    Quiet();
    group_ = nullptr;
    EXPECT_EQ(counts().queued, 0);
    EXPECT_EQ(counts().slow_sessions, 0);
    EXPECT_EQ(counts().backlog_bytes, 0);
    EXPECT_EQ(LedgerError(), 0);
    EXPECT_TRUE(tracks_.empty());
  }

  static std::shared_ptr<const ServiceSettings> Settings() {
    v1::WorkerService service;
    service.set_name("s");
    service.mutable_limits()->set_session_backlog_bytes(kBudget);
    service.mutable_limits()->set_max_message_bytes(kMaxMessage);
    return std::make_shared<ServiceSettings>(service);
  }

  // ---- ConnectionHost, ConnectionHandler: as a session does it

  ConnectionHandler* OnUpgrade(Connection* connection, const HttpRequest&, HttpResponse*) override {
    connection_ = connection;
    queue_ = std::make_unique<OutQueue>(connection, &service_, &tracks_, &loop_, &clock_);
    return this;
  }
  bool OnHttpRequest(const HttpRequest&, HttpResponse*) override { return false; }
  void OnOpen() override {}
  void OnText(absl::string_view) override {}
  void OnBinary(absl::string_view) override {}
  void OnDrained() override {
    queue_->OnDrained();
    queue_->Flush();
  }
  void OnClosed(const CloseInfo& info) override { queue_->OnClosed(info.unsent_messages); }

  // Closes as a session does that was told kTooSlow.
  void CloseSlow() {
    queue_->CloseSlow();
    const uint64_t queued = connection_->queued_messages();
    connection_->Close(CloseCode::kSlowSubscriber, "", Connection::Backlog::kDrop);
    queue_->DropWaiting(queued - connection_->queued_messages());
  }

  // Runs turns until nothing happens any more.
  void Quiet() {
    for (int idle = 0; idle < 3;) {
      bool done = false;
      loop_.Post([&done] { done = true; });
      while (!done) loop_.RunTurn(absl::Seconds(5));
      idle = client_->Pump() ? 0 : idle + 1;
    }
  }

  ChannelRef Make(absl::string_view name, BacklogPolicy policy = BacklogPolicy::kClose) {
    ChannelRef channel(service_.FindOrMakeChannel(Dialect::kCommon, name));
    channel->backlog = policy;
    return channel;
  }

  static Backlog::Item Event(const ChannelRef& channel, int64_t offset, size_t padding = 4000) {
    return {.frame = Frame::Text(Json{{"event", "x"},
                                      {"room", channel->name},
                                      {"offset", offset},
                                      {"pad", std::string(padding, '.')}}
                                     .dump()),
            .channel = channel,
            .offset = offset};
  }

  // Adds an event and ends the turn.
  Outcome Send(Backlog::Item item) {
    if (queue_->Add(std::move(item)) == Added::kTooSlow) return Outcome::kTooSlow;
    return queue_->FlushTurn();
  }
  void Send(const ChannelRef& channel, int64_t from, int64_t to) {
    for (int64_t offset = from; offset <= to; ++offset) {
      ASSERT_EQ(Send(Event(channel, offset)), Outcome::kOk) << offset;
    }
  }
  // Sends events of the channel, whose last offset was `offset`, until something waits; returns the
  // last offset.
  int64_t SendUntilSlow(const ChannelRef& channel, int64_t offset = 0) {
    while (!queue_->slow()) Send(channel, offset + 1, offset + 1), ++offset;
    return offset;
  }

  // The client's skip notices of a channel as "from-to reason".
  std::vector<std::string> Skips(absl::string_view channel) const {
    std::vector<std::string> skips;
    for (const Json& notice : client_->Named("channel.skipped")) {
      if (notice["data"]["channel"] != std::string(channel)) continue;
      skips.push_back(absl::StrCat(notice["data"]["from"].get<int64_t>(), "-",
                                   notice["data"]["to"].get<int64_t>(), " ",
                                   notice["data"]["reason"].get<std::string>()));
    }
    return skips;
  }
  // Whether the client got, or was told of, the offsets up to `last`, in order and none twice.
  void ExpectComplete(absl::string_view channel, int64_t last) const {
    int64_t next = 1;
    for (const Json& message : client_->messages) {
      if (message["room"] != std::string(channel)) continue;
      const bool skip = message["event"] == "channel.skipped";
      EXPECT_EQ(skip ? message["data"]["from"] : message["offset"], next);
      next = (skip ? message["data"]["to"] : message["offset"]).get<int64_t>() + 1;
    }
    EXPECT_EQ(next, last + 1);
  }

  const ServiceCounts& counts() const { return service_.counts(); }
  int64_t dropped(DropReason reason) const { return counts().dropped[static_cast<size_t>(reason)]; }
  int64_t LedgerError() const {
    return counts().matched - counts().written - counts().lost_connection - counts().expired -
           counts().queued -
           std::accumulate(counts().dropped.begin(), counts().dropped.end(), int64_t{0});
  }

  EventLoop loop_;
  SendTable sockets_;
  FakeClock clock_;
  std::vector<std::pair<Track, bool>> reports_;  // true: final
  TrackTable tracks_;
  Service service_;
  std::unique_ptr<ConnectionGroup> group_;
  std::unique_ptr<PairClient> client_;
  Connection* connection_ = nullptr;
  std::unique_ptr<OutQueue> queue_;
};

// ------------------------------------------------------------------------------- gathering

TEST_F(OutQueueTest, WhatIsGatheredIsSentInOrderWhenTheTurnEnds) {
  const ChannelRef a = Make("a"), b = Make("b");
  EXPECT_EQ(queue_->Add(Event(a, 1)), Added::kGathered);
  EXPECT_EQ(queue_->Add(Event(b, 1)), Added::kGathered);
  Quiet();
  EXPECT_THAT(client_->messages, IsEmpty());
  EXPECT_FALSE(queue_->idle());
  EXPECT_EQ(queue_->FlushTurn(), Outcome::kOk);
  Quiet();
  ASSERT_THAT(client_->messages, SizeIs(2));
  EXPECT_EQ(client_->messages[0]["room"], "a");
  EXPECT_EQ(client_->messages[1]["room"], "b");
  EXPECT_EQ(counts().written, 2);
  EXPECT_TRUE(queue_->idle());
}

TEST_F(OutQueueTest, ATurnThatIsFullIsSentAtOnce) {
  const ChannelRef a = Make("a");
  for (int64_t i = 1; i < 64; ++i) EXPECT_EQ(queue_->Add(Event(a, i, 1)), Added::kGathered);
  EXPECT_EQ(queue_->Add(Event(a, 64, 1)), Added::kDone);
  Quiet();
  ExpectComplete("a", 64);
  EXPECT_EQ(queue_->Add(Event(a, 65, 70'000)), Added::kDone);  // by its bytes
  Quiet();
  ExpectComplete("a", 65);
}

TEST_F(OutQueueTest, WhatTheConnectionDoesNotTakeFollowsInOrderWhenTheClientReads) {
  const ChannelRef a = Make("a");
  client_->reads = false;
  Send(a, 1, 12);
  EXPECT_TRUE(queue_->slow());
  EXPECT_EQ(counts().slow_sessions, 1);
  EXPECT_EQ(counts().backlog_bytes, static_cast<int64_t>(queue_->backlog_bytes()));
  EXPECT_GT(counts().backlog_bytes, 0);
  EXPECT_EQ(counts().queued, static_cast<int64_t>(queue_->waiting_items()));
  EXPECT_EQ(LedgerError(), 0);
  client_->reads = true;
  Quiet();
  ExpectComplete("a", 12);
  EXPECT_EQ(counts().written, 12);
  EXPECT_TRUE(queue_->idle());
}

TEST_F(OutQueueTest, WhatWasGatheredBeforeTheClientStoppedGoesBeforeWhatCameLater) {
  const ChannelRef a = Make("a");
  client_->reads = false;
  const int64_t before = SendUntilSlow(a);
  client_->reads = true;
  Quiet();
  client_->reads = false;
  for (int64_t i = 1; i <= 10; ++i) {
    EXPECT_EQ(queue_->Add(Event(a, before + i)), Added::kGathered);
  }
  EXPECT_EQ(queue_->FlushTurn(), Outcome::kOk);
  EXPECT_EQ(queue_->Add(Event(a, before + 11)), Added::kDone);
  client_->reads = true;
  Quiet();
  ExpectComplete("a", before + 11);
}

TEST_F(OutQueueTest, TheRestOfWhatHubHasSentPartlyIsTakenOver) {
  const ChannelRef a = Make("a");
  client_->reads = false;
  connection_->AllowDirect(true);
  int64_t offset = 0;
  int64_t direct = 0;
  while (true) {
    const FramePtr frame = Event(a, ++offset).frame;
    const ssize_t taken = sockets_.Send(connection_->fd(), *frame);
    if (taken == static_cast<ssize_t>(frame->size())) {
      ++direct;
      continue;
    }
    const Delivery delivery{.frame = frame, .offset = offset};
    queue_->TakeOver({&delivery, 1}, frame, taken);
    break;
  }
  EXPECT_TRUE(queue_->slow());
  EXPECT_EQ(counts().matched, 1);  // Hub counts the others
  EXPECT_EQ(counts().queued, 1);
  client_->reads = true;
  Quiet();
  ExpectComplete("a", direct + 1);
  EXPECT_EQ(counts().written, 1);
  EXPECT_TRUE(queue_->idle());
}

// ------------------------------------------------------------------------------- policies

TEST_F(OutQueueTest, OverTheBudgetOfAChannelThatClosesTheClientIsTooSlow) {
  const ChannelRef a = Make("a");
  client_->reads = false;
  int64_t offset = 0;
  while (Send(Event(a, ++offset)) == Outcome::kOk) {
  }
  EXPECT_LE(connection_->queued_bytes() + queue_->backlog_bytes(), kBudget);
  EXPECT_EQ(dropped(DropReason::kSlowClosed), 1);
  CloseSlow();
  EXPECT_LE(counts().queued, 1);  // the one that is partly out may still go
  client_->reads = true;
  Quiet();
  const auto got = static_cast<int64_t>(client_->Offsets("a").size());
  EXPECT_EQ(counts().written, got);
  EXPECT_EQ(dropped(DropReason::kSlowClosed), offset - got);
  EXPECT_EQ(queue_->dropped(), offset - got);
  EXPECT_EQ(counts().lost_connection, 0);
}

// An event may be as large as the whole budget: limits.max_event_bytes, session_backlog_bytes.
TEST_F(OutQueueTest, BehindAnEventThatIsBeingSentAnotherMayWaitHoweverLargeBothAre) {
  const ChannelRef a = Make("a");
  client_->reads = false;
  EXPECT_EQ(Send(Event(a, 1, 2 * kBudget)), Outcome::kOk);
  EXPECT_EQ(Send(Event(a, 2, 2 * kBudget)), Outcome::kOk);
  EXPECT_GT(connection_->queued_bytes(), kBudget);
  EXPECT_GT(queue_->backlog_bytes(), kBudget);
  client_->reads = true;
  Quiet();
  EXPECT_THAT(client_->Offsets("a"), ElementsAre(1, 2));
  client_->reads = false;
  EXPECT_EQ(Send(Event(a, 3, 2 * kBudget)), Outcome::kOk);
  EXPECT_EQ(Send(Event(a, 4, 2 * kBudget)), Outcome::kOk);
  EXPECT_EQ(Send(Event(a, 5)), Outcome::kTooSlow);
  CloseSlow();
  client_->reads = true;
  Quiet();
}

TEST_F(OutQueueTest, OfATurnThatIsTooMuchEveryEventIsCounted) {
  const ChannelRef a = Make("a");
  client_->reads = false;
  for (int64_t i = 1; i <= 15; ++i) EXPECT_EQ(queue_->Add(Event(a, i)), Added::kGathered);
  // A large reply comes between: the turn must wait behind it, and has no room.
  const std::string reply = Json(std::string(40'000, '.')).dump();
  ASSERT_EQ(connection_->SendText(reply), SendOutcome::kQueued);
  EXPECT_EQ(queue_->AddQueuedReply(), Outcome::kOk);
  EXPECT_EQ(queue_->FlushTurn(), Outcome::kTooSlow);
  CloseSlow();
  EXPECT_EQ(counts().matched, 15);
  EXPECT_EQ(dropped(DropReason::kSlowClosed), 15);
  EXPECT_EQ(queue_->backlog_bytes(), 0u);
}

TEST_F(OutQueueTest, DropOldestTellsOfTheHoleBeforeTheNextEvent) {
  const ChannelRef a = Make("a", BacklogPolicy::kDropOldest);
  client_->reads = false;
  Send(a, 1, 40);
  client_->reads = true;
  Quiet();
  EXPECT_THAT(Skips("a"), SizeIs(1));
  ExpectComplete("a", 40);
  EXPECT_EQ(client_->Offsets("a").back(), 40);
  EXPECT_GT(dropped(DropReason::kDropOldest), 10);
  EXPECT_EQ(counts().written + dropped(DropReason::kDropOldest), 40);
  EXPECT_EQ(queue_->dropped(), dropped(DropReason::kDropOldest));
}

TEST_F(OutQueueTest, LatestKeepsTheNewestPerKey) {
  const ChannelRef a = Make("a", BacklogPolicy::kLatest);
  client_->reads = false;
  const int64_t before = SendUntilSlow(a);
  for (int64_t i = 1; i <= 30; ++i) {
    Backlog::Item keyed = Event(a, before + i);
    keyed.conflate_key = static_cast<uint64_t>(1 + i % 3);
    ASSERT_EQ(Send(std::move(keyed)), Outcome::kOk);
  }
  client_->reads = true;
  Quiet();
  const std::vector<int64_t> offsets = client_->Offsets("a");
  ASSERT_GE(offsets.size(), 3u);
  EXPECT_THAT(std::vector<int64_t>(offsets.end() - 3, offsets.end()),
              ElementsAre(before + 28, before + 29, before + 30));
  EXPECT_EQ(dropped(DropReason::kConflated), 27);
  EXPECT_THAT(Skips("a"), ElementsAre(absl::StrCat(before + 1, "-", before + 27, " conflated")));
  ExpectComplete("a", before + 30);
}

TEST_F(OutQueueTest, ASecondChannelsPolicyDoesNotDropAnothersEvents) {
  const ChannelRef keep = Make("keep"), lossy = Make("lossy", BacklogPolicy::kDropOldest);
  client_->reads = false;
  Send(keep, 1, 4);
  Send(lossy, 1, 40);
  client_->reads = true;
  Quiet();
  ExpectComplete("keep", 4);
  ExpectComplete("lossy", 40);
  EXPECT_THAT(Skips("keep"), IsEmpty());
}

TEST_F(OutQueueTest, ANoticeAtTheEdgeOfABatchKeepsTheOrder) {
  const ChannelRef a = Make("a", BacklogPolicy::kDropOldest);
  const ChannelRef b = Make("b", BacklogPolicy::kDropOldest);
  v1::WorkerService larger;
  larger.mutable_limits()->set_session_backlog_bytes(200'000);
  service_.set_settings(std::make_shared<ServiceSettings>(larger));
  int64_t last_a = 0, last_b = 0;
  // Sizes around 64 KiB, so that in one of these rounds the notice is what crosses it.
  for (size_t round = 0; round < 60; ++round) {
    client_->Clear();
    client_->reads = false;
    const int64_t first_b = last_b + 1;
    for (int i = 0; i < 30; ++i) ASSERT_EQ(Send(Event(a, ++last_a, 9'000)), Outcome::kOk);
    ASSERT_EQ(Send(Event(b, ++last_b, 65'000 + round * 10)), Outcome::kOk);
    for (int i = 0; i < 3; ++i) {
      ASSERT_EQ(Send(Event(a, ++last_a, 9'000)), Outcome::kOk);
      ASSERT_EQ(Send(Event(b, ++last_b, 10)), Outcome::kOk);
    }
    client_->reads = true;
    Quiet();
    const std::vector<int64_t> got = client_->Offsets("a");
    EXPECT_TRUE(std::is_sorted(got.begin(), got.end())) << round;
    EXPECT_EQ(got.back(), last_a);
    EXPECT_THAT(client_->Offsets("b"), ElementsAre(first_b, first_b + 1, first_b + 2, first_b + 3))
        << round;
  }
}

TEST_F(OutQueueTest, WhatExpiresWhileItWaitsIsDroppedAndTold) {
  const ChannelRef a = Make("a");
  client_->reads = false;
  const int64_t before = SendUntilSlow(a);
  for (int64_t i = 1; i <= 2; ++i) {
    Backlog::Item expired = Event(a, before + i);
    expired.expires_at = loop_.Now();
    ASSERT_EQ(Send(std::move(expired)), Outcome::kOk);
  }
  Backlog::Item lasting = Event(a, before + 3);
  lasting.expires_at = loop_.Now() + absl::Hours(1);
  ASSERT_EQ(Send(std::move(lasting)), Outcome::kOk);
  client_->reads = true;
  Quiet();
  EXPECT_THAT(Skips("a"), ElementsAre(absl::StrCat(before + 1, "-", before + 2, " expired")));
  ExpectComplete("a", before + 3);
  EXPECT_EQ(counts().expired, 2);
}

TEST_F(OutQueueTest, NoticesThatWaitAreBoundedFarBeyondTheBudget) {
  const ChannelRef a = Make("a");
  queue_->SetPaused(true);
  size_t bytes = 0;
  while (true) {
    Backlog::Item notice = Event(a, 0, 100'000);
    notice.kind = Kind::kNotice;
    bytes += notice.frame->size();
    if (queue_->Add(std::move(notice)) == Added::kTooSlow) break;
  }
  EXPECT_GT(bytes, kBudget + (4 << 20));
  EXPECT_LT(bytes, kBudget + (5 << 20));
  CloseSlow();
  EXPECT_EQ(counts().matched, 0);
}

TEST_F(OutQueueTest, RepliesThatTheConnectionHoldsAreBounded) {
  client_->reads = false;
  Outcome outcome = Outcome::kOk;
  int64_t replies = 0;
  while (outcome == Outcome::kOk) {
    if (connection_->SendText(std::string(1000, ' ')) != SendOutcome::kQueued) continue;
    outcome = queue_->AddQueuedReply();
    EXPECT_EQ(queue_->replies_in_flight(), ++replies);
  }
  EXPECT_GT(connection_->queued_bytes(), kBudget + 2 * kMaxMessage);
  EXPECT_LT(connection_->queued_bytes(), kBudget + 2 * kMaxMessage + 2000);
  EXPECT_EQ(counts().slow_sessions, 1);
  CloseSlow();
}

// ------------------------------------------------------------------------------- pauses, recovery

TEST_F(OutQueueTest, WhilePausedEverythingWaitsAndHubMayNotSendPastIt) {
  const ChannelRef a = Make("a");
  connection_->AllowDirect(true);
  queue_->SetPaused(true);
  EXPECT_FALSE(sockets_.direct(connection_->fd()));
  EXPECT_FALSE(queue_->idle());
  EXPECT_EQ(queue_->Add(Event(a, 1)), Added::kDone);
  queue_->Flush();
  Quiet();
  EXPECT_THAT(client_->messages, IsEmpty());
  queue_->SetPaused(false);
  EXPECT_TRUE(sockets_.direct(connection_->fd()));
  queue_->Flush();
  Quiet();
  ExpectComplete("a", 1);
  EXPECT_TRUE(queue_->idle());
}

TEST_F(OutQueueTest, WhatIsRecoveredComesBeforeLaterEventsAndIsCountedApart) {
  const ChannelRef a = Make("a");
  for (int64_t i = 1; i <= 30; ++i) {  // more than the budget
    Backlog::Item recovered = Event(a, i);
    recovered.kind = Kind::kRecovered;
    queue_->Append(std::move(recovered));
  }
  EXPECT_EQ(queue_->FirstOffset(a.get()), 1);
  client_->reads = false;
  queue_->Flush();
  EXPECT_GT(queue_->FirstOffset(a.get()), 1);  // one batch is in flight
  client_->reads = true;
  Quiet();
  Send(a, 31, 31);
  Quiet();
  ExpectComplete("a", 31);
  EXPECT_EQ(counts().recovered, 30);
  EXPECT_EQ(counts().matched, 1);
  EXPECT_EQ(queue_->FirstOffset(a.get()), 0);
}

// ------------------------------------------------------------------------------- dropping

TEST_F(OutQueueTest, OfAChannelThatIsDroppedNothingThatWaitsComesAndTheRestDoes) {
  const ChannelRef a = Make("a"), b = Make("b");
  queue_->SetPaused(true);
  EXPECT_EQ(queue_->Add(Event(a, 1)), Added::kDone);
  EXPECT_EQ(queue_->Add(Event(b, 1)), Added::kDone);
  queue_->DropChannel(a.get(), DropReason::kClosing);
  EXPECT_EQ(dropped(DropReason::kClosing), 1);
  queue_->SetPaused(false);
  queue_->Flush();
  Quiet();
  EXPECT_THAT(client_->Offsets("a"), IsEmpty());
  EXPECT_THAT(client_->Offsets("b"), ElementsAre(1));
}

TEST_F(OutQueueTest, SendAllSendsWhateverIsPausedOrInFlight) {
  const ChannelRef a = Make("a", BacklogPolicy::kDropOldest);
  client_->reads = false;
  Send(a, 1, 40);
  queue_->SetPaused(true);
  queue_->SendAll();
  EXPECT_EQ(queue_->backlog_bytes(), 0u);
  connection_->Close(CloseCode::kServiceRestart, "");
  client_->reads = true;
  Quiet();
  ExpectComplete("a", 40);
  EXPECT_EQ(counts().lost_connection, 0);
}

TEST_F(OutQueueTest, WhatAVanishedClientDidNotGetIsLost) {
  const ChannelRef a = Make("a");
  client_->reads = false;
  Send(a, 1, 12);
  const int64_t queued = counts().queued;
  ASSERT_GT(queued, 1);
  client_->Close();
  Quiet();
  EXPECT_EQ(counts().lost_connection, queued);
  EXPECT_EQ(counts().written, 12 - queued);
}

TEST_F(OutQueueTest, WhatWasDroppedAtTheCloseIsNotCountedAgainAtTheEnd) {
  const ChannelRef a = Make("a");
  client_->reads = false;
  Send(a, 1, 12);
  CloseSlow();
  const int64_t lost = dropped(DropReason::kSlowClosed);
  EXPECT_GT(lost, 0);
  client_->reads = true;
  Quiet();
  EXPECT_EQ(dropped(DropReason::kSlowClosed), lost);
  EXPECT_EQ(counts().written, 12 - lost);
}

// ------------------------------------------------------------------------------- tracks

TEST_F(OutQueueTest, ATrackIsToldOfEachThatWasWrittenDroppedOrExpired) {
  const ChannelRef a = Make("a", BacklogPolicy::kDropOldest);
  Track* const track = tracks_.Open(7);
  const auto tracked = [&](int64_t offset) {
    Backlog::Item item = Event(a, offset);
    item.track = track;
    return item;
  };
  ASSERT_EQ(Send(tracked(1)), Outcome::kOk);
  EXPECT_EQ(track->written, 1);
  client_->reads = false;
  const int64_t before = SendUntilSlow(a, 1);
  Backlog::Item expired = tracked(before + 1);
  expired.expires_at = loop_.Now();
  ASSERT_EQ(Send(std::move(expired)), Outcome::kOk);
  EXPECT_EQ(track->waiting, 1);
  client_->reads = true;
  Quiet();
  EXPECT_EQ(track->expired, 1);
  client_->reads = false;
  int64_t last = SendUntilSlow(a, before + 1);
  ASSERT_EQ(Send(tracked(++last)), Outcome::kOk);
  for (int i = 0; i < 40; ++i) ASSERT_EQ(Send(Event(a, ++last)), Outcome::kOk);
  EXPECT_EQ(track->dropped[static_cast<size_t>(DropReason::kDropOldest)], 1);
  EXPECT_EQ(track->waiting, 0);
  EXPECT_EQ(track->matched, 3);
  tracks_.FannedOut(track);
  ASSERT_FALSE(reports_.empty());
  EXPECT_TRUE(reports_.back().second);
}

}  // namespace
}  // namespace fanwire::fanout
