#include "cli/commands/mcp.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/cli/cli_runner.h"
#include "tests/testing/wait_for.h"

namespace fanwire::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Json = nlohmann::ordered_json;

constexpr char kBegin[] =
    R"({"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25"}})"
    "\n";

TEST(McpTest, EachLineIsAnsweredWithALine) {
  CliRunner run;
  run.admin.tool_json = R"({"status":"healthy"})";
  const Outcome outcome = run.RunWithInput(
      {"mcp"},
      absl::StrCat(kBegin,
                   R"({"jsonrpc":"2.0","id":2,"method":"tools/call","params":{)"
                   R"("name":"websocket_health_check"}})"));  // the last line needs no line break
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.err, IsEmpty());
  const std::vector<std::string> lines = absl::StrSplit(outcome.out, '\n', absl::SkipEmpty());
  ASSERT_THAT(lines, SizeIs(2));
  EXPECT_EQ(Json::parse(lines[1])["result"]["structuredContent"]["status"], "healthy");
}

TEST(McpTest, WithoutInputItEnds) {
  CliRunner run;
  const Outcome outcome = run.RunWithInput({"mcp"}, "");
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out, IsEmpty());
}

TEST(McpTest, WithStandardInputClosedItFails) {
  CliRunner run;
  const Outcome outcome = run.Run({"mcp"});
  EXPECT_EQ(outcome.code, 69);
  EXPECT_THAT(outcome.err, HasSubstr("standard input"));
}

TEST(McpTest, AServerThatCannotBeChosenIsToldAtOnce) {
  CliRunner run;
  const Outcome outcome = run.RunWithInput({"mcp", "--context", "nope"}, "");
  EXPECT_NE(outcome.code, 0);
  EXPECT_THAT(outcome.err, HasSubstr("wsctl.yaml"));
}

TEST(McpTest, ErrorsOfTheConnectionAdviseAnAgent) {
  CliRunner run;
  EXPECT_EQ(run.RunWithInput({"mcp"}, kBegin).code, 0);
  EXPECT_TRUE(run.server.for_agent);
  EXPECT_EQ(run.Run({"workers", "list"}).code, 0);
  EXPECT_FALSE(run.server.for_agent);
}

TEST(McpTest, MessagesOverTheLimitAreSkipped) {
  CliRunner run;
  const Outcome outcome = run.RunWithInput({"mcp", "--max-message-bytes", "4096"},
                                           absl::StrCat(std::string(4097, ' '), "\n", kBegin));
  const std::vector<std::string> lines = absl::StrSplit(outcome.out, '\n', absl::SkipEmpty());
  ASSERT_THAT(lines, SizeIs(2));
  EXPECT_THAT(lines[0], HasSubstr("a message of more than 4096 bytes was skipped"));
  EXPECT_THAT(lines[1], HasSubstr("protocolVersion"));
}

TEST(McpTest, TheWriteToolsAreThereOnlyIfAllowed) {
  for (const bool allowed : {false, true}) {
    CliRunner run;
    std::vector<std::string> arguments = {"mcp"};
    if (allowed) arguments.push_back("--allow-write");
    const Outcome outcome = run.RunWithInput(
        arguments, absl::StrCat(kBegin, R"({"jsonrpc":"2.0","id":2,"method":"tools/list"})", "\n"));
    EXPECT_EQ(absl::StrContains(outcome.out, "\"publish_event\""), allowed);
  }
}

TEST(McpTest, AReaderThatGoesAwayEndsIt) {
  CliRunner run;
  run.results.failure = absl::DataLossError("disk full");
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  run.stdin_fd = ends[0];
  ASSERT_EQ(write(ends[1], kBegin, strlen(kBegin)), static_cast<ssize_t>(strlen(kBegin)));
  const Outcome outcome = run.Run({"mcp"});  // the input stays open
  EXPECT_EQ(outcome.code, 79);
  close(ends[0]);
  close(ends[1]);
}

TEST(McpTest, ASignalEndsItWithoutAFailure) {
  CliRunner run;
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  run.stdin_fd = ends[0];
  struct sigaction before;
  sigaction(SIGTERM, nullptr, &before);
  std::thread sender([&] {
    // Once it handles the signal.
    EXPECT_TRUE(WaitFor([&] {
      struct sigaction now;
      sigaction(SIGTERM, nullptr, &now);
      return now.sa_handler != before.sa_handler;
    }));
    kill(getpid(), SIGTERM);
  });
  const Outcome outcome = run.Run({"mcp"});
  sender.join();
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.err, IsEmpty());
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace fanwire::cli
