#include "control/processes/worker_commands.h"

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/control/workers/worker_registry_fixture.h"
#include "tests/testing/status.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

class WorkerCommandsTest : public WorkerRegistryTest {
 protected:
  const std::unique_ptr<WorkerCommands> orders_ = WorkerCommands::Make(registry_.get());
};

TEST_F(WorkerCommandsTest, WorkerIsReadyOnceItHasCaughtUpAndItsListenersAreOpen) {
  SetConfig(1);
  EXPECT_FALSE(orders_->IsReady("worker-0"));
  const std::unique_ptr<FakeStream> worker = Attach("worker-0");
  EXPECT_FALSE(orders_->IsReady("worker-0"));
  Snapshot(*worker);
  EXPECT_FALSE(orders_->IsReady("worker-0"));
  OpenPorts(*worker);
  EXPECT_TRUE(orders_->IsReady("worker-0"));
  registry_->Detach(worker->link, absl::CancelledError("gone"));
  EXPECT_FALSE(orders_->IsReady("worker-0"));
}

TEST_F(WorkerCommandsTest, DrainReachesTheWorkerAndItsProgressComesBack) {
  std::vector<std::pair<int64_t, bool>> progress;
  const auto keep = [&](int64_t remaining, bool done) { progress.emplace_back(remaining, done); };
  EXPECT_THAT(orders_->Drain("worker-0", DrainOrder(), keep),
              StatusIs(absl::StatusCode::kNotFound, ::testing::HasSubstr("worker-0")));
  const std::unique_ptr<FakeStream> worker = Attach("worker-0");
  EXPECT_OK(orders_->Drain("worker-0", DrainOrder(), keep));
  EXPECT_THAT(worker->TakeKinds(), ElementsAre("drain"));
  v1::DrainStatus status;
  status.set_remaining(7);
  registry_->OnDrainStatus(worker->link, status);
  EXPECT_THAT(progress, ElementsAre(Pair(7, false)));
}

TEST_F(WorkerCommandsTest, ForgottenWorkerIsListedNoMore) {
  const std::unique_ptr<FakeStream> worker = Attach("worker-0");
  registry_->Detach(worker->link, absl::CancelledError("gone"));
  orders_->Forget("worker-0");
  EXPECT_THAT(registry_->Workers(), IsEmpty());
}

TEST_F(WorkerCommandsTest, ExpectedWorkerCountsAsOneThatCannotBeAsked) {
  int32_t total = -1;
  const auto ask = [&] {
    registry_->QueryAll({}, absl::Seconds(1),
                        [&](const QueryResult& result) { total = result.workers_total; });
    return total;
  };
  orders_->Expect("worker-0", true);
  EXPECT_EQ(ask(), 1);
  orders_->Expect("worker-0", false);
  EXPECT_EQ(ask(), 0);
}

}  // namespace
}  // namespace fanwire::control
