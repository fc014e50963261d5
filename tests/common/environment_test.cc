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

TEST(EnvironmentTest, ThisProcessHasAPath) {
  EXPECT_THAT(EnvironmentVariables(), Contains(StartsWith("PATH=")));
  EXPECT_NE(ProcessEnvironment()("PATH"), nullptr);
}

}  // namespace
}  // namespace fanwire
