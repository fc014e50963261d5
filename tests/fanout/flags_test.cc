// The worker's command line and the lock of its slot.
#include "fanout/flags.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status.h"

namespace fanwire::fanout {

namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

struct Parsed {
  WorkerOptions options;
  int exit = -1;
};

Parsed Parse(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "fanwire-fanout");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  Parsed parsed;
  parsed.options = ParseWorkerOptions(static_cast<int>(argv.size()), argv.data(), &parsed.exit);
  return parsed;
}

TEST(WorkerOptionsTest, WithoutArgumentsItIsTheFirstWorkerOfThisUsersControl) {
  const Parsed parsed = Parse({});
  EXPECT_EQ(parsed.exit, -1);
  EXPECT_EQ(parsed.options.worker_id, "worker-0");
  EXPECT_EQ(parsed.options.slot, 0u);
  EXPECT_THAT(parsed.options.control, StartsWith("unix:"));
  EXPECT_THAT(parsed.options.control, HasSubstr("/control.sock"));
  EXPECT_FALSE(parsed.options.supervised);
  EXPECT_EQ(parsed.options.runtime_dir, "");
}

TEST(WorkerOptionsTest, EveryFlagIsTaken) {
  const Parsed parsed =
      Parse({"--control", "127.0.0.1:8701", "--worker-id", "west-3", "--slot", "3", "--runtime-dir",
             "/run/here", "--supervised", "--log-level", "debug"});
  EXPECT_EQ(parsed.exit, -1);
  EXPECT_EQ(parsed.options.control, "127.0.0.1:8701");
  EXPECT_EQ(parsed.options.worker_id, "west-3");
  EXPECT_EQ(parsed.options.slot, 3u);
  EXPECT_EQ(parsed.options.runtime_dir, "/run/here");
  EXPECT_TRUE(parsed.options.supervised);
  EXPECT_EQ(parsed.options.log_level, LogLevel::kDebug);
}

TEST(WorkerOptionsTest, TheIdFollowsTheSlot) {
  EXPECT_EQ(Parse({"--slot", "12"}).options.worker_id, "worker-12");
}

TEST(WorkerOptionsTest, HelpAndVersionEndWell) {
  ::testing::internal::CaptureStdout();
  EXPECT_EQ(Parse({"--help"}).exit, 0);
  EXPECT_THAT(::testing::internal::GetCapturedStdout(), HasSubstr("--control"));
  ::testing::internal::CaptureStdout();
  EXPECT_EQ(Parse({"--version"}).exit, 0);
  EXPECT_THAT(::testing::internal::GetCapturedStdout(), StartsWith("fanwire-fanout "));
}

TEST(WorkerOptionsTest, AFaultNamesItsFlagAndEndsWithTwo) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> faults = {
      {{"--nonsense"}, "--nonsense"},
      {{"--slot", "many"}, "--slot"},
      {{"--log-level", "loud"}, "--log-level"},
      {{"--control", "no port"}, "--control"}};
  for (const auto& [arguments, named] : faults) {
    ::testing::internal::CaptureStderr();
    EXPECT_EQ(Parse(arguments).exit, 2) << named;
    EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr(named));
  }
}

class SlotLockTest : public ::testing::Test {
 protected:
  SlotLockTest() {
    char name[] = "/tmp/fanwire-slot-XXXXXX";
    dir_ = ::mkdtemp(name);
  }
  ~SlotLockTest() override {
    ::unlink((dir_ + "/worker-1.lock").c_str());
    ::unlink((dir_ + "/worker-2.lock").c_str());
    ::rmdir(dir_.c_str());
  }

  std::string dir_;
};

TEST_F(SlotLockTest, ASlotIsHeldByOneAndSaysByWhom) {
  const absl::StatusOr<SlotLock> held = SlotLock::Take(dir_, 1);
  ASSERT_OK(held);
  std::ifstream file(dir_ + "/worker-1.lock");
  int pid = 0;
  file >> pid;
  EXPECT_EQ(pid, ::getpid());
  EXPECT_THAT(SlotLock::Take(dir_, 1).status(),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("worker-1.lock")));
  EXPECT_OK(SlotLock::Take(dir_, 2));
}

TEST_F(SlotLockTest, ItIsFreeWhenItsHolderHasGone) {
  {
    absl::StatusOr<SlotLock> held = SlotLock::Take(dir_, 1);
    ASSERT_OK(held);
    SlotLock moved = *std::move(held);
    EXPECT_FALSE(SlotLock::Take(dir_, 1).ok());
  }
  EXPECT_OK(SlotLock::Take(dir_, 1));
}

TEST_F(SlotLockTest, WithoutAFolderNoneIsTaken) {
  const absl::StatusOr<SlotLock> first = SlotLock::Take("", 1);
  EXPECT_OK(first);
  EXPECT_OK(SlotLock::Take("", 1));
}

TEST_F(SlotLockTest, AFolderThatIsMissingIsNamed) {
  EXPECT_THAT(SlotLock::Take(dir_ + "/missing", 1).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("missing/worker-1.lock")));
}

}  // namespace
}  // namespace fanwire::fanout
