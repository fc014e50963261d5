#include "fanout/process_files.h"

#include <sys/mman.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire::fanout {

namespace {

using ::testing::Contains;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

// What each of the first descriptors of the process is.
std::vector<std::string> Descriptors(pid_t pid, size_t most = SIZE_MAX) {
  std::vector<std::string> targets;
  ForEachDescriptor(pid, [&](absl::string_view target) {
    targets.emplace_back(target);
    return targets.size() < most;
  });
  return targets;
}

TEST(ProcessFilesTest, ThisProcessIsAmongAll) { EXPECT_THAT(ProcessIds(), Contains(getpid())); }

TEST(ProcessFilesTest, ADescriptorIsToldWhileItIsOpen) {
  const std::string told = "/memfd:process_files_test (deleted)";
  const int fd = memfd_create("process_files_test", MFD_CLOEXEC);
  ASSERT_GE(fd, 0);
  EXPECT_THAT(Descriptors(getpid()), Contains(told));
  close(fd);
  EXPECT_THAT(Descriptors(getpid()), Not(Contains(told)));
}

TEST(ProcessFilesTest, TheWalkEndsWhereItIsToldTo) {
  ASSERT_GT(Descriptors(getpid()).size(), 1u);
  EXPECT_THAT(Descriptors(getpid(), 1), SizeIs(1));
}

TEST(ProcessFilesTest, AProcessThatIsNotThereHasNone) { EXPECT_THAT(Descriptors(-1), IsEmpty()); }

}  // namespace
}  // namespace fanwire::fanout
