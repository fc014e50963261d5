#include "common/json_parse.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

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

}  // namespace
}  // namespace fanwire
