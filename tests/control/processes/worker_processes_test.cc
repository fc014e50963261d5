#include "control/processes/worker_processes.h"

#include <signal.h>

#include <cstdint>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/control/processes/supervisor_fixture.h"
#include "tests/testing/status.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

using WorkerProcessesTest = SupervisorTest;

// ------------------------------------------------------------------------------- starting

TEST_F(WorkerProcessesTest, StartsAWorkerForEachSlot) {
  Make(2);
  EXPECT_THAT(host_.commands.at(101),
              ElementsAre("/usr/bin/fanwire-fanout", "--control", "unix:/run/fanwire/control.sock",
                          "--worker-id", "worker-1", "--slot", "1", "--runtime-dir", "/run/fanwire",
                          "--supervised", "--log-level", "info"));
  EXPECT_EQ(Slot(0).state, ProcessState::kStarting);
  Attach(0);
  EXPECT_EQ(Slot(0).state, ProcessState::kRunning);
  EXPECT_EQ(Slot(0).pid, 100u);
  EXPECT_EQ(Slot(1).id, "worker-1");
  EXPECT_EQ(Slot(1).state, ProcessState::kStarting);
  EXPECT_EQ(Slot(1).restarts, 0);
}

TEST_F(WorkerProcessesTest, NoWorkersMeansNone) {
  Make(0);
  Run(kSecond);
  EXPECT_THAT(supervisor_->Workers(), IsEmpty());
  EXPECT_EQ(host_.spawns, 0);
}

TEST_F(WorkerProcessesTest, WorkerThatDoesNotAttachInTimeIsKilledAndStartedAgain) {
  Make(1);
  Run(29 * kSecond);
  EXPECT_THAT(host_.signals, IsEmpty());
  Run(2 * kSecond);
  EXPECT_THAT(host_.signals, ElementsAre(Pair(100, SIGKILL)));
  EXPECT_EQ(Slot(0).pid, 101u);
  EXPECT_EQ(Slot(0).restarts, 1);
}

TEST_F(WorkerProcessesTest, ProgramThatCannotBeStartedIsTriedAgain) {
  host_.refuse = true;
  Make(1);
  EXPECT_EQ(Slot(0).state, ProcessState::kBackoff);
  EXPECT_EQ(Slot(0).pid, 0u);
  host_.refuse = false;
  Run(150 * kMs);
  EXPECT_EQ(Slot(0).state, ProcessState::kStarting);
}

// ------------------------------------------------------------------------------- adopting

TEST_F(WorkerProcessesTest, SurvivorIsAdoptedAndOnlyWhatIsMissingIsStarted) {
  host_.Survivor("worker-0", 50);
  Make(2);
  EXPECT_EQ(host_.spawns, 1);
  EXPECT_EQ(Slot(0).pid, 50u);
  EXPECT_EQ(Slot(0).state, ProcessState::kStarting);
  EXPECT_THAT(orders_.expected, ElementsAre("worker-0"));  // it may have clients
  Attach(0);
  Attach(1);
  EXPECT_EQ(Slot(0).state, ProcessState::kRunning);
  Run(60 * kSecond);
  EXPECT_THAT(host_.signals, IsEmpty());
  EXPECT_EQ(host_.spawns, 1);
}

TEST_F(WorkerProcessesTest, SurvivorThatDoesNotAttachIsDeadThenKilledAndReplaced) {
  host_.Survivor("worker-0", 50);
  Make(1);
  Run(2900 * kMs);
  EXPECT_EQ(Slot(0).state, ProcessState::kStarting);
  Run(200 * kMs);
  EXPECT_EQ(Slot(0).state, ProcessState::kDead);
  Run(9800 * kMs);
  EXPECT_THAT(host_.signals, IsEmpty());
  Run(kSecond);
  EXPECT_THAT(host_.signals, ElementsAre(Pair(50, SIGKILL)));
  EXPECT_EQ(Slot(0).pid, 100u);
  EXPECT_THAT(orders_.expected, IsEmpty());
}

TEST_F(WorkerProcessesTest, SurvivorThatRunsIsNotKilledForNotAttaching) {
  host_.Survivor("worker-0", 50);
  host_.busy.insert(50);
  Make(1);
  Run(absl::Minutes(5));
  EXPECT_THAT(host_.signals, IsEmpty());
  EXPECT_EQ(Slot(0).state, ProcessState::kDead);
  Attach(0);
  EXPECT_EQ(Slot(0).state, ProcessState::kRunning);
  Run(absl::Minutes(15));
  EXPECT_THAT(host_.signals, IsEmpty());
  EXPECT_EQ(Slot(0).pid, 50u);
}

TEST_F(WorkerProcessesTest, SurvivorWhoseActivityIsUnknownIsNotTakenForFrozen) {
  host_.Survivor("worker-0", 50);
  host_.unknown.insert(50);
  Make(1);
  Run(absl::Minutes(5));
  EXPECT_THAT(host_.signals, IsEmpty());
}

TEST_F(WorkerProcessesTest, SurvivorThatFreezesLaterIsKilledThen) {
  host_.Survivor("worker-0", 50);
  host_.busy.insert(50);
  Make(1);
  Run(absl::Minutes(5));
  host_.busy.clear();
  Run(21 * kSecond);
  EXPECT_THAT(host_.signals, ElementsAre(Pair(50, SIGKILL)));
}

TEST_F(WorkerProcessesTest, SurvivorThatDoesNotEndAsAnOrphanMustIsKilled) {
  host_.Survivor("worker-0", 50);
  host_.busy.insert(50);
  Make(1);
  Run(absl::Minutes(10) + 20 * kSecond);  // orphan_timeout, drain_deadline
  EXPECT_THAT(host_.signals, IsEmpty());
  Run(10 * kSecond);
  EXPECT_THAT(host_.signals, ElementsAre(Pair(50, SIGKILL)));
}

TEST_F(WorkerProcessesTest, WorkerThatRunsIsNotKilledForSilenceOrForAnEndedStream) {
  MakeAttached(2);
  host_.busy = {Pid(0), Pid(1)};
  Detach(0, /*silent=*/true);
  Detach(1, /*silent=*/false);
  Run(absl::Minutes(5));
  EXPECT_THAT(host_.signals, IsEmpty());
  EXPECT_EQ(Slot(0).state, ProcessState::kDead);
  EXPECT_EQ(Slot(1).state, ProcessState::kDead);
}

TEST_F(WorkerProcessesTest, SurvivorThatAttachesLateIsKept) {
  host_.Survivor("worker-0", 50);
  Make(1);
  Run(5 * kSecond);
  Attach(0);
  Run(60 * kSecond);
  EXPECT_EQ(Slot(0).state, ProcessState::kRunning);
  EXPECT_EQ(Slot(0).pid, 50u);
}

TEST_F(WorkerProcessesTest, SurvivorThatEndsIsReplaced) {
  host_.Survivor("worker-0", 50);
  Make(1);
  Exit(0);
  Run(200 * kMs);
  EXPECT_EQ(Slot(0).pid, 100u);
  EXPECT_EQ(Slot(0).restarts, 1);
}

TEST_F(WorkerProcessesTest, NothingIsStartedBesideALockThatIsHeldByAnUnknownProcess) {
  host_.locks["/run/fanwire/worker-0.lock"] = 0;
  Make(1);
  Run(5 * kSecond);
  EXPECT_EQ(host_.spawns, 0);
  EXPECT_EQ(Slot(0).state, ProcessState::kBackoff);
  host_.Survivor("worker-0", 50);
  Run(200 * kMs);
  EXPECT_EQ(Slot(0).pid, 50u);
}

TEST_F(WorkerProcessesTest, SurvivorThatAttachedBeforeItsProcessWasKnownRuns) {
  host_.locks["/run/fanwire/worker-0.lock"] = 0;
  Make(1);
  orders_.attached.insert("worker-0");
  supervisor_->OnWorkerAttached("worker-0", 0, 50, true);
  supervisor_->Step();
  host_.Survivor("worker-0", 50);
  Run(200 * kMs);
  EXPECT_EQ(Slot(0).state, ProcessState::kRunning);
  EXPECT_EQ(Slot(0).pid, 50u);
}

TEST_F(WorkerProcessesTest, SurvivorOverTheNumberIsDrainedAndForgotten) {
  host_.Survivor("worker-3", 53);
  MakeAttached(1);
  orders_.attached.insert("worker-3");
  supervisor_->OnWorkerAttached("worker-3", 3, 53, true);
  supervisor_->Step();
  ASSERT_THAT(orders_.drains, SizeIs(1));
  EXPECT_EQ(orders_.drains[0].id, "worker-3");
  EXPECT_TRUE(orders_.drains[0].order.exit);
  ASSERT_THAT(supervisor_->Workers(), SizeIs(2));
  supervisor_->OnWorkerDetached("worker-3", 53, false);
  host_.Exit(53);
  supervisor_->Step();
  EXPECT_THAT(supervisor_->Workers(), SizeIs(1));
  EXPECT_THAT(orders_.forgotten, ElementsAre("worker-3"));
  Run(kSecond);
  EXPECT_EQ(host_.spawns, 1);
}

TEST_F(WorkerProcessesTest, WorkersThatSomethingElseStartedAreLeftAlone) {
  MakeAttached(1);
  supervisor_->OnWorkerAttached("worker-7", 7, 77, false);
  supervisor_->OnWorkerAttached("edge-1", 0, 78, true);
  supervisor_->OnWorkerDetached("worker-7", 77, true);
  Run(60 * kSecond);
  EXPECT_THAT(supervisor_->Workers(), SizeIs(1));
  EXPECT_EQ(Slot(0).pid, 100u);
  EXPECT_EQ(Slot(0).state, ProcessState::kRunning);
  EXPECT_THAT(host_.signals, IsEmpty());
}

TEST_F(WorkerProcessesTest, ForeignProcessUnderASlotsNameIsNotTakenForItsOwn) {
  Make(1);
  supervisor_->OnWorkerAttached("worker-0", 0, 4321, true);
  supervisor_->Step();
  EXPECT_EQ(Slot(0).state, ProcessState::kStarting);
  EXPECT_EQ(Slot(0).pid, 100u);
  supervisor_->OnWorkerDetached("worker-0", 4321, true);
  Run(15 * kSecond);
  EXPECT_THAT(host_.signals, IsEmpty());
}

// ------------------------------------------------------------------------------- dying

TEST_F(WorkerProcessesTest, WorkerThatEndedIsStartedAgainAfterABackoffThatDoubles) {
  Make(1);
  std::vector<int64_t> waits_ms;
  for (int death = 0; death < 9; ++death) {
    Exit(0, 1);
    EXPECT_EQ(Slot(0).state, ProcessState::kBackoff);
    absl::Duration waited;
    while (Slot(0).state == ProcessState::kBackoff && waited < absl::Minutes(1)) {
      Run(50 * kMs);
      waited += 50 * kMs;
    }
    waits_ms.push_back(absl::ToInt64Milliseconds(waited));
  }
  EXPECT_THAT(waits_ms, ElementsAre(100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000));
  EXPECT_EQ(Slot(0).restarts, 9);
}

TEST_F(WorkerProcessesTest, BackoffBeginsAnewAfterTheWorkerWasStable) {
  MakeAttached(1);
  for (int death = 0; death < 4; ++death) {
    Exit(0, 0, SIGSEGV);
    Run(kSecond);
    Attach(0);
    Run(9 * kSecond);  // not yet stable
  }
  Exit(0, 0, SIGSEGV);
  Run(1500 * kMs);
  EXPECT_EQ(Slot(0).state, ProcessState::kBackoff);
  Run(200 * kMs);
  Attach(0);
  Run(11 * kSecond);
  Exit(0, 0, SIGSEGV);
  Run(100 * kMs);
  EXPECT_EQ(Slot(0).state, ProcessState::kStarting);
}

TEST_F(WorkerProcessesTest, FrozenWorkerIsKilledAndReplaced) {
  MakeAttached(1);
  Detach(0, /*silent=*/true);
  EXPECT_EQ(Slot(0).state, ProcessState::kDead);
  Run(9900 * kMs);
  EXPECT_THAT(host_.signals, IsEmpty());
  Run(300 * kMs);
  EXPECT_THAT(host_.signals, ElementsAre(Pair(100, SIGKILL)));
  EXPECT_EQ(Slot(0).pid, 101u);
}

TEST_F(WorkerProcessesTest, FrozenWorkerThatAttachesAgainIsKept) {
  MakeAttached(1);
  Detach(0, /*silent=*/true);
  Run(9 * kSecond);
  Attach(0);
  EXPECT_EQ(Slot(0).state, ProcessState::kRunning);
  Run(60 * kSecond);
  EXPECT_THAT(host_.signals, IsEmpty());
}

TEST_F(WorkerProcessesTest, WorkerWhoseStreamEndedHasTimeToAttachAgainOrToEnd) {
  MakeAttached(1);
  Detach(0, /*silent=*/false);
  EXPECT_EQ(Slot(0).state, ProcessState::kDead);
  Run(29 * kSecond);
  EXPECT_THAT(host_.signals, IsEmpty());
  Run(2 * kSecond);
  EXPECT_THAT(host_.signals, ElementsAre(Pair(100, SIGKILL)));
}

TEST_F(WorkerProcessesTest, WorkerThatMayBeDrainingByItselfHasTimeForThat) {
  MakeAttached(1);
  supervisor_->Apply({.workers = 1, .drain_deadline = 60 * kSecond});
  Detach(0, /*silent=*/false);
  Run(65 * kSecond);
  EXPECT_THAT(host_.signals, IsEmpty());
  Run(2 * kSecond);
  EXPECT_THAT(host_.signals, ElementsAre(Pair(100, SIGKILL)));
}

TEST_F(WorkerProcessesTest, LateNewsOfAnEarlierProcessDoesNotTouchItsSuccessor) {
  MakeAttached(1);
  Exit(0, 0, SIGKILL);
  Run(150 * kMs);
  Attach(0);
  supervisor_->OnWorkerDetached("worker-0", 100, true);
  Run(60 * kSecond);
  EXPECT_EQ(Slot(0).state, ProcessState::kRunning);
  EXPECT_EQ(Slot(0).pid, 101u);
}

TEST_F(WorkerProcessesTest, TimeInWhichControlItselfStoodStillIsNotHeldAgainstWorkers) {
  Make(2);
  Attach(0);
  Detach(0, /*silent=*/true);
  clock_.Advance(absl::Minutes(5));
  supervisor_->Step();
  EXPECT_THAT(host_.signals, IsEmpty());
  Attach(0);
  Attach(1);
  EXPECT_OK(Restart({"worker-0"}));
  Exit(0);
  clock_.Advance(absl::Minutes(5));
  supervisor_->Step();
  EXPECT_THAT(finished_, IsEmpty());
  Attach(0);
  EXPECT_THAT(finished_, ElementsAre(IsOk()));
  Run(60 * kSecond);
  EXPECT_THAT(host_.signals, IsEmpty());
}

}  // namespace
}  // namespace fanwire::control
