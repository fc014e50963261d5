#include "cli/input.h"

#include <fcntl.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status.h"

namespace fanwire::cli {
namespace {

using ::testing::HasSubstr;

class InputTest : public testing::Test {
 protected:
  InputTest() { EXPECT_EQ(pipe2(ends_, O_NONBLOCK), 0); }
  ~InputTest() override {
    close(ends_[0]);
    unlink(path_.c_str());
  }

  const std::string path_ = testing::TempDir() + "wsctl_input_" + std::to_string(getpid());
  int ends_[2];
};

TEST_F(InputTest, AnArgumentIsItselfAFileOrStandardInput) {
  EXPECT_EQ(*ReadArgument("{}", ends_[0]), "{}");
  EXPECT_EQ(*ReadArgument("", ends_[0]), "");
  std::ofstream(path_) << "from a file\n";
  EXPECT_EQ(*ReadArgument("@" + path_, ends_[0]), "from a file\n");
  ASSERT_EQ(write(ends_[1], "from stdin", 10), 10);
  close(ends_[1]);
  EXPECT_EQ(*ReadArgument("-", ends_[0]), "from stdin");
}

TEST_F(InputTest, StandardInputMayComeLater) {
  std::thread writer([&] {
    EXPECT_EQ(write(ends_[1], "late", 4), 4);
    close(ends_[1]);
  });
  EXPECT_EQ(*ReadDescriptor(ends_[0], "standard input"), "late");
  writer.join();
}

TEST_F(InputTest, ClosedStandardInputIsAnErrorAtOnce) {
  EXPECT_THAT(CheckStandardInput(-1),
              StatusIs(absl::StatusCode::kNotFound, "cannot read standard input: it is closed"));
  EXPECT_THAT(ReadStandardInput(-1), StatusIs(absl::StatusCode::kNotFound, testing::_));
  EXPECT_THAT(ReadArgument("-", -1), StatusIs(absl::StatusCode::kNotFound, testing::_));
  EXPECT_OK(CheckStandardInput(ends_[0]));
}

TEST_F(InputTest, WhatCannotBeReadIsNamedWithTheReason) {
  EXPECT_THAT(ReadFile("/nonexistent/x"),
              StatusIs(absl::StatusCode::kNotFound,
                       "cannot read \"/nonexistent/x\": No such file or directory"));
  EXPECT_THAT(ReadFile("/"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("Is a directory")));
}

TEST_F(InputTest, InputIsLimited) {
  EXPECT_THAT(ReadFile("/dev/zero"),
              StatusIs(absl::StatusCode::kResourceExhausted, "\"/dev/zero\": longer than 16 MiB"));
}

}  // namespace
}  // namespace fanwire::cli
