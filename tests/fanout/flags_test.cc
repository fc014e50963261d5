// The worker's command line.
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
  WorkerFlags flags;
  int exit = -1;
};

Parsed ParseArguments(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "fanwire-fanout");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  Parsed parsed;
  parsed.flags = ParseFlags(static_cast<int>(argv.size()), argv.data(), &parsed.exit);
  return parsed;
}

TEST(FlagsTest, WithoutArgumentsItIsTheFirstWorkerOfThisUsersControl) {
  const Parsed parsed = ParseArguments({});
  EXPECT_EQ(parsed.exit, -1);
  EXPECT_EQ(parsed.flags.worker_id, "worker-0");
  EXPECT_EQ(parsed.flags.slot, 0u);
  EXPECT_THAT(parsed.flags.control, StartsWith("unix:"));
  EXPECT_THAT(parsed.flags.control, HasSubstr("/control.sock"));
  EXPECT_FALSE(parsed.flags.supervised);
  EXPECT_EQ(parsed.flags.runtime_dir, "");
}

TEST(FlagsTest, AWorkerIdMayBeAnyUtf8) {
  EXPECT_EQ(ParseArguments({"--worker-id", "w\xc3\xa9st"}).exit, -1);
}

TEST(FlagsTest, EveryFlagIsTaken) {
  const Parsed parsed =
      ParseArguments({"--control", "127.0.0.1:8701", "--worker-id", "west-3", "--slot", "3",
                      "--runtime-dir", "/run/here", "--supervised", "--log-level", "debug"});
  EXPECT_EQ(parsed.exit, -1);
  EXPECT_EQ(parsed.flags.control, "127.0.0.1:8701");
  EXPECT_EQ(parsed.flags.worker_id, "west-3");
  EXPECT_EQ(parsed.flags.slot, 3u);
  EXPECT_EQ(parsed.flags.runtime_dir, "/run/here");
  EXPECT_TRUE(parsed.flags.supervised);
  EXPECT_EQ(parsed.flags.log_level, LogLevel::kDebug);
}

TEST(FlagsTest, TheIdFollowsTheSlot) {
  EXPECT_EQ(ParseArguments({"--slot", "12"}).flags.worker_id, "worker-12");
}

TEST(FlagsTest, HelpAndVersionEndWell) {
  ::testing::internal::CaptureStdout();
  EXPECT_EQ(ParseArguments({"--help"}).exit, 0);
  EXPECT_THAT(::testing::internal::GetCapturedStdout(), HasSubstr("--control"));
  ::testing::internal::CaptureStdout();
  EXPECT_EQ(ParseArguments({"--version"}).exit, 0);
  EXPECT_THAT(::testing::internal::GetCapturedStdout(), StartsWith("fanwire-fanout "));
}

TEST(FlagsTest, AFaultIsOneLineThatSaysWhatIsWrongAndEndsWithTwo) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> faults = {
      {{"--nonsense"}, "unexpected argument: --nonsense"},
      {{"--slot", "many"}, "--slot: \"many\" is not a number from 0 to 4294967295"},
      {{"--slot", "-1"}, "--slot: \"-1\" is not a number from 0 to 4294967295"},
      {{"--log-level", "loud"}, "--log-level: \"loud\" is not one of debug, info, warning, error"},
      {{"--worker-id", "w\xe9st"},
       "--worker-id: \"w\xef\xbf\xbdst\" is not UTF-8: use letters, digits, '-' and '_'"}};
  for (const auto& [arguments, problem] : faults) {
    ::testing::internal::CaptureStderr();
    EXPECT_EQ(ParseArguments(arguments).exit, 2) << problem;
    EXPECT_EQ(::testing::internal::GetCapturedStderr(),
              absl::StrCat("fanwire-fanout: ", problem, "; see fanwire-fanout --help\n"));
  }
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(ParseArguments({"--control", "no port"}).exit, 2);
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), StartsWith("fanwire-fanout: --control: "));
}

}  // namespace
}  // namespace fanwire::fanout
