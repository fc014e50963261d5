#include "fanout/process_lock.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status.h"

namespace fanwire::fanout {

namespace {

using ::testing::HasSubstr;

class ProcessLockTest : public ::testing::Test {
 protected:
  ProcessLockTest() {
    char name[] = "/tmp/fanwire-slot-XXXXXX";
    dir_ = ::mkdtemp(name);
  }
  ~ProcessLockTest() override {
    ::unlink((dir_ + "/worker-1.lock").c_str());
    ::unlink((dir_ + "/worker-2.lock").c_str());
    ::rmdir(dir_.c_str());
  }

  std::string dir_;
};

TEST_F(ProcessLockTest, ASlotIsHeldByOneAndSaysByWhom) {
  const absl::StatusOr<ProcessLock> held = ProcessLock::Take(dir_, 1);
  ASSERT_OK(held);
  std::ifstream file(dir_ + "/worker-1.lock");
  int pid = 0;
  file >> pid;
  EXPECT_EQ(pid, ::getpid());
  EXPECT_THAT(ProcessLock::Take(dir_, 1).status(),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("worker-1.lock")));
  EXPECT_OK(ProcessLock::Take(dir_, 2));
}

TEST_F(ProcessLockTest, ItIsFreeWhenItsHolderHasGone) {
  {
    absl::StatusOr<ProcessLock> held = ProcessLock::Take(dir_, 1);
    ASSERT_OK(held);
    ProcessLock moved = *std::move(held);
    EXPECT_FALSE(ProcessLock::Take(dir_, 1).ok());
  }
  EXPECT_OK(ProcessLock::Take(dir_, 1));
}

TEST_F(ProcessLockTest, AFileThatWasDeletedIsMadeAgain) {
  const std::string path = dir_ + "/worker-1.lock";
  absl::StatusOr<ProcessLock> held = ProcessLock::Take(dir_, 1);
  ASSERT_OK(held);
  held->Restore();  // it is there
  ASSERT_EQ(::unlink(path.c_str()), 0);
  ASSERT_EQ(::rmdir(dir_.c_str()), 0);
  held->Restore();  // control makes the folder, nobody else
  EXPECT_NE(::access(dir_.c_str(), F_OK), 0);
  ASSERT_EQ(::mkdir(dir_.c_str(), 0700), 0);
  held->Restore();
  std::ifstream file(path);
  int pid = 0;
  file >> pid;
  EXPECT_EQ(pid, ::getpid());
  EXPECT_FALSE(ProcessLock::Take(dir_, 1).ok());
  { const ProcessLock gone = *std::move(held); }
  EXPECT_OK(ProcessLock::Take(dir_, 1));
}

TEST_F(ProcessLockTest, AFileOfAnotherProcessIsLeftAlone) {
  const std::string path = dir_ + "/worker-1.lock";
  absl::StatusOr<ProcessLock> held = ProcessLock::Take(dir_, 1);
  ASSERT_OK(held);
  ASSERT_EQ(::unlink(path.c_str()), 0);
  absl::StatusOr<ProcessLock> other = ProcessLock::Take(dir_, 1);
  ASSERT_OK(other);
  held->Restore();
  { const ProcessLock gone = *std::move(other); }
  EXPECT_OK(ProcessLock::Take(dir_, 1));  // the first does not hold it
}

TEST_F(ProcessLockTest, WithoutAFolderNoneIsTaken) {
  const absl::StatusOr<ProcessLock> first = ProcessLock::Take("", 1);
  EXPECT_OK(first);
  absl::StatusOr<ProcessLock> second = ProcessLock::Take("", 1);
  ASSERT_OK(second);
  second->Restore();
  EXPECT_NE(::access("/worker-1.lock", F_OK), 0);
}

TEST_F(ProcessLockTest, AFolderThatIsMissingIsNamed) {
  EXPECT_THAT(ProcessLock::Take(dir_ + "/missing", 1).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("missing/worker-1.lock")));
}

}  // namespace
}  // namespace fanwire::fanout
