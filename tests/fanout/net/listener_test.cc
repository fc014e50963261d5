#include "fanout/net/listener.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "tests/testing/failing_accept.h"
#include "tests/testing/ws_client.h"

namespace fanwire::fanout {

namespace {

constexpr absl::Duration kLongWait = absl::Seconds(20);

// A loop that the test turns itself, and sockets that it keeps.
class ListenerTest : public ::testing::Test {
 protected:
  std::unique_ptr<Listener> Open(const ListenerOptions& options) {
    auto listener =
        Listener::Open(options, &loop_, &table_, [this](int fd, const PeerAddress& peer) {
          accepted_.push_back(std::make_unique<Socket>(fd, &table_));
          peers_.push_back(peer);
        });
    EXPECT_TRUE(listener.ok()) << listener.status().ToString();
    return listener.ok() ? *std::move(listener) : nullptr;
  }

  // Turns the loop until `condition`; false after kLongWait.
  bool RunUntil(const std::function<bool()>& condition) {
    const absl::Duration deadline = loop_.Now() + kLongWait;
    while (!condition()) {
      if (loop_.Now() > deadline) return false;
      loop_.RunTurn(absl::Milliseconds(100));
    }
    return true;
  }

  EventLoop loop_;
  SendTable table_;
  std::vector<std::unique_ptr<Socket>> accepted_;
  std::vector<PeerAddress> peers_;
};

TEST_F(ListenerTest, AcceptsOnThePortThatTheKernelChose) {
  const auto listener = Open({});
  ASSERT_GT(listener->port(), 0);
  const WsClient client(listener->port());
  ASSERT_TRUE(client.connected());
  ASSERT_TRUE(RunUntil([&] { return accepted_.size() == 1; }));
  EXPECT_EQ(peers_[0].Host(), "127.0.0.1");
  EXPECT_EQ(listener->counters().accepted, 1u);
}

TEST_F(ListenerTest, AcceptedSocketsHaveTheOptions) {
  ListenerOptions options;
  options.socket.send_buffer_bytes = 32 * 1024;
  const auto listener = Open(options);
  const WsClient client(listener->port());
  ASSERT_TRUE(RunUntil([&] { return accepted_.size() == 1; }));
  const auto get = [&](int level, int option) {
    int value = 0;
    socklen_t size = sizeof(value);
    ::getsockopt(accepted_[0]->fd(), level, option, &value, &size);
    return value;
  };
  EXPECT_EQ(get(IPPROTO_TCP, TCP_NODELAY), 1);
  EXPECT_EQ(get(IPPROTO_TCP, TCP_NOTSENT_LOWAT), 16 * 1024);
  EXPECT_EQ(get(SOL_SOCKET, SO_SNDBUF), 2 * 32 * 1024);
}

TEST_F(ListenerTest, ListensOnIpv6AndOnBothFamiliesAtOnce) {
  ListenerOptions options;
  options.address = "::1";
  const auto v6 = Open(options);
  const WsClient v6_client(v6->port(), 0, "::1");
  ASSERT_TRUE(RunUntil([&] { return accepted_.size() == 1; }));
  EXPECT_EQ(peers_[0].Host(), "::1");
  options.address = "::";
  const auto both = Open(options);
  const WsClient v4_client(both->port());
  ASSERT_TRUE(RunUntil([&] { return accepted_.size() == 2; }));
  EXPECT_EQ(peers_[1].Host(), "127.0.0.1");
}

TEST_F(ListenerTest, SeveralListenersShareOnePort) {
  const auto first = Open({});
  ListenerOptions options;
  options.port = first->port();
  const auto second = Open(options);
  std::vector<WsClient> clients;
  for (int i = 0; i < 64; ++i) clients.emplace_back(first->port());
  ASSERT_TRUE(RunUntil([&] { return accepted_.size() == 64; }));
  // The kernel spreads by a hash of the addresses: none of 64 for one of two is a chance of 2^-63.
  EXPECT_GT(first->counters().accepted, 0u);
  EXPECT_GT(second->counters().accepted, 0u);
}

TEST_F(ListenerTest, BadAddressesAndTakenPortsAreErrors) {
  ListenerOptions options;
  options.address = "not-an-address";
  EXPECT_EQ(Listener::Open(options, &loop_, &table_, nullptr).status().code(),
            absl::StatusCode::kInvalidArgument);
  options.address = "192.0.2.1";  // of nobody (RFC 5737)
  EXPECT_EQ(Listener::Open(options, &loop_, &table_, nullptr).status().code(),
            absl::StatusCode::kInvalidArgument);
  const int other = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(::bind(other, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(other, 1), 0);
  ASSERT_EQ(::getsockname(other, reinterpret_cast<sockaddr*>(&address), &size), 0);
  options.address = "localhost";
  options.port = ntohs(address.sin_port);
  EXPECT_EQ(Listener::Open(options, &loop_, &table_, nullptr).status().code(),
            absl::StatusCode::kAlreadyExists);
  ::close(other);
}

TEST_F(ListenerTest, CloseStopsAcceptingAlsoFromWithin) {
  std::unique_ptr<Listener> listener;
  int accepted = 0;
  auto opened = Listener::Open({}, &loop_, &table_, [&](int fd, const PeerAddress&) {
    ::close(fd);
    ++accepted;
    listener->Close();
  });
  ASSERT_TRUE(opened.ok());
  listener = *std::move(opened);
  const uint16_t port = listener->port();
  const WsClient first(port), second(port);
  ASSERT_TRUE(RunUntil([&] { return accepted > 0; }));
  EXPECT_FALSE(WsClient(port).connected());
  EXPECT_FALSE(loop_.RunTurn(absl::Milliseconds(5)));
  EXPECT_EQ(accepted, 1);
  listener->Close();
}

TEST_F(ListenerTest, ConnectionsOverTheCapAreToldAndClosedAtOnce) {
  ListenerOptions options;
  options.max_open = 2;
  const auto listener = Open(options);
  std::vector<WsClient> clients;
  for (int i = 0; i < 5; ++i) clients.emplace_back(listener->port());
  ASSERT_TRUE(RunUntil([&] { return listener->counters().refused_cap == 3; }));
  EXPECT_EQ(accepted_.size(), 2u);
  for (int i = 2; i < 5; ++i) {
    const std::string answer = clients[static_cast<size_t>(i)].ReadToEnd();
    EXPECT_TRUE(absl::StartsWith(answer, "HTTP/1.1 503 Service Unavailable\r\n")) << answer;
    EXPECT_TRUE(absl::EndsWith(answer, kNoConnectionsLeft)) << answer;
  }
  accepted_.clear();  // room again
  const WsClient late(listener->port());
  ASSERT_TRUE(RunUntil([&] { return accepted_.size() == 1; }));
}

TEST_F(ListenerTest, OverTheCapSoManyAreHandedOnToBeRefused) {
  ListenerOptions options;
  options.max_open = 2;
  std::vector<std::unique_ptr<Socket>> refused;
  auto opened = Listener::Open(
      options, &loop_, &table_,
      [this](int fd, const PeerAddress&) {
        accepted_.push_back(std::make_unique<Socket>(fd, &table_));
      },
      [&](int fd, const PeerAddress&) {
        refused.push_back(std::make_unique<Socket>(fd, &table_));
      });
  ASSERT_TRUE(opened.ok());
  std::vector<WsClient> clients;
  const size_t count = 2 + Listener::kMaxRefusing + 3;
  for (size_t i = 0; i < count; ++i) clients.emplace_back((*opened)->port());
  const ListenerCounters& counters = (*opened)->counters();
  ASSERT_TRUE(RunUntil([&] { return counters.refused_cap == count - 2; }));
  EXPECT_EQ(accepted_.size(), 2u);
  EXPECT_EQ(refused.size(), Listener::kMaxRefusing);
  EXPECT_TRUE(absl::StartsWith(clients.back().ReadToEnd(), "HTTP/1.1 503 "));
}

TEST_F(ListenerTest, PacingSpreadsAcceptsAndLosesNone) {
  ListenerOptions options;
  options.accepts_per_second = 200;  // 20 at once, then one each 5 ms
  const auto listener = Open(options);
  std::vector<WsClient> clients;
  for (int i = 0; i < 60; ++i) clients.emplace_back(listener->port());
  const absl::Duration start = loop_.Now();
  ASSERT_TRUE(RunUntil([&] { return accepted_.size() == 60; }));
  // Clients took some of the time to connect, in which tokens do not pile up beyond 20.
  EXPECT_GE(loop_.Now() - start, absl::Milliseconds(150));
  EXPECT_GT(listener->counters().paced, 0u);
}

TEST(MaxConnectionsTest, LeavesAReserveBelowTheFileLimit) {
  rlimit limit = {};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(MaxConnections(100), limit.rlim_max - 100);
  EXPECT_EQ(MaxConnections(limit.rlim_max), 1u);
}

double CpuSeconds() {
  rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         1e-6 * static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

// Exit codes of the child below.
enum : int { kOk = 0, kDidNotOpen = 2, kNoneRefused = 3, kSpun = 4 };

// Accepts with 40 descriptors at most, greeting each connection with a byte, until `control` is
// readable; then frees all, goes on until `control` ends, and tells how it went.
int RunOutOfDescriptors(int report, int control) {
  EventLoop loop;
  SendTable table;
  std::vector<std::unique_ptr<Socket>> held;
  const rlimit few = {40, 40};
  ::setrlimit(RLIMIT_NOFILE, &few);
  auto listener = Listener::Open({}, &loop, &table, [&](int fd, const PeerAddress&) {
    held.push_back(std::make_unique<Socket>(fd, &table));
    held.back()->Send(Frame::Raw("+"));
  });
  if (!listener.ok()) return kDidNotOpen;
  const uint16_t port = (*listener)->port();
  if (::write(report, &port, sizeof(port)) != sizeof(port)) return kDidNotOpen;

  const auto run_until_told = [&] {
    pollfd told = {control, POLLIN, 0};
    while (::poll(&told, 1, 0) == 0) loop.RunTurn(absl::Milliseconds(20));
    char byte = 0;
    return ::read(control, &byte, 1) == 1;
  };
  run_until_told();
  const double busy = CpuSeconds();
  run_until_told();  // nothing happened meanwhile, for 300 ms
  if (CpuSeconds() - busy > 0.15) return kSpun;
  held.clear();
  if (::write(report, "f", 1) != 1) return kDidNotOpen;
  while (run_until_told()) {
  }
  return (*listener)->counters().refused_descriptors > 0 ? kOk : kNoneRefused;
}

// What the kernel does when a process runs out of descriptors cannot be faked, and the limit is the
// whole process's: so it is a child's.
TEST(ListenerDescriptorsTest, OutOfDescriptorsItRefusesAtOnceWithoutSpinningAndRecovers) {
  int report[2], control[2];
  ASSERT_EQ(::pipe(report), 0);
  ASSERT_EQ(::pipe(control), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::close(control[1]);
    ::_exit(RunOutOfDescriptors(report[1], control[0]));
  }
  uint16_t port = 0;
  ASSERT_EQ(::read(report[0], &port, sizeof(port)), static_cast<ssize_t>(sizeof(port)));

  std::vector<WsClient> clients;
  for (int i = 0; i < 100; ++i) clients.emplace_back(port);
  int greeted = 0, refused = 0;
  for (WsClient& client : clients) {
    pollfd readable = {client.fd(), POLLIN, 0};
    ASSERT_EQ(::poll(&readable, 1, 20'000), 1) << "a client hangs";
    char byte = 0;
    if (::recv(client.fd(), &byte, 1, 0) == 1 && byte == '+') {
      ++greeted;
    } else {
      ++refused;
    }
  }
  EXPECT_GT(greeted, 10);
  EXPECT_GT(refused, 50);

  ASSERT_EQ(::write(control[1], "1", 1), 1);
  absl::SleepFor(absl::Milliseconds(300));  // the span in which the child must be idle
  ASSERT_EQ(::write(control[1], "2", 1), 1);
  char freed = 0;
  ASSERT_EQ(::read(report[0], &freed, 1), 1);
  WsClient late(port);
  char byte = 0;
  EXPECT_EQ(::recv(late.fd(), &byte, 1, 0), 1) << "it no longer accepts";

  ::close(control[1]);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), kOk);
  for (const int fd : {report[0], report[1], control[0]}) ::close(fd);
}

TEST_F(ListenerTest, ADrainAcceptsWhatWaitsWithoutPacingAndThenCloses) {
  ListenerOptions options;
  options.accepts_per_second = 10;  // one at once, the others later
  const auto listener = Open(options);
  std::vector<std::unique_ptr<WsClient>> waiting;
  for (int i = 0; i < 100; ++i) waiting.push_back(std::make_unique<WsClient>(listener->port()));
  listener->Drain(absl::InfiniteDuration());
  EXPECT_FALSE(accepted_.empty());
  ASSERT_TRUE(RunUntil([&] { return !listener->open(); }));
  EXPECT_EQ(accepted_.size(), 100u);
  for (const auto& client : waiting) ASSERT_TRUE(client->connected());
  EXPECT_FALSE(WsClient(listener->port()).connected());
}

TEST_F(ListenerTest, ADrainWithNobodyWaitingClosesAtOnce) {
  const auto listener = Open({});
  EXPECT_TRUE(listener->open());
  listener->Drain(absl::InfiniteDuration());
  EXPECT_FALSE(listener->open());
  listener->Drain(absl::InfiniteDuration());  // no effect
  listener->Close();
}

TEST_F(ListenerTest, ADrainClosesAlsoIfAllThatWaitedWasAcceptedInOneTurn) {
  const auto listener = Open({});
  std::vector<std::unique_ptr<WsClient>> waiting;
  for (int i = 0; i < 64; ++i) waiting.push_back(std::make_unique<WsClient>(listener->port()));
  listener->Drain(absl::InfiniteDuration());
  EXPECT_EQ(accepted_.size(), 64u);
  EXPECT_TRUE(RunUntil([&] { return !listener->open(); }));
}

TEST_F(ListenerTest, ADrainThatNeverFindsTheBacklogEmptyClosesAtItsLimit) {
  const auto listener = Open({});
  const FailingAccept always(ECONNABORTED);  // as with clients that come and go without end
  const absl::Duration began = loop_.Now();
  listener->Drain(absl::Milliseconds(50));
  EXPECT_TRUE(listener->open());
  ASSERT_TRUE(RunUntil([&] { return !listener->open(); }));
  EXPECT_GE(loop_.Now() - began, absl::Milliseconds(50));
  EXPECT_GT(listener->counters().errors, 64u);
}

TEST_F(ListenerTest, ADrainWithoutALimitGoesOnUntilTheBacklogIsEmpty) {
  const auto listener = Open({});
  auto always = std::make_unique<FailingAccept>(ECONNABORTED);
  listener->Drain(absl::InfiniteDuration());
  for (int i = 0; i < 100; ++i) loop_.RunTurn(absl::ZeroDuration());
  EXPECT_TRUE(listener->open());
  always = nullptr;
  EXPECT_TRUE(RunUntil([&] { return !listener->open(); }));
}

TEST_F(ListenerTest, AConnectionThatFailsWhileDescriptorsAreUsedUpDoesNotEndADrain) {
  const auto listener = Open({});
  const WsClient first(listener->port()), second(listener->port());
  const FailingAccept twice(std::deque<int>{EMFILE, ECONNABORTED});
  listener->Drain(absl::InfiniteDuration());
  EXPECT_EQ(accepted_.size(), 2u);
  EXPECT_FALSE(listener->open());
  EXPECT_EQ(listener->counters().errors, 1u);
}

TEST_F(ListenerTest, WithoutADescriptorForTheSpareADrainWaitsAndGoesOn) {
  const auto listener = Open({});
  const WsClient client(listener->port());
  const FailingAccept twice(std::deque<int>{EMFILE, EMFILE});
  listener->Drain(absl::InfiniteDuration());
  EXPECT_TRUE(listener->open());
  ASSERT_TRUE(RunUntil([&] { return !listener->open(); }));
  EXPECT_EQ(accepted_.size(), 1u);
}

TEST_F(ListenerTest, ADrainGoesOnWhereAcceptingWasPutOff) {
  ListenerOptions options;
  options.accepts_per_second = 1;
  const auto listener = Open(options);
  const WsClient first(listener->port()), second(listener->port());
  ASSERT_TRUE(RunUntil([&] { return listener->counters().paced == 1; }));
  listener->Drain(absl::InfiniteDuration());
  EXPECT_FALSE(listener->open());
  EXPECT_EQ(accepted_.size(), 2u);
}

}  // namespace
}  // namespace fanwire::fanout
