#include "common/json_parse.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"

namespace fanwire {
namespace {

TEST(JsonParseTest, TheWholeTextIsOneValue) {
  EXPECT_EQ(ParseJson(R"( {"a": [1, "b"]} )"), (nlohmann::json{{"a", {1, "b"}}}));
  EXPECT_EQ(ParseJson("7"), 7);
  EXPECT_TRUE(ParseJson("").is_discarded());
  EXPECT_TRUE(ParseJson("{} {}").is_discarded());
  EXPECT_TRUE(ParseJson("{\"a\":").is_discarded());
}

TEST(JsonParseTest, NulEndsNothing) {
  EXPECT_TRUE(ParseJson(std::string("{}\0", 3)).is_discarded());
  EXPECT_TRUE(ParseJson(std::string("{}\0garbage", 10)).is_discarded());
  EXPECT_TRUE(ParseOrderedJson(std::string("\0{}", 3)).is_discarded());
  EXPECT_TRUE(ParseJson(std::string("{\"a\":\"\0\"}", 9)).is_discarded());
}

TEST(JsonParseTest, ByteOrderMarkIsNoJson) {
  EXPECT_TRUE(ParseJson("\xEF\xBB\xBF{}").is_discarded());
  EXPECT_TRUE(ParseOrderedJson("\xEF\xBB\xBF{}").is_discarded());
}

TEST(JsonParseTest, KeysKeepTheirOrderWhereThatIsAskedFor) {
  EXPECT_EQ(ParseOrderedJson(R"({"b":1,"a":2})").dump(), R"({"b":1,"a":2})");
}

TEST(JsonParseTest, NumbersBeyondAllDoublesAreTheLargestDouble) {
  constexpr double kLargest = std::numeric_limits<double>::max();
  const nlohmann::json value =
      ParseJson(absl::StrCat(R"({"a":1e400,"b":[-1E+999],"c":"1e400","d":)", std::string(400, '9'),
                             R"(,"e":18446744073709551615})"));
  EXPECT_EQ(value, (nlohmann::json{{"a", kLargest},
                                   {"b", {-kLargest}},
                                   {"c", "1e400"},
                                   {"d", kLargest},
                                   {"e", UINT64_MAX}}));
  EXPECT_EQ(ParseOrderedJson("[1e400]"), nlohmann::ordered_json::array({kLargest}));
  for (const char* malformed : {"[01e400]", "[1e400", "[1.e400]", "[1e400,]", "[.1e400]"}) {
    EXPECT_TRUE(ParseJson(malformed).is_discarded()) << malformed;
  }
}

TEST(JsonParseTest, AcceptingIsParsingWithoutValues) {
  for (const char* text : {"{}", " [1e400, \"1e400\"] ", "7"}) EXPECT_TRUE(IsJson(text)) << text;
  for (const char* text : {"", "{} {}", "\xEF\xBB\xBF{}", "[01e400]", "[1e400"}) {
    EXPECT_FALSE(IsJson(text)) << text;
  }
  EXPECT_FALSE(IsJson(absl::string_view("{}\0", 3)));
  const std::string deep(1'000'000, '[');
  EXPECT_TRUE(IsJson(deep + std::string(1'000'000, ']')));
  EXPECT_FALSE(IsJson(deep));
}

}  // namespace
}  // namespace fanwire
