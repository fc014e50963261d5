#include "cli/output.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "cli/exit_code.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/cli_runner.h"
#include "tests/testing/status.h"

namespace fanwire::cli {
namespace {

using ::testing::HasSubstr;

class OutputTest : public testing::Test {
 protected:
  Output Make(const OutputOptions& options) { return Output(options, &results_, &notes_, &clock_); }

  StringSink results_;
  StringSink notes_;
  FixedClock clock_;
};

Table TwoRows() {
  Table table({"ID", "N", "NAME"});
  table.Add({"a", 7, Cell("x", Tone::kGood)});
  table.Add({"long", 1234, "grün\x1b"});
  return table;
}

TEST_F(OutputTest, TablesAlignTextLeftAndNumbersRight) {
  Make({}).Print(TwoRows());
  EXPECT_EQ(results_.text,
            "ID       N  NAME\n"
            "a        7  x\n"
            "long  1234  grün\\x1b\n");
}

TEST_F(OutputTest, AnUnknownNumberLeavesItsColumnToTheRight) {
  Table table({"NAME", "COUNT", "NONE"});
  table.Add({"a", "-", "-"});
  table.Add({"b", 7, "-"});
  Make({}).Print(table);
  EXPECT_EQ(results_.text, "NAME  COUNT  NONE\na         -  -\nb         7  -\n");
}

TEST_F(OutputTest, AnEmptyTableIsItsHeader) {
  Make({}).Print(Table({"ID", "NAME"}));
  EXPECT_EQ(results_.text, "ID  NAME\n");
}

TEST_F(OutputTest, PlainRowsAreTabSeparatedWithoutHeader) {
  Output out = Make({.format = Format::kPlain});
  out.Print(TwoRows());
  out.Print({{"key", Cell("value")}});
  EXPECT_EQ(results_.text, "a\t7\tx\nlong\t1234\tgrün\\x1b\nkey\tvalue\n");
}

TEST_F(OutputTest, FieldsAlignTheirValues) {
  Make({}).Print({{"id", "a"}, {"user agent", 5}});
  EXPECT_EQ(results_.text, "id          a\nuser agent  5\n");
}

TEST_F(OutputTest, ColourOnlyWhereAskedFor) {
  Make({.terminal = true, .color = true}).Print({{"state", Cell("ready", Tone::kGood)}});
  EXPECT_THAT(results_.text, HasSubstr("\x1b[32mready\x1b[0m"));
  results_.text.clear();
  Make({.terminal = true}).Print({{"state", Cell("ready", Tone::kGood)}});
  EXPECT_EQ(results_.text, "state  ready\n");
  Output out = Make({.color = true});
  EXPECT_EQ(out.Paint("x", Tone::kWarning), "\x1b[33mx\x1b[0m");
  EXPECT_EQ(out.Paint("x", Tone::kBad), "\x1b[31mx\x1b[0m");
  EXPECT_EQ(out.Paint("x", Tone::kFaint), "\x1b[2mx\x1b[0m");
  EXPECT_EQ(out.Paint("x", Tone::kNormal), "x");
}

TEST_F(OutputTest, OnATerminalTheLastColumnGivesWay) {
  Table table({"ID", "CHANNELS"});
  table.Add({"a", "one two three four five six"});
  Make({.terminal = true, .width = 20}).Print(table);
  EXPECT_EQ(results_.text, "ID  CHANNELS\na   one two three f…\n");
}

TEST_F(OutputTest, TimesAreRelativeOnlyInATableOnATerminal) {
  const absl::Time time = clock_.WallNow() - absl::Minutes(3);
  EXPECT_EQ(Make({.terminal = true}).Time(time), "3m ago");
  EXPECT_EQ(Make({}).Time(time), "2026-02-10T11:57:00.000Z");
  EXPECT_EQ(Make({.format = Format::kPlain, .terminal = true}).Time(time),
            "2026-02-10T11:57:00.000Z");
  EXPECT_EQ(Make({}).Time(absl::InfinitePast()), "-");
}

TEST_F(OutputTest, BytesAreReadableInATableAndExactInPlainRows) {
  EXPECT_EQ(Make({}).Bytes(1536).text, "1.5 KiB");
  EXPECT_EQ(Make({.format = Format::kPlain}).Bytes(1536).text, "1536");
}

TEST_F(OutputTest, JsonWithInvalidUtf8IsStillJson) {
  Output out = Make({.format = Format::kJson});
  out.Json({{"a", "\xff"}});
  EXPECT_EQ(results_.text, "{\"a\":\"\ufffd\"}\n");
}

TEST_F(OutputTest, NotesGoToTheOtherSinkAndVerboseOnesOnlyIfAskedFor) {
  Output out = Make({});
  out.Note("careful");
  out.Verbose("detail");
  Make({.verbose = true}).Verbose("more");
  EXPECT_EQ(notes_.text, "careful\nmore\n");
  EXPECT_EQ(results_.text, "");
}

TEST_F(OutputTest, ProgressRewritesOneLineAndLeavesNothing) {
  Output out = Make({.notes_terminal = true});
  out.Progress("1 of 2");
  out.Progress("2 of 2");
  out.Line("done");
  EXPECT_EQ(notes_.text, "\r\x1b[K1 of 2\r\x1b[K2 of 2\r\x1b[K");
  notes_.text.clear();
  out.Line("and on");
  EXPECT_EQ(notes_.text, "");
}

TEST_F(OutputTest, NoProgressInAPipe) {
  Make({}).Progress("1 of 2");
  EXPECT_EQ(notes_.text, "");
}

TEST_F(OutputTest, AFailedWriteIsRememberedAndTheRestIsNotTried) {
  Output out = Make({});
  results_.failure = absl::DataLossError("no space");
  out.Line("a");
  results_.failure = absl::OkStatus();
  out.Line("b");
  EXPECT_TRUE(out.broken());
  EXPECT_THAT(out.written(), StatusIs(absl::StatusCode::kDataLoss, "no space"));
  EXPECT_EQ(results_.text, "");
}

TEST(FdSinkTest, AReaderThatWentAwayIsABrokenPipe) {
  signal(SIGPIPE, SIG_IGN);
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  FdSink sink(ends[1]);
  EXPECT_OK(sink.Write("x"));
  close(ends[0]);
  EXPECT_TRUE(IsBrokenPipe(sink.Write("x")));
  close(ends[1]);
}

TEST(FdSinkTest, AFullDiskIsAnErrorWithItsReason) {
  const int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  EXPECT_THAT(FdSink(fd).Write("x"), StatusIs(absl::StatusCode::kDataLoss,
                                              "cannot write the output: No space left on device"));
  close(fd);
}

TEST(FdSinkTest, WritesAllToANonBlockingReaderThatIsSlow) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_NONBLOCK), 0);
  const std::string text(size_t{1} << 20, 'x');  // more than a pipe holds
  size_t got = 0;
  std::thread reader([&] {
    char buffer[4096];
    while (got < text.size()) {
      const ssize_t count = read(ends[0], buffer, sizeof(buffer));
      if (count > 0) got += static_cast<size_t>(count);
      if (count == 0) return;
    }
  });
  EXPECT_OK(FdSink(ends[1]).Write(text));
  close(ends[1]);
  reader.join();
  EXPECT_EQ(got, text.size());
  close(ends[0]);
}

}  // namespace
}  // namespace fanwire::cli
