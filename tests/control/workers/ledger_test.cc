#include "control/workers/ledger.h"

#include <array>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "fanwire/v1/worker.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/policies.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

class LedgerTest : public ::testing::Test {
 protected:
  struct Load {
    int64_t sessions = 0;
    int64_t matched = 0;
    int64_t written = 0;
    int64_t queued = 0;
    int64_t opened = 0;
  };
  static v1::ServiceLoad* Add(v1::Heartbeat* heartbeat, const Load& load,
                              const std::string& service = "mahavishnu") {
    v1::ServiceLoad* const out = heartbeat->add_services();
    out->set_service(service);
    out->set_sessions(load.sessions);
    out->set_subscriptions(2 * load.sessions);
    out->set_matched(load.matched);
    out->set_written(load.written);
    out->set_queued(load.queued);
    out->set_sessions_opened(load.opened);
    return out;
  }
  void Update(const std::string& worker, uint64_t incarnation, const Load& load) {
    v1::Heartbeat heartbeat;
    Add(&heartbeat, load);
    ledger_.Update(worker, incarnation, heartbeat);
  }
  ServiceCounts Get() { return ledger_.Get("mahavishnu"); }

  Ledger ledger_;
};

TEST(DropReasonNameTest, NamesEveryReasonAndTheUnknownOnesOther) {
  EXPECT_EQ(DropReasonName(1), "drop_oldest");
  EXPECT_EQ(DropReasonName(2), "conflated");
  EXPECT_EQ(DropReasonName(3), "slow_closed");
  EXPECT_EQ(DropReasonName(4), "closing");
  EXPECT_EQ(DropReasonName(0), "other");
  EXPECT_EQ(DropReasonName(99), "other");
}

TEST_F(LedgerTest, OfAnUnknownServiceAllIsZero) {
  EXPECT_EQ(Get().matched, 0);
  EXPECT_EQ(Get().difference(), 0);
  EXPECT_THAT(ledger_.All(), IsEmpty());
}

TEST_F(LedgerTest, EveryCountOfAHeartbeatIsTaken) {
  v1::Heartbeat heartbeat;
  v1::ServiceLoad* const load =
      Add(&heartbeat, {.sessions = 3, .matched = 100, .written = 60, .queued = 4, .opened = 9});
  load->set_slow_sessions(1);
  load->set_backlog_bytes(17);
  load->set_lost_connection(5);
  load->set_expired(6);
  load->set_recovered(8);
  load->set_sessions_closed(6);
  load->set_messages_received(11);
  load->set_messages_sent(12);
  load->set_bytes_sent(13);
  load->set_peak_sessions(7);
  (*load->mutable_errors())["auth_failed"] = 2;
  for (const auto& [reason, count] : std::vector<std::pair<int, int>>{{1, 10}, {3, 9}, {77, 6}}) {
    v1::DropCount* const drop = load->add_dropped();
    drop->set_reason(static_cast<v1::DropReason>(reason));
    drop->set_count(count);
  }
  ledger_.Update("worker-0", 1, heartbeat);
  const ServiceCounts counts = Get();
  EXPECT_EQ(counts.sessions, 3);
  EXPECT_EQ(counts.subscriptions, 6);
  EXPECT_EQ(counts.slow_sessions, 1);
  EXPECT_EQ(counts.backlog_bytes, 17);
  EXPECT_EQ(counts.queued, 4);
  EXPECT_EQ(counts.matched, 100);
  EXPECT_EQ(counts.written, 60);
  EXPECT_THAT(counts.dropped, ElementsAre(6, 10, 0, 9, 0));
  EXPECT_EQ(counts.dropped_total(), 25);
  EXPECT_EQ(counts.lost_connection, 5);
  EXPECT_EQ(counts.expired, 6);
  EXPECT_EQ(counts.recovered, 8);
  EXPECT_EQ(counts.sessions_opened, 9);
  EXPECT_EQ(counts.sessions_closed, 6);
  EXPECT_EQ(counts.messages_received, 11);
  EXPECT_EQ(counts.messages_sent, 12);
  EXPECT_EQ(counts.bytes_sent, 13);
  EXPECT_EQ(counts.peak_sessions, 7);
  EXPECT_THAT(counts.errors, ElementsAre(Pair("auth_failed", 2)));
  EXPECT_EQ(counts.difference(), 0);
}

TEST_F(LedgerTest, AHeartbeatReplacesTheLastOneOfItsWorkerAndWorkersAddUp) {
  Update("worker-0", 1, {.sessions = 3, .matched = 10, .written = 10});
  Update("worker-1", 1, {.sessions = 1, .matched = 5, .written = 4});
  Update("worker-0", 1, {.sessions = 2, .matched = 20, .written = 18, .queued = 2});
  EXPECT_EQ(Get().sessions, 3);
  EXPECT_EQ(Get().matched, 25);
  EXPECT_EQ(Get().difference(), 1);
  EXPECT_EQ(ledger_.WorkerSessions("worker-0"), 2);
  EXPECT_EQ(ledger_.WorkerSubscriptions("worker-0"), 4);
  EXPECT_EQ(ledger_.WorkerSessions("worker-9"), 0);
}

TEST_F(LedgerTest, WhatAGoneWorkerCountedStaysAndItsSessionsDoNot) {
  Update("worker-0", 1, {.sessions = 3, .matched = 10, .written = 6, .queued = 4, .opened = 3});
  ledger_.WorkerGone("worker-0", 1);
  EXPECT_EQ(Get().sessions, 0);
  EXPECT_EQ(Get().matched, 10);
  // Its process may be alive and deliver what it has.
  EXPECT_EQ(Get().queued, 4);
  EXPECT_EQ(Get().lost_connection, 0);
  EXPECT_EQ(Get().difference(), 0);
  EXPECT_EQ(ledger_.WorkerSessions("worker-0"), 0);
  EXPECT_EQ(ledger_.WorkerSubscriptions("worker-0"), 0);
}

TEST_F(LedgerTest, AWorkerThatAttachesAgainGoesOnWithItsCounts) {
  ledger_.Attached("worker-0", 1, false);
  Update("worker-0", 1, {.sessions = 3, .matched = 10, .written = 6, .queued = 4});
  ledger_.WorkerGone("worker-0", 1);
  ledger_.Attached("worker-0", 1, true);
  EXPECT_EQ(Get().matched, 10);
  Update("worker-0", 1, {.sessions = 3, .matched = 12, .written = 12});
  EXPECT_EQ(Get().matched, 12);
  EXPECT_EQ(Get().written, 12);
  EXPECT_EQ(Get().lost_connection, 0);
  EXPECT_EQ(Get().sessions, 3);
  EXPECT_EQ(Get().difference(), 0);
}

TEST_F(LedgerTest, WhatAWorkerCountedForAnEarlierControlIsLeftOut) {
  v1::Heartbeat before;
  v1::ServiceLoad* const load =
      Add(&before, {.sessions = 3, .matched = 1000, .written = 900, .queued = 4, .opened = 50});
  load->set_lost_connection(80);
  load->set_expired(10);
  load->set_recovered(7);
  load->set_sessions_closed(47);
  load->set_bytes_sent(12345);
  (*load->mutable_errors())["auth_failed"] = 2;
  v1::DropCount* const drop = load->add_dropped();
  drop->set_reason(v1::DROP_REASON_SLOW_CLOSED);
  drop->set_count(6);
  ledger_.Attached("worker-0", 1, true);
  ledger_.Update("worker-0", 1, before);
  ServiceCounts counts = Get();
  EXPECT_EQ(counts.matched, 4);  // what waits
  EXPECT_EQ(counts.queued, 4);
  EXPECT_EQ(counts.written + counts.dropped_total() + counts.lost_connection + counts.expired, 0);
  EXPECT_EQ(counts.recovered + counts.sessions_opened + counts.sessions_closed, 0);
  EXPECT_EQ(counts.bytes_sent, 0);
  EXPECT_THAT(counts.errors, ElementsAre(Pair("auth_failed", 0)));
  EXPECT_EQ(counts.sessions, 3);
  EXPECT_EQ(counts.difference(), 0);

  load->set_matched(1010);
  load->set_written(914);
  load->set_queued(0);
  load->set_sessions_opened(51);
  ledger_.Update("worker-0", 1, before);
  counts = Get();
  EXPECT_EQ(counts.matched, 14);
  EXPECT_EQ(counts.written, 14);
  EXPECT_EQ(counts.sessions_opened, 1);
  EXPECT_EQ(counts.difference(), 0);

  // Its successor has served nobody before.
  ledger_.Attached("worker-0", 2, false);
  Update("worker-0", 2, {.sessions = 1, .matched = 5, .written = 5, .opened = 1});
  EXPECT_EQ(Get().matched, 19);
  EXPECT_EQ(Get().difference(), 0);
}

TEST_F(LedgerTest, ANewWorkersFirstHeartbeatCounts) {
  ledger_.Attached("worker-0", 1, false);
  Update("worker-0", 1, {.sessions = 3, .matched = 10, .written = 10});
  EXPECT_EQ(Get().matched, 10);
}

TEST_F(LedgerTest, AServiceThatAWorkerTellsLaterCountsFromZero) {
  ledger_.Attached("worker-0", 1, true);
  Update("worker-0", 1, {.matched = 100, .written = 100});
  v1::Heartbeat heartbeat;
  Add(&heartbeat, {.matched = 100, .written = 100});
  Add(&heartbeat, {.matched = 3, .written = 3}, "new");
  ledger_.Update("worker-0", 1, heartbeat);
  EXPECT_EQ(Get().matched, 0);
  EXPECT_EQ(ledger_.Get("new").matched, 3);
}

TEST_F(LedgerTest, WhatWasQueuedIsLostWhenTheProcessIsReplacedOrForgotten) {
  Update("worker-0", 1, {.sessions = 3, .matched = 10, .written = 6, .queued = 4, .opened = 3});
  ledger_.WorkerGone("worker-0", 1);
  ledger_.Attached("worker-0", 2, false);
  EXPECT_EQ(Get().lost_connection, 4);
  EXPECT_EQ(Get().queued, 0);
  EXPECT_EQ(Get().sessions_closed, 3);
  Update("worker-1", 1, {.sessions = 2, .matched = 7, .written = 5, .queued = 2});
  ledger_.WorkerGone("worker-1", 1);
  ledger_.Forget("worker-1");
  ledger_.Forget("worker-9");
  EXPECT_EQ(Get().lost_connection, 6);
  EXPECT_EQ(Get().matched, 17);
  EXPECT_EQ(Get().difference(), 0);
}

// What Prometheus reads as a counter never goes back, whatever happens to links and processes.
TEST_F(LedgerTest, NoTotalEverGoesBack) {
  std::mt19937 random(7);
  const auto below = [&](int64_t n) { return static_cast<int64_t>(random() % n); };
  struct Process {
    uint64_t incarnation = 1;
    bool attached = false;
    Load load;
  };
  std::array<Process, 3> processes;
  ServiceCounts last;
  for (int step = 0; step < 5000; ++step) {
    const size_t i = random() % processes.size();
    Process& process = processes[i];
    const std::string id = std::to_string(i);
    if (!process.attached) {
      if (below(3) == 0) process = {process.incarnation + 1, false, {}};
      if (below(5) == 0) ledger_.Forget(id);
      ledger_.Attached(id, process.incarnation, below(2) == 0);
      process.attached = true;
    } else if (below(6) == 0) {
      ledger_.WorkerGone(id, process.incarnation);
      process.attached = false;
    }
    const int64_t matched = below(50);
    process.load.matched += matched;
    process.load.queued += matched;
    const int64_t written = below(process.load.queued + 1);
    process.load.written += written;
    process.load.queued -= written;
    if (process.attached) Update(id, process.incarnation, process.load);
    const ServiceCounts counts = Get();
    ASSERT_GE(counts.matched, last.matched) << step;
    ASSERT_GE(counts.written, last.written) << step;
    ASSERT_GE(counts.lost_connection, last.lost_connection) << step;
    ASSERT_EQ(counts.difference(), 0) << step;
    last = counts;
  }
}

TEST_F(LedgerTest, ASuccessorBeginsAtZeroAndTheSumGoesOn) {
  Update("worker-0", 1, {.sessions = 3, .matched = 10, .written = 6, .queued = 4, .opened = 5});
  Update("worker-0", 2, {.sessions = 1, .matched = 2, .written = 2, .opened = 1});
  EXPECT_EQ(Get().sessions, 1);
  EXPECT_EQ(Get().matched, 12);
  EXPECT_EQ(Get().written, 8);
  EXPECT_EQ(Get().lost_connection, 4);
  EXPECT_EQ(Get().sessions_opened, 6);
  EXPECT_EQ(Get().sessions_closed, 3);
  EXPECT_EQ(Get().difference(), 0);
}

TEST_F(LedgerTest, ASuccessorIsOneAlsoWithALowerNumber) {
  Update("worker-0", 2, {.sessions = 3, .matched = 5, .written = 5});
  Update("worker-0", 1, {.sessions = 1, .matched = 2, .written = 2});
  EXPECT_EQ(Get().matched, 7);
  EXPECT_EQ(Get().sessions, 1);
}

TEST_F(LedgerTest, TheEndOfAnIncarnationThatWasReplacedChangesNothing) {
  Update("worker-0", 2, {.sessions = 1, .matched = 5, .written = 5});
  ledger_.WorkerGone("worker-0", 1);
  ledger_.WorkerGone("worker-7", 1);
  EXPECT_EQ(Get().sessions, 1);
}

TEST_F(LedgerTest, ThePeakIsThatOfAllWorkersTogether) {
  Update("worker-0", 1, {.sessions = 3});
  Update("worker-1", 1, {.sessions = 4});
  Update("worker-0", 1, {.sessions = 1});
  EXPECT_EQ(Get().peak_sessions, 7);
  ledger_.WorkerGone("worker-1", 1);
  Update("worker-0", 1, {.sessions = 5});
  EXPECT_EQ(Get().peak_sessions, 7);
}

TEST_F(LedgerTest, AllNamesEveryServiceThatWasEverReported) {
  v1::Heartbeat first, second;
  Add(&first, {.matched = 1}, "a");
  Add(&first, {.matched = 2}, "b");
  Add(&second, {.matched = 3}, "b");
  ledger_.Update("worker-0", 1, first);
  ledger_.Update("worker-0", 2, second);
  const std::map<std::string, ServiceCounts> all = ledger_.All();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all.at("a").matched, 1);
  EXPECT_EQ(all.at("b").matched, 5);
}

TEST_F(LedgerTest, HeartbeatsAndQuestionsMayMeet) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([this, t] {
      for (int i = 1; i <= 500; ++i) {
        Update("worker-" + std::to_string(t), 1, {.sessions = 1, .matched = i, .written = i});
        ASSERT_EQ(Get().difference(), 0);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Get().matched, 1500);
}

}  // namespace
}  // namespace fanwire::control
