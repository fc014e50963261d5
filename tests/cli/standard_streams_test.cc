#include "cli/standard_streams.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "cli/app.h"
#include "gtest/gtest.h"

namespace fanwire::cli {
namespace {

// Each test runs in a process of its own, which starts with the streams that the test closes.
class StandardStreamsTest : public testing::Test {
 protected:
  StandardStreamsTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

int RunMain(std::vector<std::string> words) {
  words.insert(words.begin(), "wsctl");
  std::vector<char*> argv;
  argv.reserve(words.size());
  for (std::string& word : words) argv.push_back(word.data());
  return Main(static_cast<int>(argv.size()), argv.data());
}

// Closes the streams, checks them, and returns whether each is usable as the bits 4, 2 and 1.
int Usable(std::initializer_list<int> closed) {
  for (const int fd : closed) close(fd);
  const StandardStreams streams = CheckStandardStreams();
  return 4 * streams.input + 2 * streams.results + streams.notes;
}

TEST_F(StandardStreamsTest, TellsWhichAreClosed) {
  EXPECT_EXIT(_exit(Usable({})), testing::ExitedWithCode(7), "");
  EXPECT_EXIT(_exit(Usable({0})), testing::ExitedWithCode(3), "");
  EXPECT_EXIT(_exit(Usable({1})), testing::ExitedWithCode(5), "");
  EXPECT_EXIT(_exit(Usable({2})), testing::ExitedWithCode(6), "");
  EXPECT_EXIT(_exit(Usable({0, 1, 2})), testing::ExitedWithCode(0), "");
}

TEST_F(StandardStreamsTest, AStreamOpenedTheWrongWayIsNotUsable) {
  EXPECT_EXIT(
      {
        dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), 0);
        dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), 1);
        _exit(Usable({}));
      },
      testing::ExitedWithCode(1), "");
}

TEST_F(StandardStreamsTest, NothingOpenedLaterGetsTheNumberOfAClosedOne) {
  EXPECT_EXIT(
      {
        Usable({0, 1, 2});
        char byte = 0;
        const bool closed = read(0, &byte, 1) < 0 && errno == EBADF && write(1, "x", 1) < 0 &&
                            errno == EBADF && write(2, "x", 1) < 0 && errno == EBADF;
        _exit(closed && open("/dev/null", O_RDONLY | O_CLOEXEC) > 2 ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

TEST_F(StandardStreamsTest, NoCommandRunsWhoseOutputIsClosed) {
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"--help"}, {"version", "--client"}, {"nonsense"}, {}}) {
    EXPECT_EXIT(
        {
          close(1);
          _exit(RunMain(words));
        },
        testing::ExitedWithCode(79),
        "wsctl: DATA_LOSS: cannot write to standard output: it is closed");
    EXPECT_EXIT(
        {
          close(2);
          _exit(RunMain(words));
        },
        testing::ExitedWithCode(79), "");
  }
}

TEST_F(StandardStreamsTest, WhatReadsClosedStandardInputFailsAtOnce) {
  // Nobody listens at port 1: the input is looked at first.
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"publish", "s", "c", "e", "-"},
        {"publish", "--batch", "-"},
        {"config", "check", "-"},
        {"token", "inspect", "-"},
        {"token", "mint", "--secret-file", "-"},
        {"token", "inspect", "x", "--secret-file", "-"}}) {
    std::vector<std::string> all = {"--server", "127.0.0.1:1"};
    all.insert(all.end(), words.begin(), words.end());
    EXPECT_EXIT(
        {
          close(0);
          _exit(RunMain(all));
        },
        testing::ExitedWithCode(69), "wsctl: NOT_FOUND: cannot read standard input: it is closed");
  }
}

TEST_F(StandardStreamsTest, WhatReadsNothingDoesNotMind) {
  EXPECT_EXIT(
      {
        close(0);
        _exit(RunMain({"version", "--client"}));
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace fanwire::cli
