#include "cli/commands/completion.h"

#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/cli_runner.h"

namespace fanwire::cli {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

TEST(CompletionTest, EachShellHasItsScript) {
  CliRunner wsctl;
  EXPECT_THAT(wsctl.Run({"completion", "bash"}).out, HasSubstr("complete -F _wsctl wsctl"));
  EXPECT_THAT(wsctl.Run({"completion", "zsh"}).out, testing::StartsWith("#compdef wsctl\n"));
  EXPECT_THAT(wsctl.Run({"completion", "fish"}).out, HasSubstr("complete -c wsctl"));
}

TEST(CompletionTest, OtherShellsAreUsageErrors) {
  CliRunner wsctl;
  EXPECT_THAT(wsctl.Run({"completion", "tcsh"}).err,
              HasSubstr("unknown shell \"tcsh\"; known are bash, zsh and fish"));
  EXPECT_EQ(wsctl.Run({"completion", "tcsh"}).code, 2);
  EXPECT_EQ(wsctl.Run({"completion"}).code, 2);
}

TEST(CompletionTest, FixedValuesNeedNoControl) {
  CliRunner wsctl;
  EXPECT_EQ(wsctl.Run({"__complete", "--", "completion", ""}).out, "bash\nfish\nzsh\n");
  EXPECT_EQ(wsctl.Run({"__complete", "--", "log-level", "w"}).out, "warning\n");
  EXPECT_EQ(wsctl.Run({"__complete", "--", "config", "check", "x"}).out, ":files\n");
  EXPECT_EQ(wsctl.Run({"__complete", "--", "eng"}).out, "engine\n");
  EXPECT_EQ(wsctl.Run({"__complete", "--", "engine", ""}).out, "status\n");
  EXPECT_EQ(wsctl.server.address, "");
}

// Runs the completion script in bash, with a fake wsctl that prints `answer` and records its
// arguments.
class BashTest : public testing::Test {
 protected:
  BashTest() {
    CliRunner wsctl;
    std::ofstream(path_) << wsctl.Run({"completion", "bash"}).out;
  }
  ~BashTest() override { unlink(path_.c_str()); }

  // Completes `line`, which bash splits into `words`.  Returns "<asked><words> => completions".
  std::string Complete(const std::string& line, const std::string& words,
                       const std::string& answer) {
    const std::string command = absl::StrCat(
        "bash -c 'source ", path_, "\nexec 9>&1\n",
        "wsctl() { printf \"<%s>\" \"$@\" >&9; printf -- \"", answer, "\"; }\n", "COMP_LINE=\"",
        line, "\" COMP_WORDS=(", words, ")\nCOMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n",
        "_wsctl; printf \" => %s\" \"${COMPREPLY[*]}\"'");
    FILE* pipe = popen(command.c_str(), "r");
    std::string text;
    char buffer[4096];
    while (const size_t got = fread(buffer, 1, sizeof(buffer), pipe)) text.append(buffer, got);
    EXPECT_EQ(pclose(pipe), 0);
    return text;
  }

  const std::string path_ = testing::TempDir() + "wsctl_bash_" + std::to_string(getpid());
};

TEST_F(BashTest, WsctlIsAskedForTheWordsOfTheLine) {
  EXPECT_EQ(Complete("wsctl  workers ", "wsctl workers \"\"", "drain\\nlist\\n"),
            "<__complete><--><workers><> => drain list");
}

TEST_F(BashTest, WordsThatBashCutsAtColonsArePutTogether) {
  EXPECT_EQ(Complete("wsctl --server 127.0.0.1:8701 workers drain w",
                     "wsctl --server 127.0.0.1 : 8701 workers drain w", "worker-0\\n"),
            "<__complete><--><--server><127.0.0.1:8701><workers><drain><w> => worker-0");
}

TEST_F(BashTest, OfAValueBehindAnEqualsSignOnlyTheValueIsReplaced) {
  EXPECT_EQ(Complete("wsctl --output=j", "wsctl --output = j", "--output=json\\n"),
            "<__complete><--><--output=j> => json");
  EXPECT_EQ(Complete("wsctl --output=", "wsctl --output =", "--output=json\\n"),
            "<__complete><--><--output=> => json");
}

TEST_F(BashTest, FilesAreTheShellsOwn) {
  EXPECT_THAT(Complete("wsctl config check " + path_, "wsctl config check " + path_, ":files\\n"),
              EndsWith(" => " + path_));
}

}  // namespace
}  // namespace fanwire::cli
