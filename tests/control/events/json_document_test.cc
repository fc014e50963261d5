#include "control/events/json_document.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/json_depth.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status.h"

namespace fanwire::control {

namespace {

using ::testing::Eq;
using ::testing::HasSubstr;
using ::testing::Optional;
using ::testing::StartsWith;

// An object nested `depth` deep, itself counted: {"a":{"a":…}}.
std::string Nested(int depth, const std::string& innermost = "{}") {
  std::string json;
  for (int i = 1; i < depth; ++i) json += "{\"a\":";
  json += innermost;
  json.append(static_cast<size_t>(depth - 1), '}');
  return json;
}

TEST(JsonDocumentTest, TakesEveryJsonObjectWithWhiteSpaceAroundIt) {
  for (const char* json :
       {"{}", " {} ", "\n\t{\"a\":1}\r\n", R"({"a":[1,2.5,-0,1e3,true,false,null,"x",{}]})",
        R"({"":"","a":"\u0000\ud83d\ude00\n","b":"ä😀"})", R"({"a":1,"a":2})"}) {
    EXPECT_OK(JsonDocument().Parse(json)) << json;
  }
}

TEST(JsonDocumentTest, RefusesWhatIsNoJsonObject) {
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
    EXPECT_THAT(JsonDocument().Parse(json), StatusIs(kInvalid, StartsWith("data: "))) << json;
  }
}

TEST(JsonDocumentTest, RefusesNumbersThatJsonDoesNotHave) {
  for (const char* json :
       {R"({"a":NaN})", R"({"a":nan})", R"({"a":Infinity})", R"({"a":-Infinity})", R"({"a":-})",
        R"({"a":1e})", R"({"a":01e999})", R"({"a":+1e999})", R"({"a":.1e999})", R"({"a":1.e999})",
        R"({"a":1e999e1})", R"({"a":1e9-99})"}) {
    EXPECT_THAT(JsonDocument().Parse(json), StatusIs(kInvalid, StartsWith("data: "))) << json;
  }
}

TEST(JsonDocumentTest, TakesWholeNumbersBeyond64Bits) {
  JsonDocument data;
  ASSERT_OK(data.Parse(R"({"big":123456789012345678901234567890,"id":"x","n":-5,"l":[1]})"));
  EXPECT_THAT(data.TextField("id"), Optional(Eq("x")));
  EXPECT_THAT(data.TextField("n"), Optional(Eq("-5")));
  EXPECT_EQ(data.TextField("l"), std::nullopt);
  EXPECT_EQ(data.TextField("none"), std::nullopt);
  EXPECT_NE(data.FieldHash("big"), 0u);
  EXPECT_EQ(data.FieldHash("none"), 0u);
}

TEST(JsonDocumentTest, RefusesWhatIsNotUtf8) {
  for (const char* bytes : {"\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\xe2\x82"}) {
    EXPECT_THAT(JsonDocument().Parse(absl::StrCat("{\"a\":\"", bytes, "\"}")),
                StatusIs(kInvalid, HasSubstr("UTF-8")));
    // Nor beside a number that makes the text be read twice.
    EXPECT_THAT(JsonDocument().Parse(
                    absl::StrCat("{\"n\":123456789012345678901234567890,\"a\":\"", bytes, "\"}")),
                StatusIs(kInvalid, HasSubstr("UTF-8")));
  }
}

TEST(JsonDocumentTest, SixtyFourLevelsAreTakenAndOneMoreIsRefused) {
  EXPECT_OK(JsonDocument().Parse(Nested(kMaxJsonDepth, R"({"a":1})")));
  EXPECT_OK(JsonDocument().Parse(Nested(kMaxJsonDepth - 1, "[[1]]")));
  EXPECT_THAT(JsonDocument().Parse(Nested(kMaxJsonDepth + 1, R"({"a":1})")),
              StatusIs(kInvalid, HasSubstr("deeper than 64")));
  EXPECT_THAT(JsonDocument().Parse(Nested(kMaxJsonDepth, "[[1]]")),
              StatusIs(kInvalid, HasSubstr("deeper than 64")));
}

TEST(JsonDocumentTest, DepthIsBoundedAlsoBesideANumberBeyond64Bits) {
  const std::string big = R"({"n":123456789012345678901234567890,"s":"]}{[\"{"})";
  EXPECT_OK(JsonDocument().Parse(Nested(kMaxJsonDepth, big)));
  EXPECT_THAT(JsonDocument().Parse(Nested(kMaxJsonDepth + 1, big)),
              StatusIs(kInvalid, HasSubstr("deeper than 64")));
}

TEST(JsonDocumentTest, HundredThousandBracketsAreRefusedAndTheDocumentGoesOn) {
  JsonDocument data;
  EXPECT_FALSE(data.Parse(std::string(100'000, '[')).ok());
  EXPECT_FALSE(data.Parse("{\"a\":" + std::string(100'000, '[')).ok());
  EXPECT_FALSE(data.Parse(Nested(100'000)).ok());
  EXPECT_OK(data.Parse("{}"));
}

TEST(JsonDocumentTest, SmallDataAfterLargeAndLargeAfterSmallAreBothRead) {
  const std::string large = absl::StrCat(R"({"k":"v","x":")", std::string(900'000, 'x'), "\"}");
  JsonDocument data;
  for (int round = 0; round < 3; ++round) {
    ASSERT_OK(data.Parse(large));
    EXPECT_THAT(data.TextField("k"), Optional(Eq("v")));
    ASSERT_OK(data.Parse(R"({"k":"w"})"));
    EXPECT_THAT(data.TextField("k"), Optional(Eq("w")));
  }
}

TEST(JsonDocumentTest, TextsAndWholeNumbersAreTextFieldsAndNothingElseIs) {
  JsonDocument data;
  ASSERT_OK(data.Parse(
      R"({"s":"a\"b","i":-7,"u":18446744073709551615,"z":0,"d":1.5,"b":true,"n":null,"o":{},)"
      R"("l":[],"e":"","a/b":"slash","a.b":"dot"})"));
  EXPECT_THAT(data.TextField("s"), Optional(Eq("a\"b")));
  EXPECT_THAT(data.TextField("i"), Optional(Eq("-7")));
  EXPECT_THAT(data.TextField("u"), Optional(Eq("18446744073709551615")));
  EXPECT_THAT(data.TextField("z"), Optional(Eq("0")));
  EXPECT_THAT(data.TextField("e"), Optional(Eq("")));
  EXPECT_THAT(data.TextField("a/b"), Optional(Eq("slash")));
  EXPECT_THAT(data.TextField("a.b"), Optional(Eq("dot")));
  for (const char* other : {"d", "b", "n", "o", "l", "none", ""}) {
    EXPECT_EQ(data.TextField(other), std::nullopt) << other;
  }
}

TEST(JsonDocumentTest, AFieldsHashTellsValuesOfEveryTypeApartAndWhiteSpaceNot) {
  const auto hash = [](const std::string& value) {
    JsonDocument data;
    EXPECT_OK(data.Parse(absl::StrCat("{\"k\":", value, "}")));
    return data.FieldHash("k");
  };
  EXPECT_EQ(hash(R"({"a":[1,2]})"), hash(R"({ "a" : [1, 2] })"));
  const std::vector<std::string> values = {"1", "\"1\"", "true", "null", "[]", "{}", "[1]", "2"};
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_NE(hash(values[i]), 0u);
    for (size_t j = 0; j < i; ++j) EXPECT_NE(hash(values[i]), hash(values[j]));
  }
}

TEST(JsonDocumentTest, WholeNumbersBeyond64BitsThatDifferInADigitHaveDifferentHashes) {
  const auto hash = [](const std::string& json) {
    JsonDocument data;
    EXPECT_OK(data.Parse(json));
    return data.FieldHash("k");
  };
  EXPECT_NE(hash(R"({"k":123456789012345678901234567890})"),
            hash(R"({"k":123456789012345678901234567891})"));
  EXPECT_NE(hash(R"({"k":18446744073709551616})"), hash(R"({"k":18446744073709551617})"));
  EXPECT_NE(hash(R"({"k":-9223372036854775809})"), hash(R"({"k":-9223372036854775810})"));
  EXPECT_EQ(hash(R"({"k":18446744073709551616})"),
            hash(R"({ "n": 1, "k" : 18446744073709551616 })"));
}

TEST(JsonDocumentTest, ANumberBeyond64BitsDoesNotChangeTheHashOfOtherFields) {
  for (const char* value : {"2.50", "1e2", "7", "-7", "18446744073709551615", "[1, 2]", "\"x\"",
                            "\"18446744073709551616\"", "null"}) {
    JsonDocument alone, beside;
    ASSERT_OK(alone.Parse(absl::StrCat("{\"k\":", value, "}")));
    ASSERT_OK(beside.Parse(absl::StrCat("{\"big\":18446744073709551616,\"k\":", value, "}")));
    EXPECT_EQ(alone.FieldHash("k"), beside.FieldHash("k")) << value;
    EXPECT_EQ(alone.TextField("k"), beside.TextField("k")) << value;
    EXPECT_EQ(ToText(*alone.Find({"k"})), ToText(*beside.Find({"k"}))) << value;
  }
}

TEST(JsonDocumentTest, DigitsInTextsStayAsTheyAre) {
  JsonDocument data;
  const std::string text =
      R"({"a\"18446744073709551616":"18446744073709551616 \\","b":18446744073709551616})";
  ASSERT_OK(data.Parse(text));
  EXPECT_THAT(data.TextField("a\"18446744073709551616"), Optional(Eq("18446744073709551616 \\")));
}

TEST(JsonDocumentTest, ANumberBeyond64BitsMakesNothingElseJson) {
  for (const char* json :
       {R"({"a":18446744073709551616,"b":01})", R"({"a":018446744073709551616})",
        R"({"a":18446744073709551616x})", R"({"a":18446744073709551616e})",
        R"({"a":18446744073709551616 1})", R"({"a":-})", R"({18446744073709551616:1})",
        R"({"a":--18446744073709551616})", R"({"a":18446744073709551616)",
        R"(18446744073709551616)", R"([18446744073709551616])"}) {
    EXPECT_THAT(JsonDocument().Parse(json), StatusIs(kInvalid, StartsWith("data: "))) << json;
  }
}

TEST(JsonDocumentTest, TakesNumbersThatAreLargerThanEveryDouble) {
  for (const std::string& number :
       {std::string("1e400"), std::string("-1E+400"), std::string("1.5e999"),
        std::string("0.1e999"), std::string(400, '9'),
        absl::StrCat("-", std::string(400, '9'), ".5")}) {
    JsonDocument data;
    ASSERT_OK(data.Parse(absl::StrCat("{\"k\":", number, ",\"l\":[", number, "],\"m\":7}")));
    EXPECT_EQ(data.TypeOf("k"), JsonType::kFraction);
    EXPECT_EQ(data.TextField("k"), std::nullopt);
    EXPECT_THAT(data.TextField("m"), Optional(Eq("7")));
    EXPECT_EQ(ToText(*data.Find({"k"})), number);
    EXPECT_EQ(ToText(*data.Find({"l"})), absl::StrCat("[", number, "]"));
    JsonDocument other;
    ASSERT_OK(other.Parse(absl::StrCat("{\"k\":", number, "1}")));
    EXPECT_NE(data.FieldHash("k"), other.FieldHash("k"));
  }
}

TEST(JsonDocumentTest, FindAndAllKeepTheOrderOfKeysAndEveryDigit) {
  JsonDocument data;
  ASSERT_OK(data.Parse(R"({"z":1,"a":{"b":[true,null,"x",2.5]},"u":18446744073709551615})"));
  EXPECT_EQ(ToText(data.All()),
            R"({"z":1,"a":{"b":[true,null,"x",2.5]},"u":18446744073709551615})");
  EXPECT_EQ(ToText(*data.Find({"a", "b"})), R"([true,null,"x",2.5])");
  EXPECT_EQ(data.Find({"a", "c"}), std::nullopt);
  EXPECT_EQ(data.Find({"z", "c"}), std::nullopt);
  for (const char* number :
       {"12345678901234567890123456789", "18446744073709551616", "-9223372036854775809", "1e400",
        "0.1000000000000000000001", "-0", "0", "1.0", "-0.0", "1E5", "2.50", "1e-400", "-7"}) {
    const std::string text = absl::StrCat("{\"a\":{\"n\":", number, "},\"l\":[", number, "]}");
    ASSERT_OK(data.Parse(text));
    EXPECT_EQ(ToText(data.All()), text);
    EXPECT_EQ(ToText(*data.Find({"a", "n"})), number);
  }
  ASSERT_OK(data.Parse("{ \"t\" : \"a\\u00e4\\\"\\n\" , \"e\" : [ ] , \"o\" : { } }"));
  EXPECT_EQ(ToText(data.All()), "{\"t\":\"aä\\\"\\n\",\"e\":[],\"o\":{}}");
}

TEST(JsonDocumentTest, TextsAndWholeNumbersOfAnySizeAreNames) {
  EXPECT_THAT(NameOf(ExactJson("\"x\"")), Optional(Eq("x")));
  EXPECT_THAT(NameOf(ExactJson("42")), Optional(Eq("42")));
  EXPECT_THAT(NameOf(ExactJson("18446744073709551616")), Optional(Eq("18446744073709551616")));
  for (const char* other : {"1.0", "1e2", "true", "null", "[]", "{}"}) {
    EXPECT_EQ(NameOf(ExactJson(other)), std::nullopt) << other;
  }
}

TEST(JsonDocumentTest, SumsAreExact) {
  const auto sum = [](const char* number, int64_t by) {
    return ToText(Sum(ExactJson(number), by));
  };
  EXPECT_EQ(sum("1", 2), "3");
  EXPECT_EQ(sum("-0", 0), "0");
  EXPECT_EQ(sum("9223372036854775807", 1), "9223372036854775808");
  EXPECT_EQ(sum("18446744073709551615", 1), "18446744073709551616");
  EXPECT_EQ(sum("18446744073709551616", -1), "18446744073709551615");
  EXPECT_EQ(sum("12345678901234567890123456789", 1), "12345678901234567890123456790");
  EXPECT_EQ(sum("-9223372036854775808", -1), "-9223372036854775809");
  EXPECT_EQ(sum("2.50", 1), "3.50");
  EXPECT_EQ(sum("1.0", -3), "-2.0");
  EXPECT_EQ(sum("1e2", 1), "101.0");
  EXPECT_EQ(sum("null", 4), "4");
  EXPECT_EQ(sum("\"7\"", 4), "4");
}

TEST(JsonDocumentTest, NumbersAreTheSameIfTheirValuesAre) {
  const auto same = [](const char* a, const char* b) {
    return SameValue(ExactJson(a), ExactJson(b));
  };
  EXPECT_TRUE(same("1", "1.0"));
  EXPECT_TRUE(same("1e0", "1.0"));
  EXPECT_TRUE(same("18446744073709551616", "18446744073709551616"));
  EXPECT_FALSE(same("18446744073709551616", "18446744073709551617"));
  EXPECT_FALSE(same("1", "\"1\""));
  EXPECT_TRUE(same("[1,{\"a\":2}]", "[1,{\"a\":2}]"));
}

TEST(JsonDocumentTest, TellsTheTypeOfAField) {
  JsonDocument data;
  ASSERT_OK(data.Parse(R"({"s":"","i":-1,"u":18446744073709551615,"d":1.0,"b":false,"n":null,)"
                       R"("o":{},"l":[]})"));
  EXPECT_EQ(data.TypeOf("s"), JsonType::kText);
  EXPECT_EQ(data.TypeOf("i"), JsonType::kWholeNumber);
  EXPECT_EQ(data.TypeOf("u"), JsonType::kWholeNumber);
  EXPECT_EQ(data.TypeOf("d"), JsonType::kFraction);
  EXPECT_EQ(data.TypeOf("b"), JsonType::kBoolean);
  EXPECT_EQ(data.TypeOf("n"), JsonType::kNull);
  EXPECT_EQ(data.TypeOf("o"), JsonType::kObject);
  EXPECT_EQ(data.TypeOf("l"), JsonType::kList);
  EXPECT_EQ(data.TypeOf("none"), JsonType::kAbsent);
}

TEST(JsonDocumentTest, IsAnEmptyObjectBeforeTheFirstTextAndAfterOneThatIsRefused) {
  JsonDocument data;
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(data.TextField("k"), std::nullopt);
    EXPECT_EQ(data.FieldHash("k"), 0u);
    EXPECT_EQ(data.TypeOf("k"), JsonType::kAbsent);
    EXPECT_EQ(data.Find({"k"}), std::nullopt);
    EXPECT_EQ(ToText(data.All()), "{}");
    ASSERT_OK(data.Parse(R"({"k":1})"));
    EXPECT_FALSE(data.Parse(round == 0 ? "[1]" : R"({"k":1)").ok());
  }
}

TEST(JsonDocumentTest, OfSeveralFieldsWithOneNameTheFirstIsMeant) {
  for (const char* json : {R"({"k":1,"k":"x"})", R"({"k":1,"k":"x","big":18446744073709551616})"}) {
    JsonDocument data;
    ASSERT_OK(data.Parse(json));
    EXPECT_THAT(data.TextField("k"), Optional(Eq("1")));
    EXPECT_EQ(data.TypeOf("k"), JsonType::kWholeNumber);
    EXPECT_EQ(ToText(*data.Find({"k"})), "1");
  }
}

}  // namespace
}  // namespace fanwire::control
