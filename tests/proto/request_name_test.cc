#include "proto/request_name.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status.h"

namespace fanwire {

namespace {

using ::testing::HasSubstr;

TEST(RequestNameTest, NamesAndPatternsOfAllFormsAreAccepted) {
  for (const char* name : {"get_workflow_status", "g", "get_*", "*", "größe", "a.b:c d"}) {
    EXPECT_OK(CheckRequestName(name)) << name;
  }
  EXPECT_OK(CheckRequestName(std::string(kMaxRequestNameBytes, 'x')));
}

TEST(RequestNameTest, RefusalsSayWhatIsWrong) {
  const auto fault = [](absl::string_view name) {
    const absl::Status status = CheckRequestName(name);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << name;
    return std::string(status.message());
  };
  EXPECT_EQ(fault(""), "empty");
  EXPECT_EQ(fault(std::string(129, 'x')), "129 bytes, at most 128 allowed");
  EXPECT_EQ(fault("a\nb"), "control character at byte 1");
  EXPECT_THAT(fault("a*b"), HasSubstr("\"a*b\" has a '*' that is not its last character"));
  EXPECT_THAT(fault("**"), HasSubstr("not its last"));
  for (const char* name : {"auth", "history", "ping", "presence", "publish", "refresh_token",
                           "subscribe", "unsubscribe"}) {
    EXPECT_THAT(fault(name), HasSubstr("is a request that Fanwire itself answers")) << name;
  }
}

TEST(RequestNameTest, APatternStandsForEveryNameThatBeginsSoButForNoReservedOne) {
  EXPECT_TRUE(RequestMatches("get_*", "get_"));
  EXPECT_TRUE(RequestMatches("get_*", "get_x"));
  EXPECT_TRUE(RequestMatches("*", "anything"));
  EXPECT_FALSE(RequestMatches("get_*", "set_x"));
  EXPECT_FALSE(RequestMatches("get_x", "get_xy"));
  EXPECT_FALSE(RequestMatches("*", "history"));
  EXPECT_FALSE(RequestMatches("sub*", "subscribe"));
  EXPECT_FALSE(RequestMatches("*", ""));
  EXPECT_FALSE(RequestMatches("*", "a\nb"));
  EXPECT_FALSE(RequestMatches("*", "get_*")) << "a client asks no pattern";
  EXPECT_FALSE(RequestMatches("*", std::string(129, 'x')));
}

TEST(RequestNameTest, AListMatchesByExactNamesAndByPatterns) {
  RequestNames names;
  EXPECT_TRUE(names.empty());
  EXPECT_FALSE(names.Matches("a"));
  names.Add("a");
  names.Add("get_*");
  EXPECT_FALSE(names.empty());
  EXPECT_TRUE(names.Matches("a"));
  EXPECT_TRUE(names.Matches("get_b"));
  EXPECT_FALSE(names.Matches("b"));
  EXPECT_FALSE(names.Matches("get"));
}

}  // namespace

}  // namespace fanwire
