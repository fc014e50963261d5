#include "cli/commands/tail.h"

#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "absl/synchronization/notification.h"
#include "cli/exit_code.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/cli_runner.h"

namespace fanwire::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;

class TailTest : public testing::Test {
 protected:
  TailTest() {
    for (int64_t offset = 1; offset <= 3; ++offset) {
      wsctl_.admin.tail_updates.push_back(
          {.publications = {{.service = "mahavishnu",
                             .channel = "workflow:1",
                             .event = "a.b",
                             .position = {.epoch = "e1", .offset = offset},
                             .envelope = R"({"id": "x", "data": {"n": 1.50, "t": "\u001b"} })",
                             .received = absl::FromUnixSeconds(1'770'724'500)}}});
    }
  }

  CliRunner wsctl_;
};

TEST_F(TailTest, JsonIsAPublicationALine) {
  const Outcome outcome = wsctl_.Run({"tail", "mahavishnu", "workflow:*", "--output", "json"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out.substr(0, outcome.out.find('\n')),
            R"({"service":"mahavishnu","channel":"workflow:1","event":"a.b",)"
            R"("position":{"epoch":"e1","offset":1},"received_at":"2026-02-10T11:55:00.000Z",)"
            R"("envelope":{"id": "x", "data": {"n": 1.50, "t": "\u001b"} }})");
  EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 3);
}

TEST_F(TailTest, JsonStaysOnALineWhateverTheEnvelopeHolds) {
  wsctl_.admin.tail_updates[0].publications[0].envelope = "{\n  \"data\": {\r\n\"n\": 1}}";
  const Outcome outcome = wsctl_.Run({"tail", "mahavishnu", "--output", "json"});
  EXPECT_THAT(outcome.out, HasSubstr(R"("envelope":{   "data": {  "n": 1}}})"));
  EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 3);
}

TEST_F(TailTest, PeopleSeeTheDataAsItIsWritten) {
  EXPECT_THAT(wsctl_.Run({"tail", "mahavishnu"}).out,
              testing::StartsWith("2026-02-10T11:55:00.000Z  workflow:1  a.b  #1  "
                                  "{\"n\": 1.50, \"t\": \"\\u001b\"}\n"));
  EXPECT_THAT(wsctl_.Run({"tail", "mahavishnu", "--output", "plain"}).out,
              testing::StartsWith("2026-02-10T11:55:00.000Z\tworkflow:1\ta.b\t1\t{\"n\""));
}

TEST_F(TailTest, OnATerminalALineFitsIt) {
  wsctl_.width = 60;
  wsctl_.terminal = true;
  const Outcome outcome = wsctl_.Run({"tail", "mahavishnu", "--no-color"});
  EXPECT_THAT(outcome.out.substr(0, outcome.out.find('\n')), EndsWith("…"));
  wsctl_.width = 10;  // too narrow even for the fields before the data
  EXPECT_EQ(wsctl_.Run({"tail", "mahavishnu", "--no-color"}).code, 0);
}

TEST_F(TailTest, WhatHasNoPositionOrNoDataIsShownAllTheSame) {
  Publication& first = wsctl_.admin.tail_updates[0].publications[0];
  first.position = {};
  first.envelope = "no json\x1b";
  first.received = absl::InfinitePast();
  EXPECT_THAT(wsctl_.Run({"tail", "mahavishnu"}).out,
              testing::StartsWith("-  workflow:1  a.b  -  no json\\x1b\n"));
  first.envelope = "";
  const auto json = nlohmann::json::parse(wsctl_.Run({"tail", "mahavishnu", "--output", "json"})
                                              .out.substr(0, 120)
                                              .substr(0, wsctl_.results.text.find('\n')));
  EXPECT_FALSE(json.contains("position"));
  EXPECT_TRUE(json["envelope"].is_null());
  EXPECT_TRUE(json["received_at"].is_null());
}

TEST_F(TailTest, ItAsksForWhatTheFlagsSay) {
  wsctl_.Run({"tail", "akosha", "a:*", "--event", "x", "--event", "y", "--rate", "5"});
  EXPECT_EQ(wsctl_.admin.tail_request.service, "akosha");
  EXPECT_EQ(wsctl_.admin.tail_request.pattern, "a:*");
  EXPECT_THAT(wsctl_.admin.tail_request.events, ElementsAre("x", "y"));
  EXPECT_EQ(wsctl_.admin.tail_request.max_per_second, 5u);
}

TEST_F(TailTest, WithoutPatternItIsEverything) {
  wsctl_.Run({"tail", "akosha"});
  EXPECT_EQ(wsctl_.admin.tail_request.pattern, "**");
}

TEST_F(TailTest, WhatWasLeftOutIsCountedOnStderr) {
  wsctl_.admin.tail_updates[1].left_out = 12;
  wsctl_.admin.tail_updates[1].publications.clear();
  const Outcome outcome = wsctl_.Run({"tail", "mahavishnu"});
  EXPECT_EQ(outcome.err, "(12 publications left out: too many for --rate)\n");
  EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 2);
}

TEST_F(TailTest, WhenNobodyReadsItEnds) {
  wsctl_.results.failure = BrokenPipe();
  EXPECT_EQ(wsctl_.Run({"tail", "mahavishnu"}).code, 0);
  EXPECT_EQ(wsctl_.admin.tail_updates_taken, 1);
}

TEST_F(TailTest, AReaderThatGoesAwayEndsATailThatWaits) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  wsctl_.results.descriptor = ends[1];
  wsctl_.admin.tail_cancelled = std::make_shared<absl::Notification>();
  std::thread reader([fd = ends[0]] { close(fd); });
  const Outcome outcome = wsctl_.Run({"tail", "mahavishnu"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.err, "");
  EXPECT_TRUE(wsctl_.admin.tail_cancelled->HasBeenNotified());
  reader.join();
  close(ends[1]);
}

TEST_F(TailTest, ControlGoingAwayIsAFailure) {
  wsctl_.admin.failure = absl::UnavailableError("away");
  const Outcome outcome = wsctl_.Run({"tail", "mahavishnu"});
  EXPECT_EQ(outcome.code, 78);
  EXPECT_THAT(outcome.err, HasSubstr("away"));
}

}  // namespace
}  // namespace fanwire::cli
