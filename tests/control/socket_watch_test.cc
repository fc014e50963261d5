#include "control/socket_watch.h"

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "control/runtime_dir.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status.h"

namespace fanwire::control {

namespace {

using ::testing::HasSubstr;

// A file stands for the socket: who makes it does not matter here.
class SocketWatchTest : public ::testing::Test {
 protected:
  SocketWatchTest() {
    char folder[] = "/tmp/fanwire-watch-XXXXXX";
    EXPECT_NE(mkdtemp(folder), nullptr);
    folder_ = folder;
    EXPECT_OK(runtime_.Take(path()));
    EXPECT_OK(Bind());
    watch_ = std::make_unique<SocketWatch>(path(), &runtime_, [this] { return Bind(); });
  }
  ~SocketWatchTest() override { std::filesystem::remove_all(folder_); }

  std::string path() const { return folder_ + "/run/control.sock"; }
  absl::Status Bind() {
    if (!failure_.ok()) return failure_;
    ++bound_;
    std::ofstream(path()) << bound_;
    return absl::OkStatus();
  }

  std::string folder_;
  RuntimeDir runtime_;
  absl::Status failure_;
  int bound_ = 0;
  std::unique_ptr<SocketWatch> watch_;
};

TEST_F(SocketWatchTest, ASocketThatIsThereIsLeftAlone) {
  watch_->Check();
  std::filesystem::remove(path());
  std::ofstream(path()) << "of somebody else";
  watch_->Check();
  EXPECT_EQ(bound_, 1);
}

TEST_F(SocketWatchTest, ADeletedSocketIsMadeAgainOnce) {
  std::filesystem::remove(path());
  watch_->Check();
  watch_->Check();
  EXPECT_EQ(bound_, 2);
  EXPECT_TRUE(std::filesystem::exists(path()));
}

TEST_F(SocketWatchTest, ADeletedFolderIsMadeAgainAndHeld) {
  std::filesystem::remove_all(folder_ + "/run");
  watch_->Check();
  EXPECT_EQ(bound_, 2);
  struct stat info = {};
  ASSERT_EQ(stat((folder_ + "/run").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  EXPECT_THAT(RuntimeDir().Take(path()), StatusIs(absl::StatusCode::kFailedPrecondition,
                                                  HasSubstr("another control runs here")));
}

TEST_F(SocketWatchTest, AFolderThatAnotherControlHasTakenIsNotTouched) {
  std::filesystem::remove_all(folder_ + "/run");
  RuntimeDir other;
  ASSERT_OK(other.Take(path()));
  watch_->Check();
  EXPECT_EQ(bound_, 1);
}

TEST_F(SocketWatchTest, AFailureIsTriedAgain) {
  std::filesystem::remove(path());
  failure_ = absl::UnavailableError("no");
  watch_->Check();
  EXPECT_EQ(bound_, 1);
  failure_ = absl::OkStatus();
  watch_->Check();
  EXPECT_EQ(bound_, 2);
}

TEST_F(SocketWatchTest, AfterAStopNothingIsMade) {
  watch_->Stop();
  std::filesystem::remove(path());
  watch_->Check();
  EXPECT_EQ(bound_, 1);
}

}  // namespace
}  // namespace fanwire::control
