#include "fanout/net/socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace fanwire::fanout {

namespace {

// A Socket on one end of a loopback TCP connection with small buffers; the test holds the other.
class SocketTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
    ASSERT_EQ(::listen(listener, 1), 0);
    ASSERT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
    peer_ = ::socket(AF_INET, SOCK_STREAM, 0);
    const int small = 4096;
    ::setsockopt(peer_, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    ASSERT_EQ(::connect(peer_, reinterpret_cast<sockaddr*>(&address), size), 0);
    const int fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK);
    ASSERT_GE(fd, 0);
    ::close(listener);
    SocketOptions options;
    options.send_buffer_bytes = 4096;
    options.notsent_lowat_bytes = 4096;
    ConfigureSocket(fd, options);
    socket_ = std::make_unique<Socket>(fd, &table_);
    socket_->set_direct_allowed(true);
  }

  void TearDown() override {
    if (peer_ >= 0) ::close(peer_);
  }

  // Offers frames until one is queued; returns all their bytes.
  std::string FillKernel() {
    std::string offered;
    for (char letter = 'a';; letter = letter == 'z' ? 'a' : static_cast<char>(letter + 1)) {
      const FramePtr frame = Frame::Text(std::string(3000, letter));
      offered += std::string(frame->bytes());
      if (socket_->Send(frame) == SendOutcome::kQueued) return offered;
    }
  }

  // Reads what the peer has got, flushing as the kernel takes more, up to `bytes`.
  std::string ReadAtPeer(size_t bytes) {
    std::string got;
    while (got.size() < bytes) {
      socket_->Flush();
      pollfd readable = {peer_, POLLIN, 0};
      if (::poll(&readable, 1, 20'000) != 1) break;
      char chunk[8192];
      const ssize_t count = ::read(peer_, chunk, std::min(sizeof(chunk), bytes - got.size()));
      if (count <= 0) break;
      got.append(chunk, static_cast<size_t>(count));
    }
    return got;
  }

  SendTable table_;
  std::unique_ptr<Socket> socket_;
  int peer_ = -1;
};

TEST_F(SocketTest, FrameThatFitsIsSentAtOnce) {
  const FramePtr frame = Frame::Text("hello");
  EXPECT_EQ(socket_->Send(frame), SendOutcome::kSent);
  EXPECT_FALSE(socket_->has_backlog());
  EXPECT_EQ(ReadAtPeer(frame->size()), std::string(frame->bytes()));
  EXPECT_EQ(table_.slot(socket_->fd()).bytes, frame->size());
  EXPECT_EQ(table_.slot(socket_->fd()).messages, 1u);
}

TEST_F(SocketTest, BacklogIsCountedExactlyAndArrivesWholeAndInOrder) {
  std::string offered = FillKernel();
  for (int i = 0; i < 200; ++i) {  // more than one sendmsg() takes
    const FramePtr frame = Frame::Text(std::to_string(i) + std::string(300, '.'));
    offered += std::string(frame->bytes());
    EXPECT_EQ(socket_->Send(frame), SendOutcome::kQueued);
  }
  const SendTable::Slot before = table_.slot(socket_->fd());
  EXPECT_EQ(before.bytes + socket_->queued_bytes(), offered.size());
  const uint64_t messages = before.messages + socket_->queued_messages();
  EXPECT_EQ(ReadAtPeer(offered.size()), offered);
  EXPECT_EQ(socket_->Flush(), SendOutcome::kSent);
  EXPECT_FALSE(socket_->has_backlog());
  EXPECT_EQ(socket_->queued_bytes(), 0u);
  EXPECT_EQ(table_.slot(socket_->fd()).bytes, offered.size());
  EXPECT_EQ(table_.slot(socket_->fd()).messages, messages);
}

TEST_F(SocketTest, SendAllIsOneStreamOfBytes) {
  std::vector<FramePtr> frames;
  std::string offered;
  for (int i = 0; i < 100; ++i) {
    frames.push_back(Frame::Text(std::to_string(i)));
    offered += std::string(frames.back()->bytes());
  }
  EXPECT_EQ(socket_->SendAll(frames), SendOutcome::kSent);
  EXPECT_EQ(ReadAtPeer(offered.size()), offered);
  EXPECT_EQ(table_.slot(socket_->fd()).messages, 100u);
  EXPECT_EQ(socket_->SendAll({}), SendOutcome::kSent);
}

TEST_F(SocketTest, SendAllQueuesBehindABacklog) {
  std::string offered = FillKernel();
  const FramePtr frames[] = {Frame::Text("one"), Frame::Text("two")};
  EXPECT_EQ(socket_->SendAll(frames), SendOutcome::kQueued);
  offered += std::string(frames[0]->bytes()) + std::string(frames[1]->bytes());
  EXPECT_EQ(ReadAtPeer(offered.size()), offered);
}

TEST_F(SocketTest, HeldFramesLeaveTogetherAtTheFlush) {
  socket_->Hold();
  const FramePtr one = Frame::Text("one"), two = Frame::Text("two");
  EXPECT_EQ(socket_->Send(one), SendOutcome::kQueued);
  EXPECT_EQ(socket_->Send(two), SendOutcome::kQueued);
  EXPECT_EQ(table_.slot(socket_->fd()).bytes, 0u);
  EXPECT_EQ(socket_->Flush(), SendOutcome::kSent);
  EXPECT_EQ(ReadAtPeer(one->size() + two->size()),
            std::string(one->bytes()) + std::string(two->bytes()));
}

TEST_F(SocketTest, DirectSendIsAllowedOnlyWithoutBacklog) {
  EXPECT_TRUE(table_.direct(socket_->fd()));
  const std::string offered = FillKernel();
  EXPECT_FALSE(table_.direct(socket_->fd()));
  ReadAtPeer(offered.size());
  EXPECT_EQ(socket_->Flush(), SendOutcome::kSent);
  EXPECT_TRUE(table_.direct(socket_->fd()));
  socket_->SendLast(Frame::Make(Opcode::kClose, "", 0));
  EXPECT_FALSE(table_.direct(socket_->fd()));
}

TEST_F(SocketTest, ContinueTakesOverWhatADirectSendLeft) {
  const int fd = socket_->fd();
  std::string offered;
  while (true) {
    const FramePtr frame = Frame::Text(std::string(3000, 'd'));
    offered += std::string(frame->bytes());
    const ssize_t taken = table_.Send(fd, *frame);
    ASSERT_GE(taken, 0);
    if (static_cast<size_t>(taken) == frame->size()) continue;
    EXPECT_EQ(socket_->Continue(frame, taken), SendOutcome::kQueued);
    break;
  }
  EXPECT_EQ(table_.slot(fd).bytes + socket_->queued_bytes(), offered.size());
  EXPECT_EQ(socket_->queued_messages(), 1u);
  EXPECT_EQ(ReadAtPeer(offered.size()), offered);
  EXPECT_EQ(table_.slot(fd).messages, offered.size() / 3004);
}

TEST_F(SocketTest, ContinueWithAnErrorBreaksTheConnection) {
  EXPECT_EQ(socket_->Continue(Frame::Text("x"), -EPIPE), SendOutcome::kClosed);
  EXPECT_TRUE(socket_->broken());
  EXPECT_EQ(socket_->Send(Frame::Text("x")), SendOutcome::kClosed);
  uint8_t buffer[8];
  EXPECT_EQ(socket_->Read(buffer), 0);
}

TEST_F(SocketTest, UrgentFramesPassTheQueueButNotAFrameThatIsPartlyOut) {
  const std::string offered = FillKernel();
  const FramePtr queued = Frame::Text("queued");
  const FramePtr first = Frame::Make(Opcode::kPong, "first", 0);
  const FramePtr second = Frame::Make(Opcode::kPong, "second one", 0);
  socket_->Send(queued);
  const size_t before = socket_->queued_bytes();
  EXPECT_EQ(socket_->SendUrgent(first, Socket::Urgent::kPong), SendOutcome::kQueued);
  EXPECT_EQ(socket_->queued_bytes(), before + first->size());
  EXPECT_EQ(socket_->SendUrgent(second, Socket::Urgent::kPong), SendOutcome::kQueued);
  EXPECT_EQ(socket_->queued_bytes(), before + second->size());
  const std::string got = ReadAtPeer(offered.size() + second->size() + queued->size());
  // The last of FillKernel()'s frames is either partly out, or the pong overtakes it.
  const size_t pong = got.find(std::string(second->bytes()));
  ASSERT_NE(pong, std::string::npos);
  EXPECT_EQ(pong % 3004, 0u);
  EXPECT_LT(pong, got.find(std::string(queued->bytes())));
  EXPECT_EQ(got.find("first"), std::string::npos);
  EXPECT_EQ(socket_->SendUrgent(first, Socket::Urgent::kPong), SendOutcome::kSent);
}

TEST_F(SocketTest, AnUrgentFrameReplacesNoneOfTheOtherKind) {
  const std::string offered = FillKernel();
  std::string last;
  size_t left = offered.size();
  for (const char* const name : {"pong 1", "pong 2", "pong 3"}) {
    const FramePtr pong = Frame::Make(Opcode::kPong, name, 0);
    const FramePtr ping = Frame::Make(Opcode::kPing, "ping", 0);
    socket_->SendUrgent(pong, Socket::Urgent::kPong);
    socket_->SendUrgent(ping, Socket::Urgent::kPing);
    left = offered.size() + pong->size() + ping->size();
    last = name;
  }
  const std::string got = ReadAtPeer(left);
  EXPECT_NE(got.find(last), std::string::npos);
  EXPECT_EQ(got.find("pong 1"), std::string::npos);
  EXPECT_EQ(got.find("pong 2"), std::string::npos);
  const size_t ping = got.find("ping");
  ASSERT_NE(ping, std::string::npos);
  EXPECT_EQ(got.find("ping", ping + 1), std::string::npos);
  EXPECT_FALSE(socket_->has_backlog());
}

TEST_F(SocketTest, UrgentFrameThatIsOutIsNotReplaced) {
  std::string offered = FillKernel();
  const FramePtr pong = Frame::Make(Opcode::kPong, "p", 0);
  socket_->SendUrgent(pong, Socket::Urgent::kPong);
  EXPECT_NE(ReadAtPeer(offered.size() + pong->size()).find(std::string(pong->bytes())),
            std::string::npos);
  offered = FillKernel();
  socket_->SendUrgent(pong, Socket::Urgent::kPong);
  EXPECT_NE(ReadAtPeer(offered.size() + pong->size()).find(std::string(pong->bytes())),
            std::string::npos);
}

TEST_F(SocketTest, DropUnsentKeepsTheFrameThatIsPartlyOut) {
  const std::string offered = FillKernel();
  const uint64_t sent_bytes = table_.slot(socket_->fd()).bytes;
  socket_->Send(Frame::Text("dropped 1"));
  socket_->Send(Frame::Text("dropped 2"));
  const bool partly_out = sent_bytes % 3004 != 0;
  EXPECT_EQ(socket_->DropUnsent(), partly_out ? 2u : 3u);
  EXPECT_EQ(socket_->queued_messages(), partly_out ? 1u : 0u);
  const FramePtr close = Frame::Make(Opcode::kClose, "", 0);
  socket_->SendLast(close);
  const size_t whole = (sent_bytes + 3003) / 3004 * 3004;
  EXPECT_EQ(ReadAtPeer(whole + close->size()),
            offered.substr(0, whole) + std::string(close->bytes()));
}

TEST_F(SocketTest, NothingFollowsTheLastFrame) {
  const FramePtr close = Frame::Make(Opcode::kClose, "", 0);
  EXPECT_EQ(socket_->SendLast(close), SendOutcome::kSent);
  EXPECT_EQ(socket_->Send(Frame::Text("late")), SendOutcome::kClosed);
  EXPECT_EQ(socket_->SendUrgent(Frame::Text("late"), Socket::Urgent::kPing), SendOutcome::kClosed);
  const FramePtr late[] = {Frame::Text("late")};
  EXPECT_EQ(socket_->SendAll(late), SendOutcome::kClosed);
  EXPECT_EQ(socket_->Continue(late[0], 0), SendOutcome::kClosed);
  socket_->ShutdownSend();
  EXPECT_EQ(ReadAtPeer(100), std::string(close->bytes()));
}

TEST_F(SocketTest, SendingToAPeerThatIsGoneBreaksWithoutASignal) {
  const linger now = {1, 0};
  ::setsockopt(peer_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  ::close(peer_);
  peer_ = -1;
  EXPECT_EQ(socket_->Send(Frame::Text("x")), SendOutcome::kClosed);
  EXPECT_TRUE(socket_->broken());
  EXPECT_FALSE(table_.direct(socket_->fd()));
}

TEST_F(SocketTest, QueueBreaksWhenThePeerGoes) {
  FillKernel();
  const linger now = {1, 0};
  ::setsockopt(peer_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  ::close(peer_);
  peer_ = -1;
  EXPECT_EQ(socket_->Flush(), SendOutcome::kClosed);
  EXPECT_EQ(socket_->Flush(), SendOutcome::kClosed);
}

TEST_F(SocketTest, ReadTellsBytesNothingAndTheEnd) {
  uint8_t buffer[16];
  EXPECT_EQ(socket_->Read(buffer), -EAGAIN);
  ASSERT_EQ(::write(peer_, "abc", 3), 3);
  EXPECT_EQ(socket_->Read(buffer), 3);
  ::close(peer_);
  peer_ = -1;
  EXPECT_EQ(socket_->Read(buffer), 0);
}

TEST_F(SocketTest, TableCountsOpenSocketsAndForgetsTheOldOwnersNumbers) {
  EXPECT_EQ(table_.open_sockets(), 1u);
  const int fd = socket_->fd();
  socket_->Send(Frame::Text("x"));
  const int copy = ::dup(fd);
  socket_.reset();
  EXPECT_EQ(table_.open_sockets(), 0u);
  ASSERT_EQ(::dup2(copy, fd), fd);  // the same number again
  ::close(copy);
  socket_ = std::make_unique<Socket>(fd, &table_);
  EXPECT_EQ(table_.slot(fd).bytes, 0u);
  EXPECT_FALSE(table_.direct(fd));
}

TEST(SocketOptionsTest, AreSet) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  ConfigureSocket(fd, SocketOptions());
  const auto get = [fd](int level, int option) {
    int value = 0;
    socklen_t size = sizeof(value);
    ::getsockopt(fd, level, option, &value, &size);
    return value;
  };
  EXPECT_EQ(get(IPPROTO_TCP, TCP_NODELAY), 1);
  EXPECT_EQ(get(IPPROTO_TCP, TCP_NOTSENT_LOWAT), 16 * 1024);
  EXPECT_EQ(get(SOL_SOCKET, SO_SNDBUF), 2 * 64 * 1024);  // Linux tells the double
  ::close(fd);
}

TEST(PeerAddressTest, WritesBothFamilies) {
  sockaddr_in v4 = {};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(51234);
  ::inet_pton(AF_INET, "192.0.2.7", &v4.sin_addr);
  EXPECT_EQ(PeerAddress::From(reinterpret_cast<sockaddr*>(&v4)).ToString(), "192.0.2.7:51234");
  EXPECT_EQ(PeerAddress::From(reinterpret_cast<sockaddr*>(&v4)).Host(), "192.0.2.7");
  sockaddr_in6 v6 = {};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(1);
  ::inet_pton(AF_INET6, "2001:db8::1", &v6.sin6_addr);
  EXPECT_EQ(PeerAddress::From(reinterpret_cast<sockaddr*>(&v6)).ToString(), "[2001:db8::1]:1");
  ::inet_pton(AF_INET6, "::ffff:192.0.2.7", &v6.sin6_addr);
  EXPECT_EQ(PeerAddress::From(reinterpret_cast<sockaddr*>(&v6)).Host(), "192.0.2.7");
}

}  // namespace
}  // namespace fanwire::fanout
