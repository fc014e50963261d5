#include "clients/cpp/src/target.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <memory>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire::client {
namespace {

using ::testing::HasSubstr;

std::string Parsed(const std::string& address) {
  std::string target;
  const Status status = ParseTarget(address, &target);
  return status.ok() ? target : status.message();
}

TEST(TargetTest, WhatIsAnAddress) {
  EXPECT_EQ(Parsed("127.0.0.1:8701"), "127.0.0.1:8701");
  EXPECT_EQ(Parsed("control.example.org"), "control.example.org:8701");
  EXPECT_EQ(Parsed("[::1]"), "[::1]:8701");
  EXPECT_EQ(Parsed("[::1]:9000"), "[::1]:9000");
  EXPECT_EQ(Parsed("unix:/run/fanwire/control.sock"), "unix:/run/fanwire/control.sock");
  EXPECT_EQ(Parsed("unix:/tmp/a b%c"), "unix:/tmp/a%20b%25c");
}

TEST(TargetTest, WhatIsNot) {
  EXPECT_EQ(Parsed("https://control:1"),
            "target \"https://control:1\" is a URL: write HOST:PORT or unix:PATH, such as "
            "127.0.0.1:8701");
  EXPECT_THAT(Parsed("/run/control.sock"), HasSubstr("is a path"));
  EXPECT_THAT(Parsed("host:1/x"), HasSubstr("has a path behind the host"));
  EXPECT_THAT(Parsed("unix:"), HasSubstr("has no path"));
  EXPECT_THAT(Parsed(":8701"), HasSubstr("has no host"));
  EXPECT_THAT(Parsed("::1"), HasSubstr("without brackets"));
  for (const char* port : {"", "0", "65536", "123456", "-1", "x"}) {
    EXPECT_THAT(Parsed(std::string("host:") + port), HasSubstr("has no port")) << port;
  }
}

class ChooseAddressTest : public testing::Test {
 protected:
  ChooseAddressTest() {
    for (const char* name : {"FANWIRE_SERVER", "RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"}) {
      unsetenv(name);
    }
    char folder[] = "/tmp/fanwire-target-XXXXXX";
    folder_ = mkdtemp(folder);
  }
  ~ChooseAddressTest() override {
    for (const char* name : {"FANWIRE_SERVER", "RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"}) {
      unsetenv(name);
    }
    std::filesystem::remove_all(folder_);
  }

  void MakeSocket(const std::string& path) {
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path.c_str());
    ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    close(fd);
  }

  std::string folder_;
};

TEST_F(ChooseAddressTest, AsWsctlDoes) {
  setenv("RUNTIME_DIRECTORY", folder_.c_str(), 1);
  setenv("FANWIRE_SERVER", "other:1", 1);
  EXPECT_EQ(ChooseAddress("mine:1"), "mine:1");
  EXPECT_EQ(ChooseAddress(""), "other:1");
  MakeSocket(folder_ + "/control.sock");
  unsetenv("FANWIRE_SERVER");
  EXPECT_EQ(ChooseAddress(""), "unix:" + folder_ + "/control.sock");
  unsetenv("RUNTIME_DIRECTORY");
  std::filesystem::create_directory(folder_ + "/fanwire");
  MakeSocket(folder_ + "/fanwire/control.sock");
  setenv("XDG_RUNTIME_DIR", folder_.c_str(), 1);
  EXPECT_EQ(ChooseAddress(""), "unix:" + folder_ + "/fanwire/control.sock");
}

TEST_F(ChooseAddressTest, WhatIsNoSocketIsPassedOver) {
  if (std::filesystem::exists("/run/fanwire/control.sock")) GTEST_SKIP() << "a control runs here";
  setenv("RUNTIME_DIRECTORY", folder_.c_str(), 1);
  std::filesystem::create_directory(folder_ + "/control.sock");
  EXPECT_EQ(ChooseAddress(""), "127.0.0.1:8701");
}

TEST(MakeChannelTest, ATokenDoesNotLeaveThisMachineInTheClear) {
  std::shared_ptr<grpc::Channel> channel;
  PublisherOptions options;
  options.target = "control.example.org";
  options.token = "secret";
  EXPECT_EQ(MakeChannel(options, &channel).code(), Code::kFailedPrecondition);
  options.tls = true;
  EXPECT_EQ(MakeChannel(options, &channel), Status());
  options.tls = false;
  for (const char* local : {"localhost", "127.0.0.2:1", "[::1]:1", "unix:/x"}) {
    options.target = local;
    EXPECT_EQ(MakeChannel(options, &channel), Status()) << local;
  }
}

TEST(MakeChannelTest, TheTokenMayComeFromTheEnvironment) {
  std::shared_ptr<grpc::Channel> channel;
  PublisherOptions options;
  options.target = "control.example.org";
  setenv("FANWIRE_TOKEN", "secret", 1);
  EXPECT_EQ(ChooseToken(""), "secret");
  EXPECT_EQ(ChooseToken("mine"), "mine");
  EXPECT_EQ(MakeChannel(options, &channel).code(), Code::kFailedPrecondition);
  unsetenv("FANWIRE_TOKEN");
  EXPECT_EQ(ChooseToken(""), "");
  EXPECT_EQ(MakeChannel(options, &channel), Status());
}

TEST(MakeChannelTest, AFileThatCannotBeReadIsNamed) {
  std::shared_ptr<grpc::Channel> channel;
  PublisherOptions options;
  options.target = "localhost";
  options.tls = true;
  options.ca_file = "/no/such/file";
  EXPECT_EQ(MakeChannel(options, &channel),
            Status(Code::kNotFound, "cannot read \"/no/such/file\""));
}

}  // namespace
}  // namespace fanwire::client
