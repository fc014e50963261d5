#include "fanout/reply.h"

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire::fanout {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Optional;
using ::testing::StartsWith;
using Json = nlohmann::json;
using Ordered = nlohmann::ordered_json;

const absl::Time kNow = absl::FromUnixMicros(1'770'724'800'123'456);
constexpr char kUuid[] = "3ccc63d1-0536-4da3-b35c-af6892a4f2c1";
constexpr char kOtherUuid[] = "1f190019-5ba2-4ac8-a3ad-698272caf5c9";

std::vector<std::string> KeysOf(const std::string& text) {
  std::vector<std::string> keys;
  const Ordered json = Ordered::parse(text);  // items() only borrows it
  for (const auto& [key, value] : json.items()) keys.push_back(key);
  return keys;
}

ClientMessage With(std::optional<std::string> id, std::optional<std::string> correlation) {
  ClientMessage message;
  message.id = std::move(id);
  message.correlation_id = std::move(correlation);
  return message;
}

TEST(ReplyTest, TheCorrelationIsWhatEachKindOfClientWaitsFor) {
  const auto automatic = [](const ClientMessage& message) {
    return ContextOf(message, CorrelationMode::kAuto).correlation;
  };
  EXPECT_EQ(automatic(With({}, {})), std::nullopt);
  EXPECT_THAT(automatic(With("m1", {})), Optional(std::string("m1")));
  EXPECT_THAT(automatic(With({}, "c1")), Optional(std::string("c1")));
  EXPECT_THAT(automatic(With("m1", "c1")), Optional(std::string("c1")));
  EXPECT_THAT(automatic(With(kUuid, "c1")), Optional(std::string("c1")));
  EXPECT_THAT(automatic(With(kUuid, kOtherUuid)), Optional(std::string(kUuid)));
  const ClientMessage both = With("m1", "c1");
  EXPECT_THAT(ContextOf(both, CorrelationMode::kId).correlation, Optional(std::string("m1")));
  EXPECT_THAT(ContextOf(both, CorrelationMode::kEcho).correlation, Optional(std::string("c1")));
  EXPECT_EQ(ContextOf(With("m1", {}), CorrelationMode::kEcho).correlation, std::nullopt);
}

TEST(ReplyTest, AnErrorHasAllNineKeysInOrderAndRepeatsTheRequestsIds) {
  const std::string text =
      ErrorText(ContextOf(With("m1", "c1"), CorrelationMode::kAuto), "FORBIDDEN", "no \"a\"", kNow);
  EXPECT_THAT(KeysOf(text),
              ElementsAre("id", "correlation_id", "type", "event", "data", "timestamp", "room",
                          "error_code", "error_message", "request_id", "request_correlation_id"));
  const Json json = Json::parse(text);
  EXPECT_EQ(json["type"], "error");
  EXPECT_EQ(json["event"], nullptr);
  EXPECT_EQ(json["data"], Json::object());
  EXPECT_EQ(json["room"], nullptr);
  EXPECT_EQ(json["error_code"], "FORBIDDEN");
  EXPECT_EQ(json["error_message"], "no \"a\"");
  EXPECT_EQ(json["timestamp"], "2026-02-10T12:00:00.123456+00:00");
  EXPECT_EQ(json["correlation_id"], "c1");
  EXPECT_EQ(json["request_id"], "m1");
  EXPECT_EQ(json["request_correlation_id"], "c1");
}

TEST(ReplyTest, EachReplyHasAnIdOfItsOwn) {
  const Json one = Json::parse(PongText({}, kNow)), other = Json::parse(PongText({}, kNow));
  EXPECT_EQ(one["type"], "pong");
  EXPECT_EQ(one["correlation_id"], nullptr);
  EXPECT_EQ(one["id"].get<std::string>().size(), 36u);
  EXPECT_NE(one["id"], other["id"]);
}

TEST(ReplyTest, AResponseEchoesTheEventAndSplicesData) {
  const std::string text = ResponseText({}, "get_\"x\"", R"({"a":[1,2]})", kNow, ",\"more\":1");
  const Json json = Json::parse(text);
  EXPECT_EQ(json["event"], "get_\"x\"");
  EXPECT_EQ(json["data"]["a"][1], 2);
  EXPECT_EQ(json["more"], 1);
  EXPECT_EQ(json["error_code"], nullptr);
}

Confirmation Of(absl::string_view channel) {
  Confirmation confirmation;
  confirmation.channel = std::string(channel);
  return confirmation;
}

Confirmation At(absl::string_view channel, absl::string_view epoch, int64_t offset) {
  Confirmation confirmation = Of(channel);
  confirmation.has_position = true;
  confirmation.epoch = std::string(epoch);
  confirmation.offset = offset;
  return confirmation;
}

Confirmation Failed(absl::string_view channel, absl::string_view code, absl::string_view message) {
  Confirmation confirmation = Of(channel);
  confirmation.error_code = std::string(code);
  confirmation.error_message = std::string(message);
  return confirmation;
}

TEST(ReplyTest, AConfirmationIsInDataAndAtTheTop) {
  const Json json = Json::parse(ConfirmationText({}, true, false, {At("a:1", "e", 4)}, kNow));
  EXPECT_EQ(json["event"], "subscribe");
  EXPECT_EQ(json["status"], "subscribed");
  EXPECT_EQ(json["channel"], "a:1");
  EXPECT_EQ(json["data"],
            (Json{{"status", "subscribed"}, {"channel", "a:1"}, {"epoch", "e"}, {"offset", 4}}));
}

TEST(ReplyTest, RecoveryIsToldOnlyToWhoAskedAndTheReasonOnlyIfItFailed) {
  Confirmation recovered = At("a", "e", 4);
  recovered.asked_recovery = true;
  recovered.recovered = true;
  recovered.recovered_count = 3;
  const Json good = Json::parse(ConfirmationData(recovered));
  EXPECT_EQ(good["recovered"], true);
  EXPECT_EQ(good["recovered_count"], 3);
  EXPECT_FALSE(good.contains("reason"));
  Confirmation lost = Of("a");
  lost.asked_recovery = true;
  lost.reason = "epoch_changed";
  const Json bad = Json::parse(ConfirmationData(lost));
  EXPECT_EQ(bad["recovered"], false);
  EXPECT_EQ(bad["reason"], "epoch_changed");
  EXPECT_FALSE(bad.contains("offset"));
}

TEST(ReplyTest, AStateIsConfirmedWithItsOffsetOrTheReasonWhyThereIsNone) {
  Confirmation confirmation = At("a", "e", 4);
  confirmation.state = std::make_shared<const ConfirmedState>(ConfirmedState{R"({"n":1e400})", ""});
  EXPECT_THAT(ConfirmationData(confirmation),
              HasSubstr(R"("offset":4,"state":{"n":1e400},"state_offset":4})"));
  confirmation.state = std::make_shared<const ConfirmedState>(ConfirmedState{"", "too_large"});
  EXPECT_THAT(ConfirmationData(confirmation),
              HasSubstr(R"("offset":4,"state":null,"state_reason":"too_large"})"));
}

TEST(ReplyTest, ManyConfirmationsKeepTheirOrderAndMayFailOneByOne) {
  const Json json = Json::parse(
      ConfirmationText({}, true, true, {Of("a"), Failed("b\"", "FORBIDDEN", "no")}, kNow));
  EXPECT_EQ(json["status"], "subscribed");
  EXPECT_EQ(json["data"]["results"][0]["status"], "subscribed");
  EXPECT_EQ(json["data"]["results"][1],
            (Json{{"channel", "b\""}, {"error_code", "FORBIDDEN"}, {"error_message", "no"}}));
  EXPECT_EQ(Json::parse(ConfirmationText({}, false, true, {}, kNow))["data"]["results"],
            Json::array());
}

TEST(ReplyTest, AFailedSingleConfirmationIsAnError) {
  const Json json = Json::parse(ConfirmationText({}, false, false, {Failed("a", "X", "y")}, kNow));
  EXPECT_EQ(json["type"], "error");
  EXPECT_EQ(json["error_code"], "X");
}

TEST(ReplyTest, TheWelcomeHasWhatEveryClientLooksFor) {
  WelcomeFacts facts;
  facts.connection_id = kUuid;
  facts.server = "mahavishnu";
  facts.message = "Connected to Mahavishnu orchestration";
  facts.rate_limit = 100;
  facts.burst = 1.5;
  facts.max_message_bytes = 1048576;
  facts.max_channels = 1000;
  const Json json = Json::parse(WelcomeText(facts, kNow));
  EXPECT_EQ(json["type"], "event");
  EXPECT_EQ(json["event"], "session.created");
  EXPECT_EQ(json["room"], nullptr);
  EXPECT_EQ(json["message"], facts.message);
  EXPECT_TRUE(json["version"].is_string());
  EXPECT_TRUE(json["capabilities"].is_array());
  EXPECT_EQ(json["capabilities"].back(), "state");
  facts.publishing = true;
  EXPECT_EQ(Json::parse(WelcomeText(facts, kNow))["capabilities"].back(), "publish");
  facts.presence = true;
  EXPECT_EQ(Json::parse(WelcomeText(facts, kNow))["capabilities"].back(), "presence");
  const Json& data = json["data"];
  EXPECT_EQ(data["connection_id"], kUuid);
  EXPECT_EQ(data["authenticated"], false);
  EXPECT_EQ(data["secure"], false);
  EXPECT_EQ(data["tls_mode"], "WS");
  EXPECT_TRUE(data["rate_limit"].is_number_integer());
  EXPECT_EQ(data["limits"], (Json{{"max_message_bytes", 1048576},
                                  {"max_channels", 1000},
                                  {"rate_limit", 100},
                                  {"burst", 1.5}}));
  EXPECT_EQ(data["session_expires_at"], nullptr);
  EXPECT_EQ(data["recoverable"], false);
  facts.expires_at = kNow;
  facts.secure = true;
  facts.recoverable = true;
  const Json secure = Json::parse(WelcomeText(facts, kNow));
  EXPECT_EQ(secure["data"]["session_expires_at"], "2026-02-10T12:00:00.123456+00:00");
  EXPECT_EQ(secure["data"]["tls_mode"], "WSS");
  EXPECT_EQ(secure["data"]["recoverable"], true);
}

TEST(ReplyTest, AuthenticatedNamesTheUserOrNull) {
  const Json named = Json::parse(AuthenticatedText({}, "alice", kNow));
  EXPECT_EQ(named["data"], (Json{{"status", "authenticated"}, {"user_id", "alice"}}));
  EXPECT_EQ(named["status"], "authenticated");
  EXPECT_EQ(named["user_id"], "alice");
  EXPECT_EQ(Json::parse(AuthenticatedText({}, "", kNow))["data"]["user_id"], nullptr);
}

TEST(ReplyTest, RefreshedTellsTheUserAndTheNewEnd) {
  const Json answer = Json::parse(RefreshedText({}, "alice", kNow, kNow));
  EXPECT_EQ(answer["type"], "response");
  EXPECT_EQ(answer["event"], "refresh_token");
  EXPECT_EQ(answer["data"], (Json{{"status", "refreshed"},
                                  {"user_id", "alice"},
                                  {"expires_at", "2026-02-10T12:00:00.123456+00:00"}}));
  EXPECT_EQ(answer["status"], "refreshed");
  EXPECT_EQ(answer["user_id"], "alice");
  const Json forever = Json::parse(RefreshedText({}, "", std::nullopt, kNow));
  EXPECT_EQ(forever["data"]["expires_at"], nullptr);
  EXPECT_EQ(forever["data"]["user_id"], nullptr);
}

TEST(ReplyTest, AReasonBesideAFixedMessageIsAMemberOfItsOwn) {
  const Json error = Json::parse(ErrorText({}, "AUTH_FAILED", "Invalid", kNow, "claim \"exp\""));
  EXPECT_EQ(error["error_message"], "Invalid");
  EXPECT_EQ(error["reason"], "claim \"exp\"");
  EXPECT_FALSE(Json::parse(ErrorText({}, "AUTH_FAILED", "Invalid", kNow)).contains("reason"));
}

TEST(ReplyTest, NoticesAreEventsWithoutPosition) {
  const Json expiring = Json::parse(ExpiringText(kNow, kNow));
  EXPECT_EQ(expiring["event"], "token.expiring");
  EXPECT_EQ(expiring["room"], nullptr);
  EXPECT_EQ(expiring["data"], (Json{{"expires_at", "2026-02-10T12:00:00.123456+00:00"}}));
  const Json left = Json::parse(UnsubscribedText("a:1", "permissions_changed", kNow));
  EXPECT_EQ(left["event"], "channel.unsubscribed");
  EXPECT_EQ(left["room"], "a:1");
  EXPECT_EQ(left["data"], (Json{{"channel", "a:1"}, {"reason", "permissions_changed"}}));

  const Json skipped = Json::parse(SkippedText("a:1", 3, 9, "slow_subscriber", "", kNow));
  EXPECT_EQ(skipped["event"], "channel.skipped");
  EXPECT_EQ(skipped["room"], "a:1");
  EXPECT_EQ(skipped["data"],
            (Json{{"channel", "a:1"}, {"from", 3}, {"to", 9}, {"reason", "slow_subscriber"}}));
  EXPECT_FALSE(skipped.contains("offset"));
  EXPECT_EQ(Json::parse(SkippedText("a", 1, 1, "epoch_changed", "e2", kNow))["data"]["epoch"],
            "e2");
  EXPECT_EQ(
      Json::parse(SkippedText("a", 1, 0, "epoch_changed", "e2", kNow))["data"],
      (Json{
          {"channel", "a"}, {"from", 0}, {"to", 0}, {"reason", "epoch_changed"}, {"epoch", "e2"}}));
  const Json draining =
      Json::parse(DrainingText(absl::Milliseconds(100), absl::Seconds(5), "deploy", kNow));
  EXPECT_EQ(draining["event"], "server.draining");
  EXPECT_EQ(draining["data"], (Json{{"reconnect_after_ms", {100, 5000}}, {"reason", "deploy"}}));
}

TEST(ReplyTest, TextsAreEscapedAsJsonWants) {
  const auto text_of = [](absl::string_view text, bool ascii = false) {
    std::string out;
    AppendJsonText(text, &out, ascii);
    return out;
  };
  EXPECT_EQ(text_of("plain"), "\"plain\"");
  EXPECT_EQ(text_of("a\"b\\c\n"), "\"a\\\"b\\\\c\\n\"");
  EXPECT_EQ(text_of("ü"), "\"ü\"");
  EXPECT_EQ(text_of("ü", true), "\"\\u00fc\"");
  EXPECT_EQ(Json::parse(text_of("\xff")).get<std::string>(), "\xEF\xBF\xBD");
}

TEST(ReplyTest, SessionBuddysTextsAreFlatWithSpacesAndAscii) {
  EXPECT_THAT(BuddyConnectedText(true, kNow),
              StartsWith("{\"type\": \"connected\", \"message\": \"Connected to Session-Buddy "
                         "real-time metrics\", \"authenticated\": true, \"timestamp\": \"2026"));
  const std::string confirmed = BuddyConfirmedText(std::string("sk\u00fcll"), kNow);
  EXPECT_THAT(confirmed, HasSubstr("\"skill\": \"sk\\u00fcll\", \"skill_name\": \"sk\\u00fcll\""));
  EXPECT_EQ(Json::parse(BuddyConfirmedText({}, kNow))["skill"], nullptr);
}

TEST(ReplyTest, SessionBuddysMessagesAreReadOrIgnored) {
  using Kind = BuddyMessage::Kind;
  EXPECT_EQ(ParseBuddyMessage(R"({"type":"ping"})").kind, Kind::kPing);
  EXPECT_EQ(ParseBuddyMessage(R"({"type":"unsubscribe"})").kind, Kind::kUnsubscribe);
  const BuddyMessage subscribe = ParseBuddyMessage(R"({"type":"subscribe","skill":"s"})");
  EXPECT_EQ(subscribe.kind, Kind::kSubscribe);
  EXPECT_THAT(subscribe.skill, Optional(std::string("s")));
  EXPECT_THAT(ParseBuddyMessage(R"({"type":"subscribe","skill_name":"t"})").skill,
              Optional(std::string("t")));
  EXPECT_EQ(ParseBuddyMessage(R"({"type":"subscribe","skill":null})").skill, std::nullopt);
  EXPECT_EQ(ParseBuddyMessage(R"({"token":"T"})").token, "T");
  EXPECT_EQ(ParseBuddyMessage(R"({"token":"T"})").kind, Kind::kToken);
  for (const char* ignored : {"", "x", "[]", "{}", R"({"type":5})", R"({"type":"other"})"}) {
    EXPECT_EQ(ParseBuddyMessage(ignored).kind, Kind::kIgnored) << ignored;
  }
}

}  // namespace
}  // namespace fanwire::fanout
