#include "control/workers/connection_quota.h"

#include <deque>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// "worker service=connections" of each grant.
std::vector<std::string> Settle(ConnectionQuota* pool) {
  std::vector<std::string> told;
  for (const ConnectionQuota::Grant& grant : pool->Settle()) {
    told.push_back(absl::StrCat(grant.worker, " ", grant.service, "=", grant.connections));
  }
  return told;
}

class ConnectionQuotaTest : public ::testing::Test {
 protected:
  ConnectionQuotaTest() { pool_.SetLimit("akosha", 10); }

  void Request(absl::string_view worker, uint32_t want, uint32_t in_use, uint32_t waiting = 0) {
    pool_.Request(worker, "akosha", {.want = want, .in_use = in_use, .waiting = waiting});
  }
  // The worker has given back: it holds so many now.
  void Confirm(absl::string_view worker, uint32_t held, uint32_t in_use, uint32_t waiting = 0) {
    pool_.Confirm(worker, "akosha", {.want = held, .in_use = in_use, .waiting = waiting});
  }
  void Adopt(absl::string_view worker, uint32_t held, uint32_t in_use) {
    pool_.Adopt(worker, "akosha", {.want = held, .in_use = in_use});
  }

  ConnectionQuota pool_;
};

TEST_F(ConnectionQuotaTest, GrantsAsManyAsRemain) {
  Request("a", 8, 0);
  EXPECT_THAT(Settle(&pool_), ElementsAre("a akosha=8"));
  Request("b", 8, 0);
  EXPECT_THAT(Settle(&pool_), ElementsAre("b akosha=2"));
  EXPECT_EQ(pool_.leased("akosha"), 10);
}

TEST_F(ConnectionQuotaTest, AnswersARequestThatChangesNothing) {
  Request("a", 8, 0);
  Settle(&pool_);
  EXPECT_THAT(Settle(&pool_), IsEmpty());
  Request("a", 8, 8);
  EXPECT_THAT(Settle(&pool_), ElementsAre("a akosha=8"));
}

TEST_F(ConnectionQuotaTest, NeverGrantsFewerThanAreInUse) {
  Request("a", 10, 10);
  Request("b", 8, 3);
  EXPECT_THAT(Settle(&pool_), ElementsAre("a akosha=10", "b akosha=3"));
  EXPECT_EQ(pool_.leased("akosha"), 13);
}

// ------------------------------------------------------------------------------- given back

TEST_F(ConnectionQuotaTest, WhatIsGivenBackIsLeasedUntilItIsConfirmed) {
  Request("a", 10, 0);
  Settle(&pool_);
  Request("a", 4, 3);
  Request("b", 8, 0);
  EXPECT_THAT(Settle(&pool_), ElementsAre("a akosha=4", "b akosha=0"));
  EXPECT_EQ(pool_.leased("akosha"), 10);
  Confirm("a", 4, 3);
  EXPECT_THAT(Settle(&pool_), ElementsAre("b akosha=6"));
}

TEST_F(ConnectionQuotaTest, WhatIsUsedMeanwhileIsNotGivenBack) {
  Request("a", 10, 0);
  Settle(&pool_);
  Request("a", 4, 3);
  Request("b", 8, 0);
  Settle(&pool_);
  Confirm("a", 7, 7);
  EXPECT_THAT(Settle(&pool_), ElementsAre("b akosha=3"));
  EXPECT_EQ(pool_.leased("akosha"), 10);
}

TEST_F(ConnectionQuotaTest, WhatAWorkerSaysBeforeItHasHeardChangesNothing) {
  Request("a", 10, 0);
  Settle(&pool_);
  Request("a", 4, 3);
  Settle(&pool_);
  Request("a", 18, 10);
  EXPECT_THAT(Settle(&pool_), IsEmpty());  // an answer would be a second grant to confirm
  Confirm("a", 10, 10);
  EXPECT_THAT(Settle(&pool_), IsEmpty());
  EXPECT_EQ(pool_.leased("akosha"), 10);
}

TEST_F(ConnectionQuotaTest, ASecondConfirmationFreesNothing) {
  Request("a", 8, 0);
  Settle(&pool_);
  Confirm("a", 2, 0);
  EXPECT_EQ(pool_.leased("akosha"), 8);
}

TEST_F(ConnectionQuotaTest, AWorkerThatNeverConfirmsIsTakenByItsWord) {
  Request("a", 10, 0);
  Settle(&pool_);
  Request("a", 4, 3);
  Request("b", 8, 0);
  Settle(&pool_);
  for (int tick = 0; tick < 3; ++tick) pool_.Tick();
  EXPECT_THAT(Settle(&pool_), IsEmpty());
  pool_.Tick();
  EXPECT_THAT(Settle(&pool_), ElementsAre("b akosha=6"));
}

// ------------------------------------------------------------------------------- turns

TEST_F(ConnectionQuotaTest, GivesWhatIsReturnedToTheLongestWaiting) {
  Request("a", 10, 10);
  Request("c", 4, 0);
  Request("b", 4, 0);
  Settle(&pool_);
  Request("a", 4, 4);
  EXPECT_THAT(Settle(&pool_), ElementsAre("a akosha=4"));
  Confirm("a", 4, 4);
  EXPECT_THAT(Settle(&pool_), ElementsAre("b akosha=2", "c akosha=4"));
}

TEST_F(ConnectionQuotaTest, AskingAgainKeepsTheTurn) {
  Request("a", 10, 10);
  Request("c", 4, 0);
  Request("b", 4, 0);
  Request("c", 5, 0);
  Settle(&pool_);
  pool_.Release("a");
  Request("a", 5, 5);
  EXPECT_THAT(Settle(&pool_), ElementsAre("a akosha=5", "c akosha=5"));
}

TEST_F(ConnectionQuotaTest, WhoAsksForLessDoesNotWaitAnyLonger) {
  Request("a", 10, 10);
  Request("b", 4, 0);
  Request("b", 0, 0);
  Settle(&pool_);
  pool_.Release("a");
  EXPECT_THAT(Settle(&pool_), IsEmpty());
}

TEST_F(ConnectionQuotaTest, ClientsAtTheDoorComeBeforeReserves) {
  Request("a", 10, 10);
  Settle(&pool_);
  Request("b", 8, 0);
  Request("c", 9, 0, /*waiting=*/1);
  Settle(&pool_);
  Confirm("a", 9, 9);  // it was asked, and had one more than it knew
  EXPECT_THAT(Settle(&pool_), ElementsAre("c akosha=1"));
}

TEST_F(ConnectionQuotaTest, SlotsOfAWorkerThatIsGoneAreFree) {
  Request("a", 10, 10);
  Request("b", 8, 0);
  Settle(&pool_);
  pool_.Release("a");
  EXPECT_THAT(Settle(&pool_), ElementsAre("b akosha=8"));
}

TEST_F(ConnectionQuotaTest, AHigherLimitServesThoseWhoWait) {
  Request("a", 15, 0);
  Settle(&pool_);
  pool_.SetLimit("akosha", 12);
  EXPECT_THAT(Settle(&pool_), ElementsAre("a akosha=12"));
}

TEST_F(ConnectionQuotaTest, AServiceWithoutALimitHasNoSlots) {
  pool_.Request("a", "unknown", {.want = 8});
  EXPECT_THAT(Settle(&pool_), ElementsAre("a unknown=0"));
}

TEST_F(ConnectionQuotaTest, ServicesHaveTheirOwnSlots) {
  pool_.SetLimit("dhruva", 5);
  Request("a", 10, 0);
  pool_.Request("a", "dhruva", {.want = 10});
  EXPECT_THAT(Settle(&pool_), ElementsAre("a akosha=10", "a dhruva=5"));
}

// ------------------------------------------------------------------------------- for clients

TEST_F(ConnectionQuotaTest, AClientThatWaitsGetsASlotOfTheIdlestWorker) {
  Request("a", 4, 2);
  Request("b", 6, 0);
  Settle(&pool_);
  Request("c", 9, 0, /*waiting=*/1);
  EXPECT_THAT(Settle(&pool_), ElementsAre("b akosha=5", "c akosha=0"));
  Confirm("b", 5, 0);
  EXPECT_THAT(Settle(&pool_), ElementsAre("c akosha=1"));
  EXPECT_EQ(pool_.leased("akosha"), 10);
}

TEST_F(ConnectionQuotaTest, ManyClientsGetSlotsOfSeveralWorkers) {
  Request("a", 4, 1);
  Request("b", 6, 1);
  Settle(&pool_);
  Request("c", 15, 0, /*waiting=*/7);
  EXPECT_THAT(Settle(&pool_), ElementsAre("a akosha=2", "b akosha=1", "c akosha=0"));
  Confirm("b", 1, 1);
  EXPECT_THAT(Settle(&pool_), ElementsAre("c akosha=5"));
  Confirm("a", 2, 1);
  EXPECT_THAT(Settle(&pool_), ElementsAre("c akosha=7"));
}

TEST_F(ConnectionQuotaTest, WhoGaveLessThanAskedIsNotAskedForItAgainButOthersAre) {
  Request("a", 4, 0);
  Request("b", 6, 0);
  Settle(&pool_);
  Request("c", 9, 0, /*waiting=*/1);
  EXPECT_THAT(Settle(&pool_), ElementsAre("b akosha=5", "c akosha=0"));
  Confirm("b", 6, 6);
  EXPECT_THAT(Settle(&pool_), ElementsAre("a akosha=3"));
  Confirm("a", 4, 4);
  // Nothing seems idle: each is asked once more, for it may have changed since.
  EXPECT_THAT(Settle(&pool_), ElementsAre("a akosha=3", "b akosha=5"));
  Confirm("a", 4, 4);
  Confirm("b", 6, 6);
  EXPECT_THAT(Settle(&pool_), IsEmpty());
}

TEST_F(ConnectionQuotaTest, SlotsThatAReportShowsIdleAreAskedFor) {
  Request("a", 10, 10);
  Settle(&pool_);
  Request("b", 9, 0, /*waiting=*/1);
  EXPECT_THAT(Settle(&pool_), ElementsAre("a akosha=9", "b akosha=0"));
  Confirm("a", 10, 10);
  EXPECT_THAT(Settle(&pool_), IsEmpty());
  pool_.SetInUse("a", "akosha", 9);
  EXPECT_THAT(Settle(&pool_), ElementsAre("a akosha=9"));
  Confirm("a", 9, 9);
  EXPECT_THAT(Settle(&pool_), ElementsAre("b akosha=1"));
}

TEST_F(ConnectionQuotaTest, AReserveTakesNothingFromOthers) {
  Request("a", 10, 0);
  Settle(&pool_);
  Request("b", 8, 0);
  EXPECT_THAT(Settle(&pool_), ElementsAre("b akosha=0"));
}

TEST_F(ConnectionQuotaTest, WhatIsOnItsWayIsNotAskedForTwice) {
  Request("a", 10, 0);
  Settle(&pool_);
  Request("b", 9, 0, /*waiting=*/1);
  EXPECT_THAT(Settle(&pool_), ElementsAre("a akosha=9", "b akosha=0"));
  Request("c", 9, 0, /*waiting=*/1);
  EXPECT_THAT(Settle(&pool_), ElementsAre("c akosha=0"));
  Confirm("a", 9, 0);
  EXPECT_THAT(Settle(&pool_), ElementsAre("a akosha=8", "b akosha=1"));
  Confirm("a", 8, 0);
  EXPECT_THAT(Settle(&pool_), ElementsAre("c akosha=1"));
}

TEST_F(ConnectionQuotaTest, AClientThatGaveUpIsNotWaitedFor) {
  Request("a", 10, 10);
  Settle(&pool_);
  Request("b", 9, 0, /*waiting=*/1);
  Settle(&pool_);
  Confirm("a", 10, 10);
  Request("b", 8, 0);
  Settle(&pool_);
  pool_.SetInUse("a", "akosha", 4);
  EXPECT_THAT(Settle(&pool_), IsEmpty());
}

TEST_F(ConnectionQuotaTest, TwoWorkersWithClientsAtTheirDoorsTakeNothingFromEachOther) {
  Request("a", 5, 5);
  Request("b", 5, 5);
  Settle(&pool_);
  Request("a", 14, 5, /*waiting=*/1);
  Request("b", 14, 5, /*waiting=*/1);
  EXPECT_THAT(Settle(&pool_), ElementsAre("a akosha=5", "b akosha=5"));
  EXPECT_THAT(Settle(&pool_), IsEmpty());
}

// Workers that take, give and answer as fanout/quota_lease.h does, at random and with all messages
// late: together they never hold more than the limit, and a client that waits gets what is idle.
TEST_F(ConnectionQuotaTest, WorkersNeverHoldMoreThanTheLimitTogether) {
  struct Worker {
    uint32_t held = 0, in_use = 0, waiting = 0;
    std::deque<uint32_t> grants;  // under way to it
    std::deque<std::pair<ConnectionQuota::Claim, bool>>
        says;  // under way from it; whether it confirms
  };
  std::map<std::string, Worker> workers = {{"a", {}}, {"b", {}}, {"c", {}}};
  std::mt19937 random(7);
  const auto settle = [&] {
    for (const ConnectionQuota::Grant& grant : pool_.Settle()) {
      workers[grant.worker].grants.push_back(grant.connections);
    }
  };
  const auto say = [](Worker* worker, uint32_t want, bool confirms) {
    worker->says.emplace_back(
        ConnectionQuota::Claim{.want = want, .in_use = worker->in_use, .waiting = worker->waiting},
        confirms);
  };
  const auto hear = [&](Worker* worker) {
    if (worker->grants.empty()) return;
    const uint32_t granted = worker->grants.front();
    worker->grants.pop_front();
    const bool less = granted < worker->held;
    worker->held = std::max(granted, worker->in_use);
    if (less) say(worker, worker->held, true);
    while (worker->waiting > 0 && worker->in_use < worker->held) {
      --worker->waiting;
      ++worker->in_use;
    }
  };
  const auto tell = [&](const std::string& id, Worker* worker) {
    if (worker->says.empty()) return;
    const auto [claim, confirms] = worker->says.front();
    worker->says.pop_front();
    if (confirms) {
      pool_.Confirm(id, "akosha", claim);
    } else {
      pool_.Request(id, "akosha", claim);
    }
    settle();
  };
  for (int step = 0; step < 20000; ++step) {
    const std::string id(1, static_cast<char>('a' + random() % 3));
    Worker* const worker = &workers[id];
    switch (random() % 6) {
      case 0:
        if (worker->in_use < worker->held) {
          ++worker->in_use;
        } else {
          ++worker->waiting;
        }
        say(worker, worker->in_use + worker->waiting + random() % 9, false);
        break;
      case 1:
        if (worker->in_use > 0) --worker->in_use;
        say(worker, worker->in_use + worker->waiting + random() % 9, false);
        break;
      case 2:
      case 3:
        hear(worker);
        break;
      default:
        tell(id, worker);
    }
    uint32_t held = 0;
    for (const auto& [name, each] : workers) held += each.held;
    ASSERT_LE(held, 10u) << "step " << step;
  }
  // All are heard; then one client more than anybody has room for comes to `a`.
  const auto quiet = [&] {
    for (int i = 0; i < 1000; ++i) {
      for (auto& [id, worker] : workers) {
        tell(id, &worker);
        hear(&worker);
      }
    }
  };
  quiet();
  for (auto& [id, worker] : workers) {
    worker.in_use = worker.waiting = 0;
    say(&worker, 3, false);
  }
  quiet();
  Worker* const a = &workers["a"];
  a->in_use = a->held;
  a->waiting = 10 - a->held;
  say(a, 18, false);
  quiet();
  EXPECT_EQ(a->in_use, 10u);
}

// ------------------------------------------------------------------------------- over the limit

TEST_F(ConnectionQuotaTest, AdoptedSlotsAreKeptOverTheLimit) {
  Request("a", 10, 10);
  Settle(&pool_);
  Adopt("b", 6, 4);
  EXPECT_THAT(Settle(&pool_), ElementsAre("b akosha=6"));
  EXPECT_EQ(pool_.leased("akosha"), 16);
}

TEST_F(ConnectionQuotaTest, NobodyIsGrantedMoreWhileMoreIsLeasedThanTheLimit) {
  Adopt("a", 16, 16);
  Settle(&pool_);
  Request("b", 8, 0);
  EXPECT_THAT(Settle(&pool_), ElementsAre("b akosha=0"));
  Request("a", 9, 9);
  Settle(&pool_);
  Confirm("a", 9, 9);
  EXPECT_THAT(Settle(&pool_), ElementsAre("b akosha=1"));
}

TEST_F(ConnectionQuotaTest, TakesBackIdleSlotsOverTheLimitFromTheIdlest) {
  Adopt("a", 8, 7);
  Adopt("b", 8, 1);
  Settle(&pool_);
  pool_.Tick();
  EXPECT_THAT(Settle(&pool_), ElementsAre("b akosha=2"));
  Confirm("b", 2, 1);
  EXPECT_EQ(pool_.leased("akosha"), 10);
}

TEST_F(ConnectionQuotaTest, TakesNothingBackThatIsInUse) {
  Adopt("a", 16, 0);
  pool_.SetInUse("a", "akosha", 15);
  Settle(&pool_);
  pool_.Tick();
  EXPECT_THAT(Settle(&pool_), ElementsAre("a akosha=15"));
}

TEST_F(ConnectionQuotaTest, TakesNothingBackWithinTheLimit) {
  Request("a", 10, 0);
  Settle(&pool_);
  pool_.Tick();
  EXPECT_THAT(Settle(&pool_), IsEmpty());
}

TEST_F(ConnectionQuotaTest, SlotsTakenBackAreNotWaitedFor) {
  Request("a", 10, 2);
  Settle(&pool_);
  pool_.SetLimit("akosha", 5);
  pool_.Tick();
  EXPECT_THAT(Settle(&pool_), ElementsAre("a akosha=5"));
  Confirm("a", 5, 2);
  pool_.SetLimit("akosha", 10);
  EXPECT_THAT(Settle(&pool_), IsEmpty());
}

TEST_F(ConnectionQuotaTest, SlotsThatAreUsedBeyondWhatIsHeldAreLeased) {
  Request("a", 4, 2);
  Settle(&pool_);
  pool_.SetInUse("a", "akosha", 9);
  EXPECT_EQ(pool_.leased("akosha"), 9);
}

}  // namespace
}  // namespace fanwire::control
