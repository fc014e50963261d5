#include "fanout/instance.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace fanwire::fanout {

namespace {

// A process that runs `body`, says so, and waits for its end.
class OtherProcess {
 public:
  explicit OtherProcess(const std::function<void()>& body) {
    int told[2];
    EXPECT_EQ(pipe(told), 0);
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      // A program that `body` starts writes by this number.
      dup2(told[1], STDOUT_FILENO);
      body();
      if (write(told[1], "x", 1) == 1) pause();
      _exit(1);
    }
    close(told[1]);
    char ready;
    EXPECT_EQ(read(told[0], &ready, 1), 1);
    close(told[0]);
  }
  ~OtherProcess() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = 0;
};

// A process with these words on its command line.
OtherProcess Program(const std::string& flag, const std::string& value) {
  return OtherProcess([&] {
    execl("/bin/sh", "sh", "-c", "echo; kill -STOP $$; :", "sh", flag.c_str(),
          value.empty() ? nullptr : value.c_str(), nullptr);
  });
}

TEST(InstanceTest, TheSameControlOnTheCommandLineIsTheSameInstance) {
  const Instance ours("127.0.0.1:8701");
  EXPECT_TRUE(ours.Includes(Program("--control", "127.0.0.1:8701").pid()));
  EXPECT_TRUE(ours.Includes(Program("--control=localhost:8701", "").pid()));
  EXPECT_FALSE(ours.Includes(Program("--control", "127.0.0.1:8801").pid()));
  EXPECT_FALSE(ours.Includes(Program("--control", "192.0.2.1:8701").pid()));
  EXPECT_FALSE(ours.Includes(Program("--control", "unix:/tmp/control.sock").pid()));
  EXPECT_FALSE(ours.Includes(Program("--other", "127.0.0.1:8701").pid()));
}

TEST(InstanceTest, ASocketMustBeTheSamePathInTheSameFolder) {
  char name[] = "/tmp/fanwire-instance-XXXXXX";
  const std::string folder = mkdtemp(name);
  const std::string control = absl::StrCat("unix:", folder, "/control.sock");
  const Instance ours(control);
  EXPECT_TRUE(ours.Includes(Program("--control", control).pid()));
  EXPECT_FALSE(ours.Includes(Program("--control", "unix:/tmp/control.sock").pid()));
  std::filesystem::remove_all(folder);
}

TEST(InstanceTest, WorkersThatAreAttachedToOneControlProcessBelongTogether) {
  const auto attached = [](std::initializer_list<uint64_t> incarnations) {
    return OtherProcess([&] {
      auto* const theirs = new Instance("127.0.0.1:8701");
      for (const uint64_t each : incarnations) theirs->Attached(each);
    });
  };
  // Before this process has a mark, which they would inherit.
  const OtherProcess same = attached({7}), late = attached({6, 7}), other = attached({8}),
                     gone = attached({7, 8});
  Instance ours("unix:/run/fanwire/control.sock");
  EXPECT_FALSE(ours.Includes(same.pid()));
  ours.Attached(7);
  EXPECT_TRUE(ours.Includes(same.pid()));
  EXPECT_TRUE(ours.Includes(late.pid()));
  EXPECT_FALSE(ours.Includes(other.pid()));
  EXPECT_FALSE(ours.Includes(gone.pid()));
}

TEST(InstanceTest, AProcessThatIsGoneIsOfNoInstance) {
  Instance ours("127.0.0.1:8701");
  ours.Attached(7);
  EXPECT_FALSE(ours.Includes(0x3fffffff));
}

}  // namespace
}  // namespace fanwire::fanout
