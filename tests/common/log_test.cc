#include "common/log.h"

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire {
namespace {

const absl::Time kTime = absl::FromUnixMillis(1'770'724'800'123);

TEST(LogTest, TextLineIsKeyValue) {
  EXPECT_EQ(FormatLogLine(LogLevel::kInfo, LogFormat::kText, kTime, "session.open",
                          {{"service", "mahavishnu"}, {"session", 7}}),
            "I 2026-02-10T12:00:00.123Z session.open service=mahavishnu session=7");
}

TEST(LogTest, ValuesThatWouldBreakTheLineAreQuoted) {
  EXPECT_EQ(FormatLogLine(LogLevel::kWarning, LogFormat::kText, kTime, "x",
                          {{"a", "b c"}, {"q", "say \"hi\"\n"}, {"empty", ""}, {"bell", "\x07"}}),
            "W 2026-02-10T12:00:00.123Z x a=\"b c\" q=\"say \\\"hi\\\"\\n\" empty=\"\" "
            "bell=\"\\u0007\"");
}

TEST(LogTest, NamesFromOthersDoNotReorderTheLine) {
  EXPECT_EQ(FormatLogLine(LogLevel::kInfo, LogFormat::kText, kTime, "x",
                          {{"a", "x\u202ey"}, {"b", "\u009b"}, {"c", "caf\xe9"}, {"d", "grün🎉"}}),
            "I 2026-02-10T12:00:00.123Z x a=\"x\\u202ey\" b=\"\\u009b\" c=\"caf\ufffd\" d=grün🎉");
  EXPECT_EQ(FormatLogLine(LogLevel::kInfo, LogFormat::kJson, kTime, "x",
                          {{"a", "x\u202ey\t"}, {"b", "\xff"}}),
            "{\"level\":\"info\",\"time\":\"2026-02-10T12:00:00.123Z\",\"event\":\"x\","
            "\"a\":\"x\\u202ey\\u0009\",\"b\":\"\ufffd\"}");
}

TEST(LogTest, JsonLineKeepsNumbers) {
  EXPECT_EQ(FormatLogLine(LogLevel::kError, LogFormat::kJson, kTime, "x",
                          {{"n", 3}, {"t", "a\"b"}, {"ok", true}}),
            "{\"level\":\"error\",\"time\":\"2026-02-10T12:00:00.123Z\",\"event\":\"x\",\"n\":3,"
            "\"t\":\"a\\\"b\",\"ok\":\"true\"}");
}

TEST(LogTest, StatusAndDurationAreValues) {
  EXPECT_EQ(FormatLogLine(LogLevel::kDebug, LogFormat::kText, kTime, "x",
                          {{"why", absl::NotFoundError("no")}, {"after", absl::Seconds(2)}}),
            "D 2026-02-10T12:00:00.123Z x why=\"NOT_FOUND: no\" after=2s");
}

TEST(LogTest, LevelsAreNamedAndSettable) {
  LogLevel level;
  EXPECT_TRUE(ParseLogLevel("warning", &level));
  EXPECT_EQ(level, LogLevel::kWarning);
  EXPECT_FALSE(ParseLogLevel("loud", &level));
  const LogLevel before = GetLogLevel();
  SetLogLevel(LogLevel::kError);
  EXPECT_FALSE(LogEnabled(LogLevel::kWarning));
  EXPECT_TRUE(LogEnabled(LogLevel::kError));
  SetLogLevel(before);
}

TEST(LogTest, LineReachesStderr) {
  testing::internal::CaptureStderr();
  LogWarning("test.line", {{"n", 1}});
  EXPECT_THAT(testing::internal::GetCapturedStderr(), testing::HasSubstr(" test.line n=1\n"));
}

TEST(LogLimiterTest, TellsOnceInAnInterval) {
  LogLimiter limiter(absl::Hours(1));
  int64_t left_out = -1;
  ASSERT_TRUE(limiter.Admit(&left_out));
  EXPECT_EQ(left_out, 0);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(limiter.Admit(&left_out));
}

TEST(LogLimiterTest, AfterTheIntervalItTellsHowManyWereLeftOut) {
  LogLimiter limiter(absl::Milliseconds(30));
  int64_t left_out = -1;
  ASSERT_TRUE(limiter.Admit(&left_out));
  EXPECT_EQ(left_out, 0);
  int64_t refused = 0;  // perhaps none, if the machine is slow
  while (!limiter.Admit(&left_out)) ++refused;
  EXPECT_EQ(left_out, refused);
}

}  // namespace
}  // namespace fanwire
