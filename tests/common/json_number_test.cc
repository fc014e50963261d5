#include "common/json_number.h"

#include <gtest/gtest.h>

#include <string>

namespace fanwire {
namespace {

TEST(JsonNumberTest, ANumberIsBeyondDoublesIfJsonAllowsItAndNoDoubleIsNear) {
  for (const std::string& number :
       {std::string("1e400"), std::string("-1E+400"), std::string("1.5e999"),
        std::string("0.1e999"), std::string("1.8e308"), std::string(309, '9')}) {
    EXPECT_TRUE(IsBeyondDoubles(number)) << number;
  }
  for (const std::string& number :
       {std::string("1.7e308"), std::string("1e-400"), std::string("0e400"), std::string("7"),
        std::string(308, '9'), std::string()}) {
    EXPECT_FALSE(IsBeyondDoubles(number)) << number;
  }
  for (const char* malformed : {"01e999", "+1e999", ".1e999", "1.e999", "1e999e1", "1e", "-"}) {
    EXPECT_FALSE(IsBeyondDoubles(malformed)) << malformed;
  }
}

TEST(JsonNumberTest, NumbersAreReplacedButNotWithinTexts) {
  const auto seven = [](absl::string_view number) -> std::string {
    return number == "7" ? "eight" : "";
  };
  EXPECT_EQ(ReplaceJsonNumbers(R"({"7":7,"a\"7":[77,7,"7"]})", seven),
            R"({"7":eight,"a\"7":[77,eight,"7"]})");
  EXPECT_EQ(ReplaceJsonNumbers("7", seven), "eight");
  EXPECT_EQ(ReplaceJsonNumbers("", seven), "");
  EXPECT_EQ(ReplaceJsonNumbers("{\"7\\", seven), "{\"7\\");
}

}  // namespace
}  // namespace fanwire
