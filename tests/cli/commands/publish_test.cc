#include "cli/commands/publish.h"

#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/cli_runner.h"

namespace fanwire::cli {
namespace {

using ::testing::HasSubstr;

class PublishTest : public testing::Test {
 protected:
  PublishTest() {
    wsctl_.publisher.receipt.id = "id-1";
    wsctl_.publisher.receipt.position = {.epoch = "e1", .offset = 7};
  }
  ~PublishTest() override { unlink(path_.c_str()); }

  const std::string path_ = testing::TempDir() + "wsctl_publish_" + std::to_string(getpid());
  CliRunner wsctl_;
};

TEST_F(PublishTest, TheEventIsWhatTheLineSays) {
  const Outcome outcome = wsctl_.Run({"publish", "mahavishnu", "workflow:1", "a.b", R"({"n": 1})",
                                      "--id", "mine", "--idempotency-key", "k", "--ttl", "30s",
                                      "--skip-history", "--receipt", "written", "--wait", "2s"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  const Event& event = wsctl_.publisher.event;
  EXPECT_EQ(event.service, "mahavishnu");
  EXPECT_EQ(event.channel, "workflow:1");
  EXPECT_EQ(event.event, "a.b");
  EXPECT_EQ(event.json, R"({"n": 1})");
  EXPECT_EQ(event.id, "mine");
  EXPECT_EQ(event.idempotency_key, "k");
  EXPECT_EQ(event.ttl, absl::Seconds(30));
  EXPECT_TRUE(event.skip_history);
  EXPECT_EQ(wsctl_.publisher.request.level, ReceiptLevel::kWritten);
  EXPECT_EQ(wsctl_.publisher.request.wait, absl::Seconds(2));
}

TEST_F(PublishTest, WithoutDataItIsEmptyAndAcceptedIsEnough) {
  EXPECT_EQ(wsctl_.Run({"publish", "s", "c", "e"}).code, 0);
  EXPECT_EQ(wsctl_.publisher.event.json, "");
  EXPECT_EQ(wsctl_.publisher.request.level, ReceiptLevel::kAccepted);
  EXPECT_FALSE(wsctl_.publisher.request.wait.has_value());
}

TEST_F(PublishTest, DataFromAFileAndFromStandardInput) {
  std::ofstream(path_) << R"({"from": "file"})";
  EXPECT_EQ(wsctl_.Run({"publish", "s", "c", "e", "@" + path_}).code, 0);
  EXPECT_EQ(wsctl_.publisher.event.json, R"({"from": "file"})");
  EXPECT_EQ(wsctl_.RunWithInput({"publish", "s", "c", "e", "-"}, R"({"from": "stdin"})").code, 0);
  EXPECT_EQ(wsctl_.publisher.event.json, R"({"from": "stdin"})");
  EXPECT_EQ(wsctl_.Run({"publish", "s", "c", "e", "@/nonexistent"}).code, 69);
}

TEST_F(PublishTest, DataThatIsNotUtf8IsNamedByItsSource) {
  std::ofstream(path_) << "{\n\"a\": \"\xe9\"}";
  const std::pair<std::string, std::string> cases[] = {
      {"@" + path_, path_ + ":2:7: byte 0xE9 is not UTF-8"},
      {"{\"a\": \"\xc3\"}", "JSON:1:8: byte 0xC3 is not UTF-8"}};
  for (const auto& [data, message] : cases) {
    const Outcome outcome = wsctl_.Run({"publish", "s", "c", "e", data});
    EXPECT_EQ(outcome.code, 67);
    EXPECT_EQ(outcome.err, "wsctl: INVALID_ARGUMENT: " + message + "\n");
  }
  const Outcome piped = wsctl_.RunWithInput({"publish", "s", "c", "e", "-"}, "\xff");
  EXPECT_EQ(piped.err, "wsctl: INVALID_ARGUMENT: standard input:1:1: byte 0xFF is not UTF-8\n");
  EXPECT_EQ(wsctl_.publisher.event.service, "");  // control was not asked
  EXPECT_EQ(wsctl_.Run({"publish", "s", "caf\xe9", "e"}).err,
            "wsctl: CHANNEL: \"caf\\xe9\" is not UTF-8\nTry `wsctl publish --help`.\n");
}

TEST_F(PublishTest, TheReceiptForPeople) {
  EXPECT_EQ(wsctl_.Run({"publish", "s", "c", "e"}).out,
            "level   accepted\nid      id-1\noffset  7\nepoch   e1\n");
  Receipt& receipt = wsctl_.publisher.receipt;
  receipt.level = ReceiptLevel::kWritten;
  receipt.delivery = Delivery{.matched = 9,
                              .written = 3,
                              .dropped = {{"conflated", 2}, {"slow", 1}},
                              .lost_connection = 1,
                              .expired = 2,
                              .workers_total = 2,
                              .workers_reported = 1};
  receipt.duplicate = true;
  receipt.timed_out = true;
  EXPECT_EQ(wsctl_.Run({"publish", "s", "c", "e", "--receipt", "written"}).out,
            "level            written\n"
            "id               id-1\n"
            "offset           7\n"
            "epoch            e1\n"
            "matched          9\n"
            "written          3\n"
            "dropped          2 conflated, 1 slow\n"
            "lost connection  1\n"
            "expired          2\n"
            "workers          1 of 2 reported\n"
            "duplicate        yes: this event was published before\n"
            "timed out        yes: the counts are not final\n");
}

TEST_F(PublishTest, TheReceiptAsJsonIsOneLine) {
  Receipt& receipt = wsctl_.publisher.receipt;
  receipt.level = ReceiptLevel::kRouted;
  receipt.delivery = Delivery{.matched = 3, .written = 2, .dropped = {{"conflated", 1}}};
  receipt.stage_times =
      StageTimes{.accepted_us = 1, .routed_us = 2, .first_written_us = 3, .last_written_us = 4};
  EXPECT_EQ(wsctl_.Run({"publish", "s", "c", "e", "--output", "json"}).out,
            R"({"position":{"epoch":"e1","offset":7},"level":"routed","id":"id-1",)"
            R"("duplicate":false,"timed_out":false,"delivery":{"matched":3,"written":2,)"
            R"("dropped":{"conflated":1},"lost_connection":0,"expired":0,"workers_total":0,)"
            R"("workers_reported":0},"stage_times":{"accepted_us":1,"routed_us":2,)"
            R"("first_written_us":3,"last_written_us":4}})"
            "\n");
}

TEST_F(PublishTest, WithoutHistoryAReceiptHasNoPosition) {
  wsctl_.publisher.receipt.position = {};
  const auto json = nlohmann::json::parse(
      wsctl_.Run({"publish", "s", "c", "e", "--skip-history", "--output", "json"}).out);
  EXPECT_FALSE(json.contains("position"));
  EXPECT_THAT(wsctl_.Run({"publish", "s", "c", "e"}).out, testing::Not(HasSubstr("offset")));
}

TEST_F(PublishTest, ARefusalIsOnStderrAlone) {
  wsctl_.publisher.failure = absl::InvalidArgumentError("channel \"a:*\": wildcard");
  const Outcome outcome = wsctl_.Run({"publish", "s", "a:*", "e", "--output", "json"});
  EXPECT_EQ(outcome.code, 67);
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(outcome.err, "wsctl: INVALID_ARGUMENT: channel \"a:*\": wildcard\n");
  wsctl_.publisher.failure = absl::OkStatus();
  wsctl_.publisher.receipt.status = absl::NotFoundError("no service");
  EXPECT_EQ(wsctl_.Run({"publish", "s", "c", "e"}).code, 69);
}

TEST_F(PublishTest, AnEmptyEventNameIsControlsToRefuse) {
  EXPECT_EQ(wsctl_.Run({"publish", "s", "c", ""}).code, 0);
  EXPECT_EQ(wsctl_.publisher.event.event, "");
}

TEST_F(PublishTest, MissingArgumentsAreUsageErrors) {
  for (const std::vector<std::string>& words : {std::vector<std::string>{"publish"},
                                                {"publish", "s"},
                                                {"publish", "s", "c"},
                                                {"publish", "", "c", "e"},
                                                {"publish", "s", "c", "e", "{}", "x"},
                                                {"publish", "s", "c", "e", "--receipt", "never"}}) {
    const Outcome outcome = wsctl_.Run(words);
    EXPECT_EQ(outcome.code, 2);
    EXPECT_FALSE(outcome.err.empty());
    EXPECT_EQ(outcome.out, "");
  }
}

TEST_F(PublishTest, ABatchTakesNothingElse) {
  for (const std::vector<std::string>& more : {std::vector<std::string>{"s"},
                                               {"s", "c", "e"},
                                               {"--id", "x"},
                                               {"--idempotency-key", "k"},
                                               {"--ttl", "1s"},
                                               {"--skip-history"}}) {
    std::vector<std::string> words = {"publish", "--batch", "-"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome outcome = wsctl_.Run(words);
    EXPECT_EQ(outcome.code, 2);
    EXPECT_THAT(outcome.err, HasSubstr("--batch reads whole events from its lines"));
  }
}

TEST_F(PublishTest, ABatchFromStandardInputAndFromAFile) {
  const std::string line = R"({"service": "s", "channel": "c", "event": "e"})"
                           "\n";
  const Outcome piped =
      wsctl_.RunWithInput({"publish", "--batch", "-", "--receipt", "routed"}, line + line);
  EXPECT_EQ(piped.code, 0) << piped.err;
  EXPECT_EQ(std::count(piped.out.begin(), piped.out.end(), '\n'), 2);
  EXPECT_EQ(wsctl_.publisher.request.level, ReceiptLevel::kRouted);
  std::ofstream(path_) << line;
  EXPECT_THAT(wsctl_.Run({"publish", "--batch", path_}).out, HasSubstr(R"("offset":1)"));
  const Outcome missing = wsctl_.Run({"publish", "--batch", "/nonexistent"});
  EXPECT_EQ(missing.code, 69);
  EXPECT_THAT(missing.err, HasSubstr("cannot read \"/nonexistent\": No such file"));
}

}  // namespace
}  // namespace fanwire::cli
