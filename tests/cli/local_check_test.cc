// Tests the local check: what the program is given, and how its answer is read.
#include "cli/local_check.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status.h"

namespace fanwire::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class LocalCheckTest : public testing::Test {
 protected:
  ~LocalCheckTest() override { unlink(program_.c_str()); }

  // Makes the program a shell script with these lines.
  void Write(const std::string& script) {
    std::ofstream(program_) << "#!/bin/sh\n" << script;
    ASSERT_EQ(chmod(program_.c_str(), 0700), 0);
  }

  const std::string program_ = testing::TempDir() + "local_check_" + std::to_string(getpid());
};

TEST_F(LocalCheckTest, TheProgramIsGivenTheTextAndItsVerdictIsTaken) {
  Write(R"sh(test "$*" = "--config /dev/stdin --check-config --json" || exit 1
test "$(cat /dev/stdin)" = "log: {}" || exit 1
echo '{"ok": true, "errors": [], "warnings": ["careful"], "resolved_yaml": "log: {level: info}"}'
)sh");
  const auto verdict = CheckConfigWith(program_, "log: {}\n", "f.yaml");
  ASSERT_OK(verdict);
  EXPECT_TRUE(verdict->ok);
  EXPECT_THAT(verdict->errors, IsEmpty());
  EXPECT_THAT(verdict->warnings, ElementsAre("careful"));
  EXPECT_EQ(verdict->resolved_yaml, "log: {level: info}");
}

TEST_F(LocalCheckTest, FaultsCallTheFileByItsName) {
  Write(R"sh(echo '{"ok": false, "errors": ["/dev/stdin:3:5: bad", "other"], "warnings": []}'
exit 2
)sh");
  const auto verdict = CheckConfigWith(program_, "x", "f.yaml");
  ASSERT_OK(verdict);
  EXPECT_FALSE(verdict->ok);
  EXPECT_THAT(verdict->errors, ElementsAre("f.yaml:3:5: bad", "other"));
  EXPECT_EQ(verdict->resolved_yaml, "");
}

TEST_F(LocalCheckTest, ALongTextIsNoProblem) {
  Write(R"sh(echo "{\"ok\": true, \"errors\": [], \"warnings\": [\"$(wc -c)\"]}"
)sh");
  const auto verdict = CheckConfigWith(program_, std::string(2'000'000, '#'), "f.yaml");
  ASSERT_OK(verdict);
  EXPECT_THAT(verdict->warnings, ElementsAre("2000000"));
}

TEST_F(LocalCheckTest, AProgramThatIsNotThereOrSaysNothingIsNoVerdict) {
  EXPECT_THAT(CheckConfigWith("/nonexistent/fanwire-control", "x", "f.yaml"),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("/nonexistent")));
  Write("exit 1\n");
  EXPECT_THAT(CheckConfigWith(program_, "x", "f.yaml"),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("ended without a result")));
}

TEST_F(LocalCheckTest, ControlsProgramIsNamed) {
  EXPECT_THAT(ControlProgram(), HasSubstr("fanwire-control"));
}

}  // namespace
}  // namespace fanwire::cli
