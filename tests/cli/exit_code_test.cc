#include "cli/exit_code.h"

#include "gtest/gtest.h"

namespace fanwire::cli {
namespace {

TEST(ExitCodeTest, CodesAreThoseOfTheManual) {
  EXPECT_EQ(ExitCode(absl::OkStatus()), 0);
  EXPECT_EQ(ExitCode(UsageError("x")), 2);
  EXPECT_EQ(ExitCode(absl::CancelledError("x")), 65);
  EXPECT_EQ(ExitCode(absl::UnknownError("x")), 66);
  EXPECT_EQ(ExitCode(absl::InvalidArgumentError("x")), 67);
  EXPECT_EQ(ExitCode(absl::DeadlineExceededError("x")), 68);
  EXPECT_EQ(ExitCode(absl::NotFoundError("x")), 69);
  EXPECT_EQ(ExitCode(absl::ResourceExhaustedError("x")), 72);
  EXPECT_EQ(ExitCode(absl::UnavailableError("x")), 78);
  EXPECT_EQ(ExitCode(absl::DataLossError("x")), 79);
  EXPECT_EQ(ExitCode(absl::UnauthenticatedError("x")), 80);
}

TEST(ExitCodeTest, AReaderThatWentAwayIsNoFailure) {
  EXPECT_TRUE(IsBrokenPipe(BrokenPipe()));
  EXPECT_FALSE(IsBrokenPipe(absl::CancelledError("x")));
  EXPECT_EQ(ExitCode(BrokenPipe()), 0);
}

TEST(ExitCodeTest, OnlyUsageErrorsAreUsageErrors) {
  EXPECT_TRUE(IsUsageError(UsageError("x")));
  EXPECT_FALSE(IsUsageError(absl::InvalidArgumentError("x")));
}

}  // namespace
}  // namespace fanwire::cli
