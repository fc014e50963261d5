#include "cli/line_reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

#include "gtest/gtest.h"

namespace fanwire::cli {
namespace {

using Result = LineReader::Result;

class LineReaderTest : public testing::Test {
 protected:
  LineReaderTest() { EXPECT_EQ(pipe(ends_), 0); }
  ~LineReaderTest() override {
    close(ends_[0]);
    End();
  }
  void Feed(const std::string& text) {
    ASSERT_EQ(write(ends_[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  void End() {
    if (ends_[1] >= 0) close(ends_[1]);
    ends_[1] = -1;
  }

  int ends_[2];
  std::string line_;
};

TEST_F(LineReaderTest, LinesComeAsTheyAreAndTheLastNeedsNoNewline) {
  LineReader reader(ends_[0], 100);
  Feed("one\n\ntwo");
  End();
  EXPECT_EQ(reader.Next(&line_, true), Result::kLine);
  EXPECT_EQ(line_, "one");
  EXPECT_EQ(reader.Next(&line_, true), Result::kLine);
  EXPECT_EQ(line_, "");
  EXPECT_EQ(reader.Next(&line_, true), Result::kLine);
  EXPECT_EQ(line_, "two");
  EXPECT_EQ(reader.Next(&line_, true), Result::kEnd);
  EXPECT_EQ(reader.Next(&line_, true), Result::kEnd);
}

TEST_F(LineReaderTest, WithoutWaitingHalfALineIsNothing) {
  LineReader reader(ends_[0], 100);
  EXPECT_EQ(reader.Next(&line_, false), Result::kNothing);
  Feed("hal");
  EXPECT_EQ(reader.Next(&line_, false), Result::kNothing);
  Feed("f\n");
  EXPECT_EQ(reader.Next(&line_, false), Result::kLine);
  EXPECT_EQ(line_, "half");
}

TEST_F(LineReaderTest, ALineOverTheLimitIsSkippedAndTheNextIsRead) {
  LineReader reader(ends_[0], 5);
  Feed("12345\n123456\nnext\n");
  EXPECT_EQ(reader.Next(&line_, true), Result::kLine);
  EXPECT_EQ(line_, "12345");
  EXPECT_EQ(reader.Next(&line_, true), Result::kTooLong);
  EXPECT_EQ(reader.Next(&line_, true), Result::kLine);
  EXPECT_EQ(line_, "next");
}

TEST_F(LineReaderTest, ALineThatIsLongerThanAReadIsSkippedToItsEnd) {
  LineReader reader(ends_[0], 5);
  Feed("123456");
  EXPECT_EQ(reader.Next(&line_, false), Result::kNothing);
  Feed("789");
  EXPECT_EQ(reader.Next(&line_, false), Result::kNothing);
  Feed("\nnext\n123456");
  EXPECT_EQ(reader.Next(&line_, false), Result::kTooLong);
  EXPECT_EQ(reader.Next(&line_, false), Result::kLine);
  EXPECT_EQ(line_, "next");
  EXPECT_EQ(reader.Next(&line_, false), Result::kNothing);
  End();
  EXPECT_EQ(reader.Next(&line_, true), Result::kTooLong);
  EXPECT_EQ(reader.Next(&line_, true), Result::kEnd);
}

TEST_F(LineReaderTest, WakeEndsAWaitAndStays) {
  LineReader reader(ends_[0], 100);
  std::thread waker([&] { reader.Wake(); });
  EXPECT_EQ(reader.Next(&line_, true), Result::kWoken);
  waker.join();
  EXPECT_EQ(reader.Next(&line_, true), Result::kWoken);
}

TEST_F(LineReaderTest, WhatCannotBeReadFailsWithItsReason) {
  const int folder = open("/", O_RDONLY | O_CLOEXEC);
  LineReader reader(folder, 100);
  EXPECT_EQ(reader.Next(&line_, true), Result::kFailed);
  EXPECT_EQ(errno, EISDIR);
  close(folder);
}

}  // namespace
}  // namespace fanwire::cli
