#include "cli/batch_line.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status.h"

namespace fanwire::cli {
namespace {

using ::testing::HasSubstr;

TEST(BatchLineTest, EveryKeyIsTaken) {
  BatchLineParser parser;
  const auto event = parser.Parse(
      R"({"service": "mahavishnu", "channel": "workflow:\u0031", "event": "a.b",)"
      R"( "data": {"n": 1.50, "s": "}"} , "id": "i", "idempotency_key": "k", "ttl": "1m30s",)"
      R"( "skip_history": true})");
  ASSERT_OK(event);
  EXPECT_EQ(event->service, "mahavishnu");
  EXPECT_EQ(event->channel, "workflow:1");
  EXPECT_EQ(event->event, "a.b");
  EXPECT_EQ(event->json, R"({"n": 1.50, "s": "}"})");  // byte for byte
  EXPECT_EQ(event->id, "i");
  EXPECT_EQ(event->idempotency_key, "k");
  EXPECT_EQ(event->ttl, absl::Seconds(90));
  EXPECT_TRUE(event->skip_history);
}

TEST(BatchLineTest, WhatIsNotNeededMayBeAbsentOrNull) {
  BatchLineParser parser;
  for (
      const char* line :
      {R"({"service": "s", "channel": "c", "event": ""})",
       R"({"service": "s", "channel": "c", "event": "", "data": null, "id": null, "ttl": null})"}) {
    const auto event = parser.Parse(line);
    ASSERT_OK(event);
    EXPECT_EQ(event->json, "");
    EXPECT_EQ(event->id, "");
    EXPECT_FALSE(event->ttl.has_value());
    EXPECT_FALSE(event->skip_history);
  }
}

TEST(BatchLineTest, TtlMayBeSecondsOfAnyPrecision) {
  BatchLineParser parser;
  const auto ttl = [&](const std::string& text) {
    return parser.Parse(R"({"service": "s", "channel": "c", "event": "e", "ttl": )" + text + "}");
  };
  EXPECT_EQ(ttl("5")->ttl, absl::Seconds(5));
  EXPECT_EQ(ttl("1234567.5 ")->ttl, absl::Seconds(1234567.5));
  EXPECT_EQ(ttl("\"2\"")->ttl, absl::Seconds(2));
  for (const char* wrong : {"-1", "\"soon\"", "true", "[1]", "{}"}) {
    EXPECT_THAT(ttl(wrong), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("ttl: ")))
        << wrong;
  }
}

TEST(BatchLineTest, FaultsNameTheKey) {
  const struct {
    const char* line;
    const char* message;
  } cases[] = {
      {"{nonsense", "not a JSON object: "},
      {"{} {}", "not a JSON object: "},
      {"", "not a JSON object: "},
      {"{\"a\": \"\xff\"}", "not a JSON object: "},
      {"[1]", "not a JSON object"},
      {"1", "not a JSON object"},
      {R"({})", "service: missing"},
      {R"({"service": "s"})", "channel: missing"},
      {R"({"service": "s", "channel": null, "event": "e"})", "channel: missing"},
      {R"({"service": 1, "channel": "c", "event": "e"})", "service: not a string"},
      {R"({"service": "s", "channel": "c", "event": "e", "data": [1]})", "data: not a JSON object"},
      {R"({"service": "s", "channel": "c", "event": "e", "data": "{}"})",
       "data: not a JSON object"},
      {R"({"service": "s", "channel": "c", "event": "e", "skip_history": 1})",
       "skip_history: neither true nor false"},
      {R"({"service": "s", "room": "c", "event": "e"})", "room: no such key; known are service"},
      {R"({"service": "s", "service": "t", "channel": "c", "event": "e"})",
       "service: duplicate key"},
      {R"({"a\u001bb": 1})", "a\\x1bb: no such key"},
  };
  BatchLineParser parser;
  for (const auto& [line, message] : cases) {
    EXPECT_THAT(parser.Parse(line),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)))
        << line;
  }
}

TEST(BatchLineTest, ABadLineDoesNotHarmTheNext) {
  BatchLineParser parser;
  const char* good = R"({"service": "s", "channel": "c", "event": "e", "data": {}})";
  EXPECT_OK(parser.Parse(good));
  EXPECT_FALSE(parser.Parse("{\"data\": {").ok());
  EXPECT_FALSE(parser.Parse(R"({"data": {"a": 1}, "x": 1})").ok());
  EXPECT_OK(parser.Parse(good));
}

}  // namespace
}  // namespace fanwire::cli
