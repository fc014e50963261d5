#include "common/json_text.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire {
namespace {

using ::testing::Eq;
using ::testing::Optional;

TEST(JsonTextTest, AMembersValueIsReturnedAsItIsWritten) {
  const std::string object =
      R"({ "a" : 1.0 , "b":{"a":[2,"]}\""]}, "c":"x\\" ,"d":12345678901234567890123456789,)"
      R"("e":-0,"f":1e400,"g":null})";
  EXPECT_EQ(FindJsonMember(object, "a"), "1.0");
  EXPECT_EQ(FindJsonMember(object, "b"), R"({"a":[2,"]}\""]})");
  EXPECT_EQ(FindJsonMember(object, "c"), R"("x\\")");
  EXPECT_EQ(FindJsonMember(object, "d"), "12345678901234567890123456789");
  EXPECT_EQ(FindJsonMember(object, "e"), "-0");
  EXPECT_EQ(FindJsonMember(object, "f"), "1e400");
  EXPECT_EQ(FindJsonMember(object, "g"), "null");
  EXPECT_EQ(FindJsonMember(object, "none"), "");
  EXPECT_EQ(FindJsonMember("[1]", "a"), "");
  EXPECT_EQ(FindJsonMember("{}", "a"), "");
}

TEST(JsonTextTest, OfSeveralMembersOfOneNameTheLastOrTheFirstIsMeant) {
  const std::string object = R"({"k":1,"x":2,"\u006b":3})";  // the last key is "k" as well
  EXPECT_EQ(FindJsonMember(object, "k"), "3");
  EXPECT_EQ(FindFirstJsonMember(object, "k"), "1");
  EXPECT_EQ(FindFirstJsonMember(object, "x"), "2");
  EXPECT_EQ(FindFirstJsonMember(object, "y"), "");
}

TEST(JsonTextTest, OfTextThatIsNoJsonNothingBeyondItsEndIsRead) {
  const std::string object = R"({"a":{"b":[1,"x\"y",{}]},"c":"d\\","e":true})";
  for (size_t size = 0; size <= object.size(); ++size) {
    // A copy of its own, so that a sanitizer sees where it ends.
    const std::string cut = object.substr(0, size);
    FindJsonMember(cut, "e");
    CompactJson(cut);
    JsonReader reader(cut);
    while (!reader.TakeValue().empty() || reader.Skip(':') || reader.Skip(',')) {
    }
  }
}

TEST(JsonTextTest, TextsAndWholeNumbersAreNames) {
  EXPECT_THAT(JsonName(R"("a\"b")"), Optional(Eq("a\"b")));
  EXPECT_THAT(JsonName("\"\""), Optional(Eq("")));
  EXPECT_THAT(JsonName("42"), Optional(Eq("42")));
  EXPECT_THAT(JsonName("-18446744073709551617"), Optional(Eq("-18446744073709551617")));
  for (const char* other : {"", "1.0", "1e2", "true", "null", "{}", "[]", "-"}) {
    EXPECT_EQ(JsonName(other), std::nullopt) << other;
  }
}

TEST(JsonTextTest, OnlyWhiteSpaceBetweenTokensGoes) {
  EXPECT_EQ(CompactJson(" {\n \"a b\" : [ 1.0 ,\t\" x \\\" y \" ] }\r\n"),
            R"({"a b":[1.0," x \" y "]})");
}

}  // namespace
}  // namespace fanwire
