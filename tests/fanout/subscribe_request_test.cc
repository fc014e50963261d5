#include "fanout/subscribe_request.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire::fanout {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

// The request of a message with this data, checked: everything but "secret" is allowed.
SubscribeRequest Checked(const std::string& data, const char* event = "subscribe") {
  auto message = ParseClientMessage(
      absl::StrCat(R"({"type":"request","event":")", event, R"(","data":)", data, "}"), false);
  EXPECT_TRUE(message.ok()) << message.status();
  SubscribeRequest request(*std::move(message), {});
  request.CheckAndMerge(256, [](absl::string_view name) { return name != "secret"; });
  return request;
}

// "channel: code message" or "channel: ok" of each target.
std::vector<std::string> Outcomes(SubscribeRequest request) {
  std::vector<std::string> outcomes;
  for (const Confirmation& one : request.TakeConfirmations()) {
    outcomes.push_back(absl::StrCat(
        one.channel, ": ",
        one.error_code.empty() ? "ok" : absl::StrCat(one.error_code, " ", one.error_message)));
  }
  return outcomes;
}

TEST(SubscribeRequestTest, ASingleChannelAndAListAreRead) {
  const SubscribeRequest one = Checked(R"({"channel":"a"})");
  EXPECT_TRUE(one.subscribe);
  EXPECT_FALSE(one.many);
  EXPECT_THAT(Outcomes(one), ElementsAre("a: ok"));
  const SubscribeRequest list = Checked(R"({"channels":["a","b:*"]})", "unsubscribe");
  EXPECT_FALSE(list.subscribe);
  EXPECT_TRUE(list.many);
  EXPECT_THAT(Outcomes(list), ElementsAre("a: ok", "b:*: ok"));
}

TEST(SubscribeRequestTest, EachTargetIsRefusedForItself) {
  EXPECT_THAT(
      Outcomes(Checked(R"({"channels":["a",7,"a ","secret",{"channel":"b","recover":1},)"
                       R"({"channel":"c","events":["*"]},"d"]})")),
      ElementsAre("a: ok", ": INVALID_CHANNEL channel: a text is wanted",
                  HasSubstr("a : INVALID_CHANNEL channel "),
                  "secret: FORBIDDEN Not authorized to subscribe to secret",
                  "b: INVALID_REQUEST recover: {\"epoch\": text, \"offset\": integer from 0} is "
                  "wanted",
                  HasSubstr("c: INVALID_REQUEST events: name 1: "), "d: ok"));
}

TEST(SubscribeRequestTest, AnUnsubscribeNeedsAGoodNameAlone) {
  EXPECT_THAT(
      Outcomes(Checked(R"({"channels":["secret",{"channel":"b","recover":1}]})", "unsubscribe")),
      ElementsAre("secret: ok", "b: ok"));
}

TEST(SubscribeRequestTest, TargetsOfTheSameChannelBecomeOne) {
  SubscribeRequest request =
      Checked(R"({"channels":[{"channel":"a","recover":{"epoch":"e","offset":4}},"b",)"
              R"({"channel":"a","events":["x"]},"secret","secret"]})");
  ASSERT_EQ(request.targets.size(), 5u);
  EXPECT_EQ(request.targets[0].same_as, SubscribeTarget::kItself);
  EXPECT_EQ(request.targets[1].same_as, SubscribeTarget::kItself);
  EXPECT_EQ(request.targets[2].same_as, 0u);
  ASSERT_TRUE(request.targets[0].request.recover.has_value());
  EXPECT_EQ(request.targets[0].request.recover->offset, 4);
  ASSERT_NE(request.targets[0].request.events, nullptr);
  EXPECT_THAT(*request.targets[0].request.events, UnorderedElementsAre("x"));
  request.targets[0].confirmation.offset = 9;
  const std::vector<Confirmation> confirmed = request.TakeConfirmations();
  EXPECT_EQ(confirmed[0].offset, 9);
  EXPECT_EQ(confirmed[2].offset, 9);
  EXPECT_EQ(confirmed[3].error_code, "FORBIDDEN");
  EXPECT_EQ(confirmed[4].error_code, "FORBIDDEN");
}

TEST(SubscribeRequestTest, WhatItTakesGrowsWithItsChannels) {
  const size_t one = Checked(R"({"channels":["a"]})").bytes;
  const size_t two = Checked(R"({"channels":["a","b"]})").bytes;
  EXPECT_GE(two - one, sizeof(SubscribeTarget));
  EXPECT_GE(Checked(absl::StrCat(R"({"channels":[")", std::string(200, 'a'), R"("]})")).bytes,
            one + 199);
}

}  // namespace
}  // namespace fanwire::fanout
