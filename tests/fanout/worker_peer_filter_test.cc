#include "fanout/worker_peer_filter.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "gtest/gtest.h"

namespace fanwire::fanout {
namespace {

PeerAddress Peer(const char* host, uint16_t port) {
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  if (inet_pton(AF_INET, host, &v4.sin_addr) == 1) {
    return PeerAddress::From(reinterpret_cast<const sockaddr*>(&v4));
  }
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  EXPECT_EQ(inet_pton(AF_INET6, host, &v6.sin6_addr), 1) << host;
  return PeerAddress::From(reinterpret_cast<const sockaddr*>(&v6));
}

TEST(WorkerPeerFilterTest, FindsWhatListsPrint) {
  for (const char* host : {"192.0.2.7", "::1", "2001:db8::1", "fe80::1"}) {
    const PeerAddress peer = Peer(host, 4242);
    EXPECT_TRUE(WorkerPeerFilter(peer.Host()).Matches(peer)) << host;
    EXPECT_TRUE(WorkerPeerFilter(peer.ToString()).Matches(peer)) << host;
    EXPECT_TRUE(WorkerPeerFilter("[" + peer.Host() + "]").Matches(peer)) << host;
    EXPECT_TRUE(WorkerPeerFilter("").Matches(peer)) << host;
  }
}

TEST(WorkerPeerFilterTest, FindsOtherFormsOfAnAddress) {
  const PeerAddress v6 = Peer("2001:db8::1", 4242), v4 = Peer("192.0.2.7", 4242);
  for (const char* text : {"2001:DB8::1", "2001:0db8:0:0:0:0:0:1", "[2001:db8:0::1]:4242",
                           "2001:db8::1%eth0", "[2001:db8::1%eth0]:4242"}) {
    EXPECT_TRUE(WorkerPeerFilter(text).Matches(v6)) << text;
    EXPECT_FALSE(WorkerPeerFilter(text).Matches(v4)) << text;
  }
  for (const char* text : {"::ffff:192.0.2.7", "[::ffff:192.0.2.7]:4242", "::ffff:c000:207"}) {
    EXPECT_TRUE(WorkerPeerFilter(text).Matches(v4)) << text;
  }
}

TEST(WorkerPeerFilterTest, FindsNothingElse) {
  const PeerAddress peer = Peer("::1", 4242);
  for (const char* text :
       {"[::1]:4243", "::2", "[::1", "::1]", "[::1]x", "[::1]:", "[::1]:65536", "[::1]:+1",
        "127.0.0.1", "localhost", ":4242", "[]", "[]:4242", "%eth0"}) {
    EXPECT_FALSE(WorkerPeerFilter(text).Matches(peer)) << text;
  }
  EXPECT_FALSE(WorkerPeerFilter("192.0.2.7:1").Matches(Peer("192.0.2.7", 2)));
}

}  // namespace
}  // namespace fanwire::fanout
