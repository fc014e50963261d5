// Matchers and assertions for absl::Status and absl::StatusOr.
#pragma once

#include <ostream>
#include <string>

#include "absl/base/config.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace absl {
ABSL_NAMESPACE_BEGIN

// Lets a failed assertion print the status where googletest would print the object's bytes.
template <typename T>
void PrintTo(const StatusOr<T>& value, std::ostream* out) {
  *out << value.status().ToString();
  if (value.ok()) *out << ", with a value";
}

ABSL_NAMESPACE_END
}  // namespace absl

namespace fanwire {

// The code of a refused argument, which tests name most.
inline constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& value) {
  return value.status();
}

MATCHER(IsOk, "is OK") {
  *result_listener << StatusOf(arg).ToString();
  return StatusOf(arg).ok();
}

// StatusIs(absl::StatusCode::kNotFound, HasSubstr("no such")).
MATCHER_P2(StatusIs, code, message,
           absl::StrCat(negation ? "is not " : "is ", absl::StatusCodeToString(code),
                        negation ? ", or has a message that " : " with a message that ",
                        ::testing::DescribeMatcher<std::string>(message, negation))) {
  *result_listener << StatusOf(arg).ToString();
  return StatusOf(arg).code() == code &&
         ::testing::Matches(message)(std::string(StatusOf(arg).message()));
}

#define EXPECT_OK(expression) EXPECT_THAT(expression, ::fanwire::IsOk())
#define ASSERT_OK(expression) ASSERT_THAT(expression, ::fanwire::IsOk())

}  // namespace fanwire
