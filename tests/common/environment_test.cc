#include "common/environment.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status.h"

namespace fanwire {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const char* Lookup(const std::string& name) {
  if (name == "NAME") return "value";
  if (name == "BROKEN") return "caf\xe9";
  if (name == "value_of") return "lower";
  return name == "EMPTY" ? "" : nullptr;
}

absl::StatusOr<std::string> Expand(std::string text) {
  if (absl::Status status = ExpandVariables(Lookup, &text); !status.ok()) return status;
  return text;
}

TEST(EnvironmentTest, VariablesAreReplacedByTheirValuesOrDefaults) {
  EXPECT_EQ(*Expand("plain"), "plain");
  EXPECT_EQ(*Expand("<${NAME}${NAME}>"), "<valuevalue>");
  EXPECT_EQ(*Expand("${NAME:-other}"), "value");
  EXPECT_EQ(*Expand("${NONE:-other}"), "other");
  EXPECT_EQ(*Expand("${NONE:-}"), "");
  EXPECT_EQ(*Expand("${EMPTY}"), "");
  EXPECT_EQ(*Expand("${EMPTY:-other}"), "other");
  EXPECT_EQ(*Expand("$${NAME} $"), "${NAME} $");
}

TEST(EnvironmentTest, AVariableThatIsNotSetIsNamed) {
  EXPECT_THAT(Expand("${NONE}"), StatusIs(absl::StatusCode::kInvalidArgument,
                                          HasSubstr("environment variable NONE is not set")));
  EXPECT_THAT(Expand("${NAME"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("without \"}\"")));
}

TEST(EnvironmentTest, DefaultsMayHaveVariables) {
  EXPECT_EQ(*Expand("${NONE:-${NAME}}"), "value");
  EXPECT_EQ(*Expand("<${NONE:-a${NAME}b}>"), "<avalueb>");
  EXPECT_EQ(*Expand("${NONE:-${NONE2:-${NAME}}}"), "value");
  EXPECT_EQ(*Expand("${EMPTY:-${NAME}}"), "value");
  EXPECT_EQ(*Expand("${NONE:-${NONE2:-}}"), "");
  EXPECT_EQ(*Expand("${NAME:-${NONE}}"), "value");  // the default is not looked at
  EXPECT_EQ(*Expand("${NONE:-$${NAME}}"), "${NAME}");
  EXPECT_EQ(*Expand("${NONE:-{x}}"), "{x}");
  EXPECT_EQ(*Expand("${value_of}"), "lower");
  EXPECT_THAT(Expand("${NONE:-${NONE2}}"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("variable NONE2 is not set")));
  EXPECT_THAT(Expand("${NONE:-${NAME}"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("without \"}\"")));
  std::string deep;
  for (int i = 0; i < 20'000; ++i) deep += "${NONE:-";
  deep += std::string(20'000, '}');
  EXPECT_THAT(Expand(deep),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("nested more than 16 deep")));
}

TEST(EnvironmentTest, OtherFormsAreRefused) {
  for (const char* text : {"${}", "${ NAME }", "${ NAME :-x}", "${NAME-x}", "${NAME:=x}",
                           "${NAME:?x}", "${1}", "${NA ME}", "${NA.ME}", "${:-x}", "${${NAME}}"}) {
    EXPECT_THAT(Expand(text), StatusIs(absl::StatusCode::kInvalidArgument,
                                       HasSubstr("expected ${NAME} or ${NAME:-default}, found")))
        << text;
  }
}

TEST(EnvironmentTest, AValueThatIsNotUtf8IsRefused) {
  EXPECT_THAT(Expand("${BROKEN}"), StatusIs(absl::StatusCode::kInvalidArgument,
                                            HasSubstr("environment variable BROKEN: byte 0xE9")));
}

TEST(EnvironmentTest, TheResultIsBounded) {
  std::string text = "${NAME}${NAME}";
  EXPECT_OK(ExpandVariables(Lookup, &text, 10));
  text = "${NAME}${NAME}";
  EXPECT_THAT(ExpandVariables(Lookup, &text, 9),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("more than 9 bytes")));
}

TEST(EnvironmentTest, ThisProcessHasAPath) {
  EXPECT_THAT(EnvironmentVariables(), Contains(StartsWith("PATH=")));
  EXPECT_NE(ProcessEnvironment()("PATH"), nullptr);
}

}  // namespace
}  // namespace fanwire
