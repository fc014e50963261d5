#include "common/arguments.h"

#include <CLI/CLI.hpp>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire {
namespace {

using ::testing::HasSubstr;
using ::testing::internal::CaptureStderr;
using ::testing::internal::CaptureStdout;
using ::testing::internal::GetCapturedStderr;
using ::testing::internal::GetCapturedStdout;

class ArgumentsTest : public testing::Test {
 protected:
  ArgumentsTest() {
    app_.set_version_flag("--version", "program 1.2");
    app_.add_option("--file", file_, "A file")->required();
    app_.add_option("--number", number_, "A number")->check([](const std::string& text) {
      return CheckNumber(text, 3, 5);
    });
    app_.add_flag("--check", check_);
    app_.add_flag("--json", json_)->needs("--check");
  }

  std::optional<int> Parse(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "program");
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    return ParseArguments(app_, static_cast<int>(argv.size()), argv.data());
  }

  CLI::App app_{"What it does", "program"};
  std::string file_;
  int number_ = 0;
  bool check_ = false;
  bool json_ = false;
};

TEST_F(ArgumentsTest, GoodArgumentsReachTheirTargets) {
  EXPECT_EQ(Parse({"--file", "a", "--number=5", "--check", "--json"}), std::nullopt);
  EXPECT_EQ(file_, "a");
  EXPECT_EQ(number_, 5);
  EXPECT_TRUE(json_);
}

TEST_F(ArgumentsTest, HelpAndVersionGoToStdoutAndEndWithZero) {
  CaptureStdout();
  EXPECT_EQ(Parse({"--help"}), 0);
  EXPECT_THAT(GetCapturedStdout(), HasSubstr("What it does"));
  CaptureStdout();
  EXPECT_EQ(Parse({"--version"}), 0);
  EXPECT_EQ(GetCapturedStdout(), "program 1.2\n");
}

TEST_F(ArgumentsTest, AnErrorIsOneLineThatSaysWhatIsWrongAndWhereHelpIs) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> errors = {
      {{}, "--file is required"},
      {{"--file"}, "--file needs TEXT"},
      {{"--file", "a", "--file", "b"}, "--file is given 2 times; give it once"},
      {{"--file", "a", "b", "--odd"}, "unexpected argument: b --odd"},
      {{"--file", "a", "\x1b[31m"}, "unexpected argument: \\x1b[31m"},
      {{"--file", "a", "--number", "many"}, "--number: \"many\" is not a number from 3 to 5"},
      {{"--file", "a", "--number", "6"}, "--number: \"6\" is not a number from 3 to 5"},
      {{"--file", "a", "--json"}, "--json needs --check"}};
  for (const auto& [arguments, problem] : errors) {
    CaptureStderr();
    EXPECT_EQ(Parse(arguments), kExitUsage) << problem;
    EXPECT_EQ(GetCapturedStderr(), "program: " + problem + "; see program --help\n");
  }
}

}  // namespace
}  // namespace fanwire
