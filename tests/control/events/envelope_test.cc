#include "control/events/envelope.h"

#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status.h"

namespace fanwire::control {

namespace {

using ::testing::Eq;
using ::testing::HasSubstr;
using ::testing::Optional;
using ::testing::StartsWith;
using Json = nlohmann::json;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

// An object nested `depth` deep, itself counted: {"a":{"a":…}}.
std::string Nested(int depth, const std::string& innermost = "{}") {
  std::string json = innermost;
  for (int i = 1; i < depth; ++i) json = absl::StrCat("{\"a\":", json, "}");
  return json;
}

std::string Envelope(const EnvelopeParts& parts, bool seal) {
  const PublicationPtr publication =
      Publication::Make({.max_envelope_bytes = MaxEnvelopeBytes(parts)});
  WriteEnvelope(parts, publication.get());
  if (seal) publication->Seal(Epoch{.value = 1}, INT64_MAX);
  EXPECT_EQ(publication->data(), parts.data);
  return std::string(publication->envelope());
}

// ------------------------------------------------------------------------------- data

TEST(EventDataTest, TakesEveryJsonObjectWithWhiteSpaceAroundIt) {
  for (const char* json :
       {"{}", " {} ", "\n\t{\"a\":1}\r\n", R"({"a":[1,2.5,-0,1e3,true,false,null,"x",{}]})",
        R"({"":"","a":"\u0000\ud83d\ude00\n","b":"ä😀"})", R"({"a":1,"a":2})"}) {
    EXPECT_OK(EventData::Parse(json)) << json;
  }
}

TEST(EventDataTest, RefusesWhatIsNoJsonObject) {
  for (const char* json : {"",
                           " ",
                           "null",
                           "1",
                           "[]",
                           "\"a\"",
                           "true",
                           "{",
                           "}",
                           "{}{}",
                           "{} x",
                           "{a:1}",
                           "{'a':1}",
                           R"({"a":})",
                           R"({"a":1,})",
                           R"({"a" 1})",
                           R"({"a":01})",
                           R"({"a":+1})",
                           R"({"a":.5})",
                           R"({"a":1.})",
                           R"({"a":0x10})",
                           "{\"a\":\"\n\"}",
                           R"({"a":"\x"})",
                           "[1e999]"}) {
    EXPECT_THAT(EventData::Parse(json), StatusIs(kInvalid, StartsWith("data: "))) << json;
  }
}

TEST(EventDataTest, RefusesNumbersThatJsonDoesNotHave) {
  for (const char* json : {R"({"a":NaN})", R"({"a":nan})", R"({"a":Infinity})",
                           R"({"a":-Infinity})", R"({"a":-})", R"({"a":1e})", R"({"a":1e999})"}) {
    EXPECT_THAT(EventData::Parse(json), StatusIs(kInvalid, StartsWith("data: "))) << json;
  }
}

TEST(EventDataTest, TakesWholeNumbersBeyond64Bits) {
  const auto data =
      EventData::Parse(R"({"big":123456789012345678901234567890,"id":"x","n":-5,"l":[1]})");
  ASSERT_OK(data);
  EXPECT_THAT(data->TextField("id"), Optional(Eq("x")));
  EXPECT_THAT(data->TextField("n"), Optional(Eq("-5")));
  EXPECT_EQ(data->TextField("l"), std::nullopt);
  EXPECT_EQ(data->TextField("none"), std::nullopt);
  EXPECT_NE(data->FieldHash("big"), 0u);
  EXPECT_EQ(data->FieldHash("none"), 0u);
}

TEST(EventDataTest, RefusesWhatIsNotUtf8) {
  for (const char* bytes : {"\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\xe2\x82"}) {
    EXPECT_THAT(EventData::Parse(absl::StrCat("{\"a\":\"", bytes, "\"}")),
                StatusIs(kInvalid, HasSubstr("UTF-8")));
    // The slow parser's numbers open no way around.
    EXPECT_THAT(EventData::Parse(
                    absl::StrCat("{\"n\":123456789012345678901234567890,\"a\":\"", bytes, "\"}")),
                StatusIs(kInvalid, HasSubstr("UTF-8")));
  }
}

TEST(EventDataTest, SixtyFourLevelsAreTakenAndOneMoreIsRefused) {
  EXPECT_OK(EventData::Parse(Nested(kMaxJsonDepth, R"({"a":1})")));
  EXPECT_OK(EventData::Parse(Nested(kMaxJsonDepth - 1, "[[1]]")));
  EXPECT_THAT(EventData::Parse(Nested(kMaxJsonDepth + 1, R"({"a":1})")),
              StatusIs(kInvalid, HasSubstr("deeper than 64")));
  EXPECT_THAT(EventData::Parse(Nested(kMaxJsonDepth, "[[1]]")),
              StatusIs(kInvalid, HasSubstr("deeper than 64")));
}

TEST(EventDataTest, DepthIsBoundedAlsoWhereTheSlowParserIsNeeded) {
  const std::string big = R"({"n":123456789012345678901234567890,"s":"]}{[\"{"})";
  EXPECT_OK(EventData::Parse(Nested(kMaxJsonDepth, big)));
  EXPECT_THAT(EventData::Parse(Nested(kMaxJsonDepth + 1, big)),
              StatusIs(kInvalid, HasSubstr("deeper than 64")));
}

TEST(EventDataTest, HundredThousandBracketsAreRefusedAndTheThreadGoesOn) {
  EXPECT_FALSE(EventData::Parse(std::string(100'000, '[')).ok());
  EXPECT_FALSE(EventData::Parse("{\"a\":" + std::string(100'000, '[')).ok());
  EXPECT_FALSE(EventData::Parse(Nested(100'000)).ok());
  EXPECT_OK(EventData::Parse("{}"));
}

TEST(EventDataTest, SmallDataAfterLargeAndLargeAfterSmallAreBothRead) {
  const std::string large = absl::StrCat(R"({"k":"v","x":")", std::string(900'000, 'x'), "\"}");
  for (int round = 0; round < 3; ++round) {
    const auto first = EventData::Parse(large);
    ASSERT_OK(first);
    EXPECT_THAT(first->TextField("k"), Optional(Eq("v")));
    const auto second = EventData::Parse(R"({"k":"w"})");
    ASSERT_OK(second);
    EXPECT_THAT(second->TextField("k"), Optional(Eq("w")));
  }
}

TEST(EventDataTest, TextsAndWholeNumbersAreTextFieldsAndNothingElseIs) {
  const auto data = EventData::Parse(
      R"({"s":"a\"b","i":-7,"u":18446744073709551615,"z":0,"d":1.5,"b":true,"n":null,"o":{},)"
      R"("l":[],"e":"","a/b":"slash","a.b":"dot"})");
  ASSERT_OK(data);
  EXPECT_THAT(data->TextField("s"), Optional(Eq("a\"b")));
  EXPECT_THAT(data->TextField("i"), Optional(Eq("-7")));
  EXPECT_THAT(data->TextField("u"), Optional(Eq("18446744073709551615")));
  EXPECT_THAT(data->TextField("z"), Optional(Eq("0")));
  EXPECT_THAT(data->TextField("e"), Optional(Eq("")));
  EXPECT_THAT(data->TextField("a/b"), Optional(Eq("slash")));
  EXPECT_THAT(data->TextField("a.b"), Optional(Eq("dot")));
  for (const char* other : {"d", "b", "n", "o", "l", "none", ""}) {
    EXPECT_EQ(data->TextField(other), std::nullopt) << other;
  }
}

TEST(EventDataTest, AFieldsHashTellsValuesOfEveryTypeApartAndWhiteSpaceNot) {
  const auto hash = [](const std::string& value) {
    const auto data = EventData::Parse(absl::StrCat("{\"k\":", value, "}"));
    EXPECT_OK(data);
    return data.ok() ? data->FieldHash("k") : 0;
  };
  EXPECT_EQ(hash(R"({"a":[1,2]})"), hash(R"({ "a" : [1, 2] })"));
  const std::vector<std::string> values = {"1", "\"1\"", "true", "null", "[]", "{}", "[1]", "2"};
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_NE(hash(values[i]), 0u);
    for (size_t j = 0; j < i; ++j) EXPECT_NE(hash(values[i]), hash(values[j]));
  }
}

TEST(EventDataTest, EachThreadHasItsOwnParser) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 500; ++i) {
        const auto data = EventData::Parse(absl::StrCat("{\"t\":", t, ",\"i\":", i, "}"));
        ASSERT_OK(data);
        ASSERT_THAT(data->TextField("t"), Optional(Eq(std::to_string(t))));
        ASSERT_THAT(data->TextField("i"), Optional(Eq(std::to_string(i))));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// ------------------------------------------------------------------------------- envelope

TEST(EnvelopeTest, HasItsKeysInTheDocumentedOrderAndTheDataByteForByte) {
  const EnvelopeParts parts{.id = "id-1",
                            .event = "workflow.started",
                            .data = "{ \"b\":1.0 , \"a\":\"\\u00e4\" }",
                            .timestamp = "2026-02-10T20:00:00.000000+00:00",
                            .room = "workflow:wf_1"};
  EXPECT_EQ(Envelope(parts, /*seal=*/false),
            R"({"id":"id-1","correlation_id":null,"type":"event","event":"workflow.started",)"
            "\"data\":{ \"b\":1.0 , \"a\":\"\\u00e4\" },"
            R"("timestamp":"2026-02-10T20:00:00.000000+00:00","room":"workflow:wf_1",)"
            R"("error_code":null,"error_message":null})");
}

TEST(EnvelopeTest, WithAPositionItIsStillOneObject) {
  const EnvelopeParts parts{.id = "i", .event = "e", .data = "{}", .timestamp = "t", .room = "r"};
  const Json sealed = Json::parse(Envelope(parts, /*seal=*/true));
  EXPECT_EQ(sealed["offset"], INT64_MAX);
  EXPECT_EQ(sealed["epoch"], "0000000000000001");
  EXPECT_EQ(sealed["room"], "r");
}

TEST(EnvelopeTest, EveryTextIsEscapedAndReadsBackTheSame) {
  std::string text = "ä😀\"\\/";
  for (char c = 1; c < 0x20; ++c) text.push_back(c);
  text.push_back('\0');
  text.push_back(0x7f);
  const EnvelopeParts parts{
      .id = text, .event = text, .data = "{}", .timestamp = "t", .room = text};
  const Json envelope = Json::parse(Envelope(parts, /*seal=*/true));
  EXPECT_EQ(envelope["id"], text);
  EXPECT_EQ(envelope["event"], text);
  EXPECT_EQ(envelope["room"], text);
}

TEST(EnvelopeTest, TheBytesFoundNecessaryAreNeverTooFewAndAtMostThoseOfThePosition) {
  for (const std::string& text : {std::string(), std::string("plain"), std::string(300, '"'),
                                  std::string(300, '\x01'), std::string(300, '\n')}) {
    const EnvelopeParts parts{
        .id = text, .event = text, .data = "{}", .timestamp = "t", .room = text};
    const size_t room = MaxEnvelopeBytes(parts);
    EXPECT_LE(Envelope(parts, /*seal=*/true).size(), room);
    EXPECT_LE(room - Publication::kSealBytes, Envelope(parts, /*seal=*/false).size() + 3 * 4 * 300);
  }
}

TEST(AppendJsonTextTest, AppendsBehindWhatIsThere) {
  std::string out = "[";
  AppendJsonText("a\tb\x1f\"", &out);
  EXPECT_EQ(out, R"(["a\tb\u001f\"")");
}

TEST(IsUtf8Test, TellsUtf8FromOtherBytes) {
  EXPECT_TRUE(IsUtf8(""));
  EXPECT_TRUE(IsUtf8("ä😀"));
  EXPECT_FALSE(IsUtf8("\xff"));
  EXPECT_FALSE(IsUtf8("\xed\xa0\x80"));
}

}  // namespace
}  // namespace fanwire::control
