#include "control/engine/store_folder.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/control/engine/engine_fixture.h"
#include "tests/testing/status.h"

namespace fanwire::control {

namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr auto kRefused = absl::StatusCode::kFailedPrecondition;

void WriteText(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

TEST(StoreFolderTest, AFolderIsMadeAndItsHeaderRemembered) {
  const TestFolder folder;
  const std::string path = folder.path("a/b");
  EXPECT_OK(StoreFolder::Check(path));
  EXPECT_FALSE(std::filesystem::exists(folder.path("a")));
  {
    const auto taken = StoreFolder::Take(path);
    ASSERT_OK(taken);
    EXPECT_TRUE((*taken)->header().clean);
    EXPECT_EQ((*taken)->header().generation, 1);
    EXPECT_OK(
        (*taken)->Write({.boot_id = "boot \"1\"", .sync = true, .clean = false, .generation = 7}));
  }
  EXPECT_OK(StoreFolder::Check(path));
  const auto again = StoreFolder::Take(path);
  ASSERT_OK(again);
  EXPECT_EQ((*again)->header().boot_id, "boot \"1\"");
  EXPECT_TRUE((*again)->header().sync);
  EXPECT_FALSE((*again)->header().clean);
  EXPECT_EQ((*again)->header().generation, 7);
}

TEST(StoreFolderTest, OneProcessAtATimeHasIt) {
  const TestFolder folder;
  auto taken = StoreFolder::Take(folder.path());
  ASSERT_OK(taken);
  EXPECT_THAT(StoreFolder::Take(folder.path()),
              StatusIs(kRefused, HasSubstr("another process uses the folder: stop that control")));
  EXPECT_OK(StoreFolder::Check(folder.path()));  // a check does not ask for the lock
  *taken = nullptr;
  EXPECT_OK(StoreFolder::Take(folder.path()));
}

TEST(StoreFolderTest, AFormatOfTheFutureIsNotTouched) {
  const TestFolder folder;
  ASSERT_OK(StoreFolder::Take(folder.path()));
  const std::string future = "format: 2\nnew_field: \"x\"\nother { a: 1 }\n";
  WriteText(folder.path("data/store"), future);
  const auto refusal =
      StatusIs(kRefused, AllOf(HasSubstr("a later version"), HasSubstr("format 2"),
                               HasSubstr("run that version, or move the folder away")));
  EXPECT_THAT(StoreFolder::Take(folder.path()), refusal);
  EXPECT_THAT(StoreFolder::Check(folder.path()), refusal);
  std::ifstream file(folder.path("data/store"));
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), future);
}

TEST(StoreFolderTest, ABrokenHeaderIsRefused) {
  const TestFolder folder;
  ASSERT_OK(StoreFolder::Take(folder.path()));
  for (const char* text : {"", "generation: 3\n", "format: one", "\xff\xfe"}) {
    WriteText(folder.path("data/store"), text);
    EXPECT_THAT(StoreFolder::Take(folder.path()), StatusIs(kRefused, HasSubstr("is broken")))
        << text;
  }
}

TEST(StoreFolderTest, AFolderOfSomethingElseIsRefused) {
  const TestFolder folder;
  std::filesystem::create_directory(folder.path());
  std::filesystem::create_directory(folder.path("data/lost+found"));
  EXPECT_OK(StoreFolder::Check(folder.path()));
  WriteText(folder.path("data/letters.txt"), "Dear");
  for (const absl::Status& status :
       {StoreFolder::Take(folder.path()).status(), StoreFolder::Check(folder.path())}) {
    EXPECT_THAT(status, StatusIs(kRefused,
                                 AllOf(HasSubstr("holds something else"), HasSubstr("letters.txt"),
                                       HasSubstr("name an empty folder"))));
  }
  EXPECT_FALSE(std::filesystem::exists(folder.path("data/lock")));
}

TEST(StoreFolderTest, AFileIsNoFolder) {
  const TestFolder folder;
  WriteText(folder.path(), "text");
  for (const std::string& path : {folder.path(), folder.path("data/below")}) {
    for (const absl::Status& status :
         {StoreFolder::Take(path).status(), StoreFolder::Check(path)}) {
      EXPECT_THAT(status, StatusIs(kRefused, HasSubstr("engine.path")));
    }
  }
  EXPECT_THAT(StoreFolder::Take(folder.path()), StatusIs(kRefused, HasSubstr("not a folder")));
}

TEST(StoreFolderTest, WithoutTheRightToWriteItIsRefused) {
  if (geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  const TestFolder folder;
  std::filesystem::create_directory(folder.path());
  ASSERT_EQ(chmod(folder.path().c_str(), 0500), 0);
  for (const std::string& path : {folder.path(), folder.path("data/below")}) {
    for (const absl::Status& status :
         {StoreFolder::Take(path).status(), StoreFolder::Check(path)}) {
      EXPECT_THAT(status, StatusIs(kRefused, HasSubstr("Permission denied")));
    }
  }
}

TEST(StoreFolderTest, AFolderThatCannotBeMadeIsRefused) {
  for (const absl::Status& status : {StoreFolder::Take("/proc/fanwire/data").status(),
                                     StoreFolder::Take("").status(), StoreFolder::Check("")}) {
    EXPECT_THAT(status, StatusIs(kRefused, HasSubstr("engine.path")));
  }
}

}  // namespace
}  // namespace fanwire::control
