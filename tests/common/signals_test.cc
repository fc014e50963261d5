#include "common/signals.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gtest/gtest.h"

namespace fanwire {
namespace {

// Each test runs in a child process, because signals affect the whole process.
int InChild(int (*body)()) {
  const pid_t pid = fork();
  if (pid == 0) _exit(body());
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

TEST(SignalsTest, StopAndReloadAreToldApart) {
  EXPECT_EQ(InChild([] {
              SignalWaiter waiter;
              kill(getpid(), SIGHUP);
              if (waiter.Wait() != ProcessSignal::kReload) return 1;
              kill(getpid(), SIGTERM);
              if (waiter.Wait() != ProcessSignal::kStop) return 2;
              if (waiter.WaitFor(absl::Milliseconds(1)) != ProcessSignal::kTimeout) return 3;
              return 0;
            }),
            0);
}

TEST(SignalsTest, SecondStopEndsTheProcessAtOnce) {
  EXPECT_EQ(InChild([] {
              SignalWaiter waiter;
              kill(getpid(), SIGINT);
              waiter.Wait();
              kill(getpid(), SIGINT);
              waiter.Wait();
              return 0;
            }),
            128 + SIGINT);
}

TEST(SignalsTest, SecondStopEndsTheProcessAlsoWhileNobodyWaitsForSignals) {
  EXPECT_EQ(InChild([] {
              SignalWaiter waiter;
              kill(getpid(), SIGTERM);
              if (waiter.Wait() != ProcessSignal::kStop) return 1;
              kill(getpid(), SIGTERM);
              while (true) pause();  // a stop that does not get on
            }),
            128 + SIGTERM);
}

TEST(SignalsTest, StopIsToldOnce) {
  EXPECT_EQ(InChild([] {
              SignalWaiter waiter;
              kill(getpid(), SIGTERM);
              if (waiter.Wait() != ProcessSignal::kStop) return 1;
              waiter.Wake();
              return waiter.Wait() == ProcessSignal::kWoken ? 0 : 2;
            }),
            0);
}

TEST(SignalsTest, SignalsAfterTheEndDoNotChangeTheExitCode) {
  EXPECT_EQ(InChild([] {
              {
                SignalWaiter waiter;
                kill(getpid(), SIGTERM);
                waiter.Wait();
              }
              for (const int signal : {SIGTERM, SIGINT, SIGHUP}) kill(getpid(), signal);
              return 0;
            }),
            0);
}

TEST(SignalsTest, AReloadBeforeTheStartWaits) {
  EXPECT_EQ(InChild([] {
              SignalWaiter::HoldReload();
              kill(getpid(), SIGHUP);
              SignalWaiter waiter;
              return waiter.Wait() == ProcessSignal::kReload ? 0 : 1;
            }),
            0);
}

TEST(SignalsTest, ABrokenPipeDoesNotKill) {
  EXPECT_EQ(InChild([] {
              SignalWaiter waiter;
              kill(getpid(), SIGPIPE);
              return 0;
            }),
            0);
}

TEST(SignalsTest, ChildrenGetTheirSignalsBack) {
  EXPECT_EQ(InChild([] {
              SignalWaiter waiter;
              return InChild([] {
                       SignalWaiter::RestoreInChild();
                       kill(getpid(), SIGTERM);
                       return 0;
                     }) == 1000 + SIGTERM
                         ? 0
                         : 1;
            }),
            0);
}

}  // namespace
}  // namespace fanwire
