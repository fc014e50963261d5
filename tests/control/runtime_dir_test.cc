#include "control/runtime_dir.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status.h"

namespace fanwire::control {

namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class RuntimeDirTest : public ::testing::Test {
 protected:
  RuntimeDirTest() {
    char folder[] = "/tmp/fanwire-runtime-XXXXXX";
    EXPECT_NE(mkdtemp(folder), nullptr);
    folder_ = folder;
  }
  ~RuntimeDirTest() override { std::filesystem::remove_all(folder_); }

  std::string socket() const { return folder_ + "/run/control.sock"; }
  absl::Status Take() const { return RuntimeDir().Take(socket()); }
  auto IsRefused(const std::string& why) const {
    return StatusIs(absl::StatusCode::kFailedPrecondition,
                    AllOf(HasSubstr(folder_), HasSubstr(why)));
  }

  // A bound unix socket at socket().
  int Bind() const {
    sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
    socket().copy(address.sun_path, sizeof(address.sun_path) - 1);
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    return fd;
  }

  std::string folder_;
};

TEST_F(RuntimeDirTest, IsMadeForItsUserAlone) {
  RuntimeDir dir;
  ASSERT_OK(dir.Take(socket()));
  EXPECT_EQ(dir.path(), folder_ + "/run");
  struct stat info = {};
  ASSERT_EQ(stat(dir.path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
}

TEST_F(RuntimeDirTest, IsHeldByOneAtATime) {
  {
    RuntimeDir dir;
    ASSERT_OK(dir.Take(socket()));
    EXPECT_THAT(Take(), IsRefused("another control runs here"));
  }
  EXPECT_OK(Take());
}

TEST_F(RuntimeDirTest, AFileInItsPlaceIsRefused) {
  std::ofstream(folder_ + "/run") << "a file";
  EXPECT_THAT(Take(), IsRefused("expected a directory"));
}

TEST_F(RuntimeDirTest, AnAbandonedSocketIsRemoved) {
  mkdir((folder_ + "/run").c_str(), 0700);
  close(Bind());
  EXPECT_OK(Take());
  EXPECT_FALSE(std::filesystem::exists(socket()));
}

TEST_F(RuntimeDirTest, NothingElseIsEverRemoved) {
  mkdir((folder_ + "/run").c_str(), 0700);
  std::ofstream(socket()) << "precious";
  EXPECT_THAT(Take(), IsRefused("is a file, not a socket; move it away, or set control.socket"));
  std::string content;
  std::ifstream(socket()) >> content;
  EXPECT_EQ(content, "precious");
  const std::string elsewhere = folder_ + "/elsewhere";
  std::filesystem::rename(socket(), elsewhere);
  std::filesystem::create_symlink(elsewhere, socket());
  EXPECT_THAT(Take(), IsRefused("is a symbolic link, not a socket"));
  EXPECT_TRUE(std::filesystem::is_symlink(socket()));
  std::filesystem::remove(socket());
  std::filesystem::create_directory(socket());
  EXPECT_THAT(Take(), IsRefused("is a directory, not a socket"));
  std::filesystem::remove(socket());
  const int fd = Bind();
  ASSERT_EQ(listen(fd, 1), 0);
  EXPECT_THAT(Take(), IsRefused("is the socket of another program, which listens there"));
  EXPECT_TRUE(std::filesystem::is_socket(socket()));
  close(fd);
  EXPECT_OK(Take());
}

}  // namespace
}  // namespace fanwire::control
