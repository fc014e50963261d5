// ConnectionGroup owns the connections of one listening port and what they share: limits, timeouts,
// their host, counters.
//
// Threading: loop-confined.
// Ownership: owns its connections; borrows loop, send table and host, which outlive it.
// Cost:      8 bytes a connection.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "fanout/net/connection.h"
#include "fanout/net/event_loop.h"
#include "fanout/net/frame.h"
#include "fanout/net/socket.h"
#include "fanout/net/ws_engine.h"

namespace fanwire::fanout {

struct ConnectionOptions {
  WsEngine::Limits limits;
  absl::Duration handshake_timeout = absl::Seconds(10);
  // A connection gets a ping when nothing was received for this long.  Zero or infinite: never.
  absl::Duration ping_interval = absl::Seconds(20);
  // If nothing is received for this long after the ping, and the peer does not read what it is
  // behind with, the connection is closed with 1011 "keepalive ping timeout".
  absl::Duration pong_timeout = absl::Seconds(20);
  // How long the peer's close frame is awaited, and how long the end of a connection that the peer
  // has closed.  As long again while the peer makes progress with what is due to it, 60 s in all.
  absl::Duration close_timeout = absl::Seconds(10);
  absl::Duration linger_timeout = absl::Seconds(2);
  // Pings and pongs per second that a client may send.  From a client that sends more nothing is
  // read until it is within the limit again.  0: no limit.
  double ping_rate_limit = 0;
  // Reads of one connection in one turn, each up to the loop's read buffer.
  int reads_per_turn = 4;
};

// Cumulative counts.
struct ConnectionCounters {
  uint64_t accepted = 0;
  uint64_t opened = 0;             // upgraded
  uint64_t rejected_requests = 0;  // bad requests, and upgrades that the host refused
  uint64_t http_requests = 0;      // plain ones
  uint64_t handshake_timeouts = 0;
  uint64_t closed_by_peer = 0;    // with a close frame
  uint64_t lost = 0;              // ended without a close frame after they were open
  uint64_t protocol_errors = 0;   // closed 1002, 1007
  uint64_t messages_too_big = 0;  // closed 1009
  uint64_t pings_sent = 0;
  uint64_t pong_timeouts = 0;
  uint64_t close_timeouts = 0;
  uint64_t bytes_received = 0;
  uint64_t messages_received = 0;
};

class ConnectionGroup {
 public:
  ConnectionGroup(const ConnectionOptions& options, EventLoop* loop, SendTable* table,
                  ConnectionHost* host);
  // Destroys the remaining connections at once, after OnClosed(1006) of their handlers.
  ~ConnectionGroup();
  ConnectionGroup(const ConnectionGroup&) = delete;
  ConnectionGroup& operator=(const ConnectionGroup&) = delete;

  // Takes over `fd`, a connected non-blocking TCP socket, and awaits its request.
  Connection* Add(int fd, const PeerAddress& peer) { return Add(fd, peer, /*over_cap=*/false); }
  // The same for a connection over the cap (Listener): an upgrade is answered 503, other requests
  // as always.
  Connection* AddToRefuse(int fd, const PeerAddress& peer) {
    return Add(fd, peer, /*over_cap=*/true);
  }

  // Calls `fn` for every open connection: OnOpen() was called and nobody has closed it.  `fn` may
  // close connections, but not destroy them.
  void ForEachOpen(absl::FunctionRef<void(Connection*)> fn);

  // Connections in any state; each holds a descriptor.
  size_t size() const { return connections_.size(); }
  const ConnectionCounters& counters() const { return counters_; }
  const ConnectionOptions& options() const { return options_; }

 private:
  friend class Connection;

  Connection* Add(int fd, const PeerAddress& peer, bool over_cap);
  void Bury(Connection* connection);  // destroyed at the end of the turn
  void DestroyBuried();

  const ConnectionOptions options_;
  EventLoop* const loop_;
  SendTable* const table_;
  ConnectionHost* const host_;
  const WsEngine::ContextPtr engine_context_;
  const FramePtr ping_;
  EventLoop::HookId hook_ = 0;
  std::vector<Connection*> connections_;
  std::vector<Connection*> dead_;
  ConnectionCounters counters_;
};

}  // namespace fanwire::fanout
