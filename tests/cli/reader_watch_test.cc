#include "cli/reader_watch.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>

#include "gtest/gtest.h"
#include "tests/testing/wait_for.h"

namespace fanwire::cli {
namespace {

TEST(ReaderWatchTest, NoticesThatTheReaderOfAPipeGoesAway) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  std::atomic<int> calls{0};
  {
    const ReaderWatch watch(ends[1], [&] { ++calls; });
    EXPECT_EQ(calls, 0);
    close(ends[0]);
    EXPECT_TRUE(WaitFor([&] { return calls == 1; }));
  }
  EXPECT_EQ(calls, 1);
  close(ends[1]);
}

TEST(ReaderWatchTest, NoticesThatTheReaderOfASocketGoesAway) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  std::atomic<int> calls{0};
  const ReaderWatch watch(ends[1], [&] { ++calls; });
  close(ends[0]);
  EXPECT_TRUE(WaitFor([&] { return calls == 1; }));
  close(ends[1]);
}

TEST(ReaderWatchTest, NoticesAReaderThatWentAwayBefore) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  close(ends[0]);
  std::atomic<int> calls{0};
  const ReaderWatch watch(ends[1], [&] { ++calls; });
  EXPECT_TRUE(WaitFor([&] { return calls == 1; }));
  close(ends[1]);
}

TEST(ReaderWatchTest, EndsWithoutACallWhileTheReaderIsThere) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  ASSERT_GE(null, 0);
  bool called = false;
  for (const int fd : {ends[1], null, -1}) {
    const ReaderWatch watch(fd, [&] { called = true; });
  }
  EXPECT_FALSE(called);
  for (const int fd : {ends[0], ends[1], null}) close(fd);
}

}  // namespace
}  // namespace fanwire::cli
