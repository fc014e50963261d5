#include "control/processes/supervisor.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/metrics.h"
#include "control/processes/process_host.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/control/processes/supervisor_fixture.h"
#include "tests/testing/status.h"
#include "tests/testing/wait_for.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

// ------------------------------------------------------------------------------- drains

TEST_F(SupervisorTest, DrainedSlotStaysStoppedUntilRestart) {
  MakeAttached(2);
  EXPECT_OK(Drain("worker-0"));
  ASSERT_THAT(orders_.drains, SizeIs(1));
  EXPECT_TRUE(orders_.drains[0].order.exit);
  EXPECT_EQ(Slot(0).state, ProcessState::kDraining);
  orders_.drains[0].progress(12, false);
  orders_.drains[0].progress(0, true);
  supervisor_->Step();
  Detach(0, false);
  EXPECT_THAT(drained_, ElementsAre(Pair(12, false), Pair(0, false)));  // its process still runs
  Exit(0);
  EXPECT_THAT(drained_, ElementsAre(Pair(12, false), Pair(0, false), Pair(0, true)));
  EXPECT_EQ(Slot(0).state, ProcessState::kStopped);
  Run(60 * kSecond);
  EXPECT_EQ(Slot(0).state, ProcessState::kStopped);
  EXPECT_EQ(host_.spawns, 2);

  EXPECT_OK(Restart({"worker-0"}, /*only_stopped=*/true));
  EXPECT_EQ(Slot(0).state, ProcessState::kStarting);
  EXPECT_THAT(finished_, IsEmpty());
  Attach(0);
  EXPECT_THAT(reports_, ElementsAre("worker-0 starting", "worker-0 ready"));
  EXPECT_THAT(finished_, ElementsAre(IsOk()));
}

TEST_F(SupervisorTest, DrainOfAWorkerThatIsNotAttachedIsBySignal) {
  Make(1);
  EXPECT_OK(Drain("worker-0"));
  EXPECT_THAT(host_.signals, ElementsAre(Pair(100, SIGTERM)));
  supervisor_->Step();
  EXPECT_EQ(Slot(0).state, ProcessState::kStopped);
  EXPECT_THAT(drained_, ElementsAre(Pair(0, true)));
}

TEST_F(SupervisorTest, DrainOfASlotThatWaitsToStartStopsItAtOnce) {
  Make(1);
  Exit(0, 1);
  EXPECT_OK(Drain("worker-0"));
  EXPECT_THAT(drained_, ElementsAre(Pair(0, true)));
  Run(kSecond);
  EXPECT_EQ(Slot(0).state, ProcessState::kStopped);
}

TEST_F(SupervisorTest, DrainOfAnUnknownWorkerIsRefused) {
  MakeAttached(1);
  EXPECT_THAT(Drain("worker-9"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("worker-9")));
  EXPECT_THAT(drained_, IsEmpty());
}

TEST_F(SupervisorTest, DrainedWorkerThatLingersIsTerminatedThenKilled) {
  MakeAttached(1);
  host_.deaf.insert(100);
  EXPECT_OK(Drain("worker-0"));
  Run(17900 * kMs);
  EXPECT_THAT(host_.signals, IsEmpty());
  Run(200 * kMs);
  EXPECT_THAT(host_.signals, ElementsAre(Pair(100, SIGTERM)));
  Run(3 * kSecond);
  EXPECT_THAT(host_.signals, ElementsAre(Pair(100, SIGTERM), Pair(100, SIGKILL)));
  EXPECT_EQ(Slot(0).state, ProcessState::kStopped);
}

TEST_F(SupervisorTest, WorkerThatFreezesWhileItDrainsIsKilledAsAFrozenOne) {
  MakeAttached(1);
  EXPECT_OK(Drain("worker-0"));
  Detach(0, /*silent=*/true);
  Run(10100 * kMs);
  EXPECT_THAT(host_.signals, ElementsAre(Pair(100, SIGKILL)));
  EXPECT_EQ(Slot(0).state, ProcessState::kStopped);
}

TEST_F(SupervisorTest, DrainGivesADeadWorkerNoMoreTime) {
  MakeAttached(1);
  host_.deaf.insert(100);
  Detach(0, /*silent=*/true);
  Run(8 * kSecond);
  EXPECT_OK(Drain("worker-0"));
  Run(2100 * kMs);
  EXPECT_THAT(host_.signals, ElementsAre(Pair(100, SIGTERM), Pair(100, SIGKILL)));
}

// ------------------------------------------------------------------------------- restarts

TEST_F(SupervisorTest, RollingRestartReplacesOneWorkerAfterAnother) {
  MakeAttached(2);
  orders_.ready = false;
  EXPECT_OK(Restart());
  ASSERT_THAT(orders_.drains, SizeIs(1));
  EXPECT_EQ(orders_.drains[0].order.window, 5 * kSecond);
  Exit(0);
  EXPECT_EQ(Slot(0).pid, 102u);  // at once
  Attach(0);
  Run(kSecond);
  ASSERT_THAT(orders_.drains, SizeIs(1));  // attached, but not ready
  orders_.ready = true;
  Run(50 * kMs);
  ASSERT_THAT(orders_.drains, SizeIs(2));
  EXPECT_EQ(orders_.drains[1].id, "worker-1");
  EXPECT_EQ(Slot(0).state, ProcessState::kRunning);
  Exit(1);
  Attach(1);
  EXPECT_THAT(reports_, ElementsAre("worker-0 draining", "worker-0 starting", "worker-0 ready",
                                    "worker-1 draining", "worker-1 starting", "worker-1 ready"));
  EXPECT_THAT(finished_, ElementsAre(IsOk()));
  EXPECT_EQ(Slot(0).restarts, 1);
  EXPECT_EQ(Slot(1).restarts, 1);
}

TEST_F(SupervisorTest, RollingRestartEndsAtAWorkerThatDoesNotBecomeReady) {
  MakeAttached(2);
  EXPECT_OK(Restart());
  Exit(0);
  Run(61 * kSecond);
  EXPECT_THAT(finished_, ElementsAre(StatusIs(absl::StatusCode::kDeadlineExceeded,
                                              HasSubstr("worker-0 was not ready within 1m"))));
  EXPECT_EQ(Slot(1).state, ProcessState::kRunning);
  EXPECT_THAT(orders_.drains, SizeIs(1));
}

TEST_F(SupervisorTest, RestartOfTheStoppedLeavesTheOthersAlone) {
  MakeAttached(3);
  EXPECT_OK(Drain("worker-1"));
  Exit(1);
  EXPECT_OK(Restart({}, /*only_stopped=*/true));
  Attach(1);
  EXPECT_THAT(reports_, ElementsAre("worker-1 starting", "worker-1 ready"));
  EXPECT_THAT(finished_, ElementsAre(IsOk()));
  EXPECT_THAT(orders_.drains, SizeIs(1));
  EXPECT_EQ(host_.spawns, 4);
}

TEST_F(SupervisorTest, RestartOfAnUnknownWorkerDoesNothing) {
  MakeAttached(1);
  EXPECT_THAT(Restart({"worker-0", "worker-9"}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("worker-9")));
  EXPECT_THAT(orders_.drains, IsEmpty());
  EXPECT_THAT(finished_, IsEmpty());
}

TEST_F(SupervisorTest, SecondRestartWaitsForTheFirst) {
  MakeAttached(2);
  EXPECT_OK(Restart({"worker-0"}));
  EXPECT_OK(Restart({"worker-1"}));
  EXPECT_THAT(reports_, ElementsAre("worker-0 draining"));
  Exit(0);
  Attach(0);
  EXPECT_THAT(finished_, SizeIs(1));
  EXPECT_EQ(reports_.back(), "worker-1 draining");
}

TEST_F(SupervisorTest, OperatorsDrainWinsOverARestartThatIsUnderWay) {
  MakeAttached(2);
  EXPECT_OK(Restart());
  EXPECT_OK(Drain("worker-0"));
  Exit(0);
  EXPECT_EQ(Slot(0).state, ProcessState::kStopped);
  EXPECT_EQ(reports_.back(), "worker-1 draining");
}

TEST_F(SupervisorTest, RestartOfAWorkerThatWaitsToStartStartsItNow) {
  Make(1);
  for (int death = 0; death < 8; ++death) {
    Exit(0, 1);
    if (death < 7) Run(15 * kSecond);
  }
  ASSERT_EQ(Slot(0).state, ProcessState::kBackoff);
  EXPECT_OK(Restart());
  EXPECT_EQ(Slot(0).state, ProcessState::kStarting);
  EXPECT_THAT(reports_, ElementsAre("worker-0 starting"));
}

// ------------------------------------------------------------------------------- reload and stop

TEST_F(SupervisorTest, MoreWorkersAreStartedAndFewerAreDrained) {
  MakeAttached(1);
  supervisor_->Apply({.workers = 3});
  supervisor_->Step();
  ASSERT_THAT(supervisor_->Workers(), SizeIs(3));
  EXPECT_EQ(Slot(2).state, ProcessState::kStarting);
  Attach(2);

  supervisor_->Apply({.workers = 1, .drain_window = kSecond, .drain_deadline = 2 * kSecond});
  supervisor_->Step();
  ASSERT_THAT(orders_.drains, SizeIs(1));
  EXPECT_EQ(orders_.drains[0].id, "worker-2");
  EXPECT_EQ(orders_.drains[0].order.window, kSecond);
  EXPECT_THAT(host_.signals, ElementsAre(Pair(101, SIGTERM)));  // never attached
  EXPECT_THAT(supervisor_->Workers(), SizeIs(2));
  EXPECT_THAT(orders_.forgotten, ElementsAre("worker-1"));
  const pid_t last = Pid(1);
  supervisor_->OnWorkerDetached("worker-2", last, false);
  host_.Exit(last);
  supervisor_->Step();
  EXPECT_THAT(supervisor_->Workers(), SizeIs(1));
  EXPECT_EQ(Slot(0).state, ProcessState::kRunning);
}

TEST_F(SupervisorTest, WorkerThatIsWantedAgainBeforeItHasEndedIsStartedAgain) {
  MakeAttached(2);
  supervisor_->Apply({.workers = 1});
  supervisor_->Step();
  supervisor_->Apply({.workers = 2});
  supervisor_->Step();
  EXPECT_EQ(Slot(1).state, ProcessState::kDraining);
  Exit(1);
  EXPECT_EQ(Slot(1).state, ProcessState::kStarting);
}

TEST_F(SupervisorTest, StopDrainsAllSideBySideAndStartsNothingMore) {
  MakeAttached(3);
  Exit(2, 1);  // waits to be started again
  supervisor_->BeginStop(30 * kSecond);
  supervisor_->Step();
  ASSERT_THAT(orders_.drains, SizeIs(2));
  EXPECT_TRUE(orders_.drains[0].order.exit);
  EXPECT_EQ(orders_.drains[0].order.deadline, 15 * kSecond);
  EXPECT_FALSE(supervisor_->stopped());
  Exit(0);
  Run(5 * kSecond);
  EXPECT_FALSE(supervisor_->stopped());
  Exit(1);
  EXPECT_TRUE(supervisor_->stopped());
  EXPECT_THAT(host_.running, IsEmpty());
  EXPECT_EQ(host_.spawns, 3);
}

TEST_F(SupervisorTest, StopKillsAtItsDeadline) {
  host_.Survivor("worker-2", 52);
  Make(3);
  Attach(0);
  host_.deaf = {52, 100};
  supervisor_->BeginStop(8 * kSecond);
  supervisor_->Step();
  ASSERT_THAT(orders_.drains, SizeIs(1));
  EXPECT_EQ(orders_.drains[0].order.deadline, 5 * kSecond);  // leaves time for sharper means
  // Not attached: SIGTERM once, for a second would cut a worker's drain short.
  EXPECT_THAT(host_.signals, ElementsAre(Pair(101, SIGTERM), Pair(52, SIGTERM)));
  Run(7200 * kMs);
  EXPECT_EQ(host_.signals.back(), std::pair(100, SIGTERM));
  EXPECT_THAT(host_.signals, SizeIs(3));
  EXPECT_FALSE(supervisor_->stopped());
  Run(900 * kMs);
  EXPECT_THAT(host_.signals, SizeIs(5));
  EXPECT_THAT(host_.running, IsEmpty());
  EXPECT_TRUE(supervisor_->stopped());
}

TEST_F(SupervisorTest, StopShortensADrainThatIsUnderWay) {
  MakeAttached(2);
  host_.deaf = {100, 101};
  EXPECT_OK(Drain("worker-0"));
  supervisor_->BeginStop(6 * kSecond);
  supervisor_->Step();
  ASSERT_THAT(orders_.drains, SizeIs(2));
  EXPECT_EQ(orders_.drains[1].order.deadline, 3 * kSecond);
  EXPECT_EQ(orders_.drains[1].order.window, 3 * kSecond);
  Run(5100 * kMs);
  EXPECT_THAT(host_.signals, ElementsAre(Pair(100, SIGTERM), Pair(101, SIGTERM)));
  Run(kSecond);
  EXPECT_THAT(host_.running, IsEmpty());
  EXPECT_TRUE(supervisor_->stopped());
}

TEST_F(SupervisorTest, StopEndsARestart) {
  MakeAttached(2);
  EXPECT_OK(Restart());
  supervisor_->BeginStop(30 * kSecond);
  supervisor_->Step();
  EXPECT_THAT(finished_,
              ElementsAre(StatusIs(absl::StatusCode::kUnavailable, HasSubstr("is stopping"))));
  Exit(0);
  Exit(1);
  EXPECT_TRUE(supervisor_->stopped());
  EXPECT_EQ(host_.spawns, 2);
}

TEST_F(SupervisorTest, CountsSlotsByStateAndRestarts) {
  MakeAttached(2);
  Exit(0, 1);
  Run(150 * kMs);
  Attach(0);
  Exit(1, 1);
  MetricsRegistry metrics;
  metrics.Add([this](MetricSink& sink) { supervisor_->CollectMetrics(sink); });
  const std::string text = metrics.Text();
  EXPECT_THAT(text, HasSubstr("fanwire_control_worker_restarts_total 1\n"));
  EXPECT_THAT(text, HasSubstr("fanwire_control_worker_slots{state=\"running\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("fanwire_control_worker_slots{state=\"backoff\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("fanwire_control_worker_slots{state=\"stopped\"} 0\n"));
}

// ------------------------------------------------------------------------------- real processes

// A script stands for the worker: it takes its lock, writes its process id and sleeps.
class SupervisorProcessTest : public ::testing::Test {
 protected:
  SupervisorProcessTest() {
    char name[] = "/tmp/supervisor_test.XXXXXX";
    directory_ = mkdtemp(name);
    std::ofstream(Program()) << "#!/bin/sh\n"
                                "while [ $# -gt 0 ]; do\n"
                                "  case $1 in --worker-id) id=$2;; --runtime-dir) dir=$2;; esac\n"
                                "  shift\n"
                                "done\n"
                                "exec 9>>\"$dir/$id.lock\"\n"
                                "flock -n 9 || exit 3\n"
                                "echo $$ > \"$dir/$id.lock\"\n"
                                "exec sleep 600\n";
    chmod(Program().c_str(), 0700);
  }
  ~SupervisorProcessTest() override { std::filesystem::remove_all(directory_); }

  std::string Program() const { return directory_ + "/worker"; }

  std::unique_ptr<Supervisor> Make(ProcessHost* host, int workers) {
    auto supervisor =
        std::make_unique<Supervisor>(SupervisorOptions{.worker_program = Program(),
                                                       .control_address = "unix:/nowhere",
                                                       .runtime_dir = directory_,
                                                       .settings = {.workers = workers}},
                                     Clock::Real(), host, &orders_);
    supervisor->Start();
    return supervisor;
  }

  // Waits until each slot's process has written its lock, as workers do before they attach.
  bool WaitUntilUp(const Supervisor& supervisor) {
    return WaitFor([&] {
      const std::vector<ProcessInfo> slots = supervisor.Workers();
      return std::all_of(slots.begin(), slots.end(), [&](const ProcessInfo& slot) {
        uint32_t pid = 0;
        std::ifstream(absl::StrCat(directory_, "/", slot.id, ".lock")) >> pid;
        return slot.pid != 0 && pid == slot.pid;
      });
    });
  }

  std::string directory_;
  FakeOrders orders_;
};

TEST_F(SupervisorProcessTest, KilledWorkerIsReplacedAndStopEndsAll) {
  const std::unique_ptr<ProcessHost> host = ProcessHost::Make();
  const std::unique_ptr<Supervisor> supervisor = Make(host.get(), 2);
  ASSERT_TRUE(WaitUntilUp(*supervisor));
  const std::vector<ProcessInfo> before = supervisor->Workers();
  ASSERT_EQ(kill(static_cast<pid_t>(before[0].pid), SIGKILL), 0);
  EXPECT_TRUE(WaitFor([&] { return supervisor->Workers()[0].restarts == 1; }));
  ASSERT_TRUE(WaitUntilUp(*supervisor));
  EXPECT_NE(supervisor->Workers()[0].pid, before[0].pid);
  EXPECT_EQ(supervisor->Workers()[1].pid, before[1].pid);
  const pid_t successor = static_cast<pid_t>(supervisor->Workers()[0].pid);

  supervisor->Stop(absl::Seconds(20));
  EXPECT_TRUE(supervisor->stopped());
  EXPECT_EQ(kill(successor, 0), -1);
  EXPECT_EQ(kill(static_cast<pid_t>(before[1].pid), 0), -1);
}

TEST_F(SupervisorProcessTest, WorkersOutliveASupervisorThatDiesAndTheNextOneAdoptsThem) {
  const std::unique_ptr<ProcessHost> first_host = ProcessHost::Make();
  std::unique_ptr<Supervisor> first = Make(first_host.get(), 2);
  ASSERT_TRUE(WaitUntilUp(*first));
  const std::vector<ProcessInfo> before = first->Workers();
  first.reset();

  const std::unique_ptr<ProcessHost> host = ProcessHost::Make();
  const std::unique_ptr<Supervisor> supervisor = Make(host.get(), 3);
  ASSERT_TRUE(WaitUntilUp(*supervisor));
  const std::vector<ProcessInfo> after = supervisor->Workers();
  ASSERT_THAT(after, SizeIs(3));
  EXPECT_EQ(after[0].pid, before[0].pid);
  EXPECT_EQ(after[1].pid, before[1].pid);
  supervisor->Stop(absl::Seconds(20));
  EXPECT_TRUE(WaitFor([&] { return first_host->Poll().empty(); }));
  EXPECT_EQ(kill(static_cast<pid_t>(before[0].pid), 0), -1);
}

}  // namespace
}  // namespace fanwire::control
