#include "control/processes/process_host.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status.h"
#include "tests/testing/wait_for.h"

namespace fanwire::control {

namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class ProcessHostTest : public ::testing::Test {
 protected:
  ProcessHostTest() {
    char name[] = "/tmp/process_host_test.XXXXXX";
    directory_ = mkdtemp(name);
  }
  ~ProcessHostTest() override {
    for (const pid_t pid : started_) host_->Kill(pid, SIGKILL).IgnoreError();
    std::filesystem::remove_all(directory_);
  }

  std::string Path(const std::string& name) const { return directory_ + "/" + name; }

  std::string Read(const std::string& name) const {
    std::ostringstream text;
    text << std::ifstream(Path(name)).rdbuf();
    return text.str();
  }

  pid_t Shell(const std::string& script) {
    const absl::StatusOr<pid_t> pid = host_->Spawn({"/bin/sh", "-c", script});
    EXPECT_OK(pid);
    started_.push_back(pid.value_or(0));
    return pid.value_or(0);
  }

  // A process that is nobody's child here, holds the lock `name` and has written its id into it.
  pid_t Holder(const std::string& name) {
    Shell(absl::StrCat("sh -c 'exec 9>", Path(name), "; flock 9; echo $$ >&9; exec sleep 600' &"));
    EXPECT_TRUE(WaitFor([&] { return absl::StrContains(Read(name), "\n"); }));
    EXPECT_TRUE(NextExit().has_value());  // the shell between
    return std::atoi(Read(name).c_str());
  }

  std::optional<ProcessExit> NextExit() {
    std::vector<ProcessExit> exits;
    WaitFor([&] {
      exits = host_->Poll();
      return !exits.empty();
    });
    return exits.size() == 1 ? std::optional(exits[0]) : std::nullopt;
  }

  std::string directory_;
  const std::unique_ptr<ProcessHost> host_ = ProcessHost::Make();
  std::vector<pid_t> started_;
};

TEST_F(ProcessHostTest, TellsHowAChildEnded) {
  const pid_t failing = Shell("exit 7");
  const std::optional<ProcessExit> failed = NextExit();
  ASSERT_TRUE(failed.has_value());
  EXPECT_EQ(failed->pid, failing);
  EXPECT_TRUE(failed->known);
  EXPECT_EQ(failed->code, 7);
  EXPECT_EQ(failed->signal, 0);

  const pid_t sleeping = Shell("exec sleep 600");
  EXPECT_THAT(host_->Poll(), IsEmpty());
  EXPECT_OK(host_->Kill(sleeping, SIGKILL));
  const std::optional<ProcessExit> killed = NextExit();
  ASSERT_TRUE(killed.has_value());
  EXPECT_EQ(killed->pid, sleeping);
  EXPECT_EQ(killed->signal, SIGKILL);
}

TEST_F(ProcessHostTest, LeavesOtherChildrenToTheirOwners) {
  const pid_t other = fork();
  if (other == 0) _exit(3);
  Shell("exit 0");
  ASSERT_TRUE(NextExit().has_value());
  int status = 0;
  EXPECT_EQ(waitpid(other, &status, 0), other);
  EXPECT_EQ(WEXITSTATUS(status), 3);
}

TEST_F(ProcessHostTest, ProgramThatIsNotThereIsNamed) {
  EXPECT_THAT(host_->Spawn({"/nowhere/fanwire-fanout"}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/nowhere/fanwire-fanout")));
  EXPECT_THAT(host_->Poll(), IsEmpty());
}

TEST_F(ProcessHostTest, ChildStartsWithCleanSignalsAndDescriptors) {
  sigset_t blocked, before;
  sigfillset(&blocked);
  pthread_sigmask(SIG_BLOCK, &blocked, &before);
  signal(SIGPIPE, SIG_IGN);
  const int left_open = open("/dev/zero", O_RDONLY);  // without O_CLOEXEC
  ASSERT_GT(left_open, 2);
  // Not by the shell, which changes the mask of its children.
  ASSERT_OK(host_->Spawn({"/bin/cp", "/proc/self/status", Path("status")}));
  ASSERT_TRUE(NextExit().has_value());
  Shell(absl::StrCat("cat > ", Path("input"), "; ls -l /proc/$$/fd > ", Path("files")));
  ASSERT_TRUE(NextExit().has_value());
  close(left_open);
  signal(SIGPIPE, SIG_DFL);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);

  EXPECT_THAT(Read("status"), HasSubstr("SigBlk:\t0000000000000001"));  // HUP
  const std::string ignored = Read("status").substr(Read("status").find("SigIgn:") + 8, 16);
  EXPECT_EQ(std::stoull(ignored, nullptr, 16) & (1u << (SIGPIPE - 1)), 0u) << ignored;
  EXPECT_EQ(Read("input"), "");
  EXPECT_THAT(Read("files"), HasSubstr("0 -> /dev/null"));
  EXPECT_THAT(Read("files"), Not(HasSubstr("/dev/zero")));
}

TEST_F(ProcessHostTest, ActivityStandsStillWhileAProcessIsStopped) {
  const pid_t pid = Shell("while :; do sleep 0.01; done");
  const int64_t before = host_->Activity(pid);
  EXPECT_TRUE(WaitFor([&] { return host_->Activity(pid) > before; }));
  ASSERT_OK(host_->Kill(pid, SIGSTOP));
  EXPECT_TRUE(WaitFor([&] {
    std::ostringstream text;
    text << std::ifstream(absl::StrCat("/proc/", pid, "/stat")).rdbuf();
    return absl::StrContains(text.str(), ") T ");
  }));
  const int64_t stopped = host_->Activity(pid);
  EXPECT_GT(stopped, before);
  EXPECT_EQ(host_->Activity(pid), stopped);
  ASSERT_OK(host_->Kill(pid, SIGCONT));
  EXPECT_TRUE(WaitFor([&] { return host_->Activity(pid) > stopped; }));
  EXPECT_EQ(host_->Activity(0x3fffffff), 0);
}

TEST_F(ProcessHostTest, AProcessThatNeverSleepsIsActive) {
  const pid_t pid = Shell("while :; do :; done");
  const int64_t before = host_->Activity(pid);
  EXPECT_TRUE(WaitFor([&] { return host_->Activity(pid) > before; }));
}

TEST_F(ProcessHostTest, ChildLeadsASessionOfItsOwn) {
  const pid_t pid = Shell("exec sleep 600");
  EXPECT_EQ(getsid(pid), pid);
  EXPECT_EQ(getpgid(pid), pid);
}

TEST_F(ProcessHostTest, HolderOfALockIsAdoptedWatchedAndKilled) {
  const pid_t holder = Holder("worker-0.lock");
  const absl::StatusOr<pid_t> adopted = host_->AdoptHolder(Path("worker-0.lock"));
  ASSERT_OK(adopted);
  EXPECT_EQ(*adopted, holder);
  EXPECT_THAT(host_->Poll(), IsEmpty());
  EXPECT_OK(host_->Kill(holder, SIGTERM));
  const std::optional<ProcessExit> exit = NextExit();
  ASSERT_TRUE(exit.has_value());
  EXPECT_EQ(exit->pid, holder);
  EXPECT_FALSE(exit->known);
  EXPECT_EQ(host_->AdoptHolder(Path("worker-0.lock")).value_or(-1), 0);
}

TEST_F(ProcessHostTest, LockThatNobodyHoldsHasNoHolder) {
  EXPECT_EQ(host_->AdoptHolder(Path("missing.lock")).value_or(-1), 0);
  std::ofstream(Path("stale.lock")) << getppid() << "\n";
  EXPECT_EQ(host_->AdoptHolder(Path("stale.lock")).value_or(-1), 0);
  EXPECT_TRUE(std::filesystem::exists(Path("stale.lock")));
}

TEST_F(ProcessHostTest, LockWhoseHolderIsNotToldIsUnavailable) {
  const std::string path = Path("worker-0.lock");
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  ASSERT_EQ(flock(fd, LOCK_EX), 0);
  // Taken, not written yet; half written; an id that no worker has; this process itself.
  for (const std::string& text : {std::string(), std::string("12"), std::string("1\n"),
                                  std::string("no number\n"), absl::StrCat(getpid(), "\n")}) {
    ASSERT_EQ(ftruncate(fd, 0), 0);
    ASSERT_EQ(pwrite(fd, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
    EXPECT_THAT(host_->AdoptHolder(path), StatusIs(absl::StatusCode::kUnavailable, HasSubstr(path)))
        << text;
  }
  close(fd);
}

TEST_F(ProcessHostTest, StrangersAreNotKilled) {
  EXPECT_THAT(host_->Kill(getppid(), SIGTERM),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("not watched")));
  const pid_t ended = Shell("exit 0");
  ASSERT_TRUE(NextExit().has_value());
  EXPECT_THAT(host_->Kill(ended, SIGTERM),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("not watched")));
}

}  // namespace
}  // namespace fanwire::control
