#include "control/connection_listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/mutex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status.h"
#include "tests/testing/wait_for.h"

namespace fanwire::control {

namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// A client's socket, made before it connects.
class TcpClient {
 public:
  explicit TcpClient(int family = AF_INET) : fd_(::socket(family, SOCK_STREAM, 0)) {}
  ~TcpClient() { ::close(fd_); }
  TcpClient(const TcpClient&) = delete;
  TcpClient& operator=(const TcpClient&) = delete;

  void Connect(uint16_t port) const {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    ASSERT_EQ(::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }
  void ConnectV6(uint16_t port) const {
    sockaddr_in6 address = {};
    address.sin6_family = AF_INET6;
    address.sin6_addr = in6addr_loopback;
    address.sin6_port = htons(port);
    ASSERT_EQ(::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }
  void ConnectUnix(const std::string& path) const {
    sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
    std::memcpy(address.sun_path, path.data(), path.size());
    ASSERT_EQ(::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }
  // Waits until the other end has closed the connection.
  bool Closed() const {
    char byte;
    return ::recv(fd_, &byte, 1, 0) <= 0;
  }

 private:
  const int fd_;
};

class ConnectionListenerTest : public ::testing::Test {
 protected:
  ConnectionListenerTest() {
    char folder[] = "/tmp/fanwire-listener-XXXXXX";
    folder_ = mkdtemp(folder);
  }
  ~ConnectionListenerTest() override {
    listener_ = nullptr;
    CloseHeld();
    std::filesystem::remove_all(folder_);
  }

  std::string socket() const { return folder_ + "/control.sock"; }

  void Make(size_t max_tcp = 100) {
    listener_ = ConnectionListener::Make(max_tcp, [this](int fd) {
      MutexLock lock(&mu_);
      held_.push_back(fd);
    });
  }
  uint16_t ListenTcp(const std::string& host = "127.0.0.1") {
    const auto port = listener_->ListenTcp({.host = host, .port = 0, .unix_path = ""});
    EXPECT_OK(port);
    return port.value_or(0);
  }
  size_t held() const {
    MutexLock lock(&mu_);
    return held_.size();
  }
  bool Holds(size_t count) const {
    return WaitFor([&] { return held() == count; });
  }
  void CloseHeld() {
    MutexLock lock(&mu_);
    for (const int fd : held_) close(fd);
    held_.clear();
  }

  std::string folder_;
  mutable Mutex mu_;
  std::vector<int> held_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<ConnectionListener> listener_;
};

TEST_F(ConnectionListenerTest, ANameIsRefusedIfOneOfItsAddressesIsTaken) {
  for (const char* taken : {"127.0.0.1", "::1"}) {
    SCOPED_TRACE(taken);
    Make();
    const auto other = listener_->ListenTcp({.host = taken, .port = 0, .unix_path = ""});
    if (!other.ok()) continue;  // without IPv6
    const auto holder = std::exchange(listener_, nullptr);
    for (const char* host : {"localhost", "0.0.0.0", "::", taken}) {
      if (taken == std::string("::1") && host == std::string("localhost")) continue;  // may lack it
      SCOPED_TRACE(host);
      Make();
      EXPECT_THAT(listener_->ListenTcp({.host = host, .port = *other, .unix_path = ""}),
                  StatusIs(absl::StatusCode::kUnavailable,
                           AllOf(HasSubstr(absl::StrCat("port ", *other, " of ")),
                                 HasSubstr("Address already in use"))));
      // Nothing of it is left.
      const char* const free = taken == std::string("::1") ? "127.0.0.1" : "::1";
      const auto again = ConnectionListener::Make(1, [](int fd) {
                           close(fd);
                         })->ListenTcp({.host = free, .port = *other, .unix_path = ""});
      EXPECT_FALSE(!again.ok() && absl::StrContains(again.status().message(), "in use"));
    }
    listener_ = nullptr;
  }
}

TEST_F(ConnectionListenerTest, AnAddressThatThisMachineDoesNotHaveIsUnavailable) {
  Make();
  EXPECT_THAT(listener_->ListenTcp({.host = "192.0.2.1", .port = 8701, .unix_path = ""}),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("port 8701 of 192.0.2.1: ")));
}

TEST_F(ConnectionListenerTest, HandsOverWhatComesByTcpAndByTheUnixSocket) {
  Make();
  const uint16_t port = ListenTcp();
  ASSERT_OK(listener_->ListenUnix(socket()));
  listener_->Start();
  TcpClient tcp, local(AF_UNIX);
  tcp.Connect(port);
  local.ConnectUnix(socket());
  ASSERT_TRUE(Holds(2));
  MutexLock lock(&mu_);
  for (const int fd : held_) {
    EXPECT_TRUE(fcntl(fd, F_GETFL) & O_NONBLOCK);
    EXPECT_TRUE(fcntl(fd, F_GETFD) & FD_CLOEXEC);
  }
}

TEST_F(ConnectionListenerTest, ClosesWhatIsOverTheLimitAndGoesOnWhenOneHasGone) {
  Make(/*max_tcp=*/2);
  const uint16_t port = ListenTcp();
  ASSERT_OK(listener_->ListenUnix(socket()));
  listener_->Start();
  TcpClient first, second, third, local(AF_UNIX);
  first.Connect(port);
  second.Connect(port);
  ASSERT_TRUE(Holds(2));
  third.Connect(port);
  EXPECT_TRUE(third.Closed());
  EXPECT_EQ(listener_->counts().refused_limit, 1);
  EXPECT_EQ(listener_->counts().tcp_open, 2);
  local.ConnectUnix(socket());  // operators and workers come in still
  ASSERT_TRUE(Holds(3));

  CloseHeld();
  EXPECT_TRUE(WaitFor([&] {
    TcpClient next;
    next.Connect(port);
    return WaitFor([&] { return held() > 0; }, absl::Milliseconds(150));
  }));
}

TEST_F(ConnectionListenerTest, ADescriptorThatWasClosedAndUsedForSomethingElseDoesNotCount) {
  Make(/*max_tcp=*/1);
  const uint16_t port = ListenTcp();
  listener_->Start();
  TcpClient first, second;
  first.Connect(port);
  ASSERT_TRUE(Holds(1));
  int fd = -1;
  {
    MutexLock lock(&mu_);
    fd = held_[0];
  }
  const int other = open("/dev/null", O_RDONLY | O_CLOEXEC);
  ASSERT_EQ(dup2(other, fd), fd);
  close(other);
  second.Connect(port);
  EXPECT_TRUE(Holds(2));
}

TEST_F(ConnectionListenerTest, OutOfDescriptorsItClosesWhatWaitsAndRecovers) {
  Make();
  const uint16_t port = ListenTcp();
  ASSERT_OK(listener_->ListenUnix(socket()));
  listener_->Start();
  TcpClient tcp, local(AF_UNIX), later, local_later(AF_UNIX);
  std::vector<int> used;
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit low = before;
  low.rlim_cur = 200;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  for (int fd = 0; (fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0;) used.push_back(fd);
  tcp.Connect(port);
  local.ConnectUnix(socket());
  EXPECT_TRUE(tcp.Closed());
  EXPECT_TRUE(local.Closed());
  EXPECT_EQ(listener_->counts().refused_descriptors, 2);
  for (const int fd : used) close(fd);
  setrlimit(RLIMIT_NOFILE, &before);
  later.Connect(port);
  local_later.ConnectUnix(socket());
  EXPECT_TRUE(Holds(2));
}

TEST_F(ConnectionListenerTest, AWildcardMeansBothFamilies) {
  Make();
  const uint16_t port = ListenTcp("0.0.0.0");
  listener_->Start();
  TcpClient v4, v6(AF_INET6);
  v4.Connect(port);
  v6.ConnectV6(port);
  EXPECT_TRUE(Holds(2));
}

TEST_F(ConnectionListenerTest, APortBelongsToOneListener) {
  Make();
  const uint16_t port = ListenTcp();
  const auto other = ConnectionListener::Make(1, [](int fd) { close(fd); });
  EXPECT_THAT(other->ListenTcp({.host = "127.0.0.1", .port = port, .unix_path = ""}),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("Address already in use")));
  EXPECT_THAT(other->ListenTcp({.host = "no host", .port = 0, .unix_path = ""}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no host")));
}

TEST_F(ConnectionListenerTest, TheUnixSocketCanBeMadeAgain) {
  Make();
  ASSERT_OK(listener_->ListenUnix(socket()));
  listener_->Start();
  ASSERT_EQ(unlink(socket().c_str()), 0);
  ASSERT_OK(listener_->ListenUnix(socket()));
  struct stat info = {};
  ASSERT_EQ(lstat(socket().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0660u);
  TcpClient local(AF_UNIX);
  local.ConnectUnix(socket());
  EXPECT_TRUE(Holds(1));
}

TEST_F(ConnectionListenerTest, TheEndRemovesTheSocketUnlessItIsAnothers) {
  Make();
  ASSERT_OK(listener_->ListenUnix(socket()));
  listener_->Start();
  listener_->Stop();
  EXPECT_FALSE(std::filesystem::exists(socket()));

  Make();
  ASSERT_OK(listener_->ListenUnix(socket()));
  ASSERT_EQ(unlink(socket().c_str()), 0);
  std::ofstream(socket()) << "another's";
  listener_ = nullptr;
  EXPECT_TRUE(std::filesystem::exists(socket()));
}

}  // namespace
}  // namespace fanwire::control
