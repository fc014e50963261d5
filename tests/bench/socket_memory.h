// What the kernel keeps for a server's TCP sockets, by the socket at the other end.
#pragma once

#include <cstdint>
#include <map>
#include <utility>

namespace fanwire::bench {

// An IPv4 address and a port, both in host order.
using Endpoint = std::pair<uint32_t, uint16_t>;

// The memory in bytes of each IPv4 TCP socket of this machine whose own port is `port`: what its
// queues hold, with the kernel's overhead, but not the socket itself (some 2.5 kB).  From the
// kernel's socket diagnosis (sock_diag(7)); empty if there is none.
std::map<Endpoint, int64_t> SocketMemoryByPeer(int port);

}  // namespace fanwire::bench
