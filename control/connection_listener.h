// ConnectionListener accepts the connections of publishers, operators and workers and hands them to
// gRPC.  It replaces gRPC's own listener, which stops accepting for good when the process has once
// run out of descriptors.
//
// It holds a limited number of TCP connections and closes further ones at once.  When the process
// is out of descriptors, it uses one that it keeps in reserve to accept and close the connections
// that wait, so that clients notice and try again, and the thread does not spin.
//
// Threading: Listen…(), Start() and Stop() belong to one thread.  A thread of its own accepts and
//            calls `hand_over`.  The counts are safe from every thread.
// Ownership: owns the listening sockets.  An accepted descriptor belongs to `hand_over`, which may
//            close it without telling this object.
// Cost:      at the limit, one fstat() for each held connection, ten times a second at most.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/address.h"

namespace fanwire::control {

class ConnectionListener {
 public:
  // Gets a connected, non-blocking, close-on-exec descriptor.
  using HandOver = std::function<void(int fd)>;

  struct Counts {
    int64_t tcp_open = 0;             // at the last count
    int64_t refused_limit = 0;        // accepted and closed at once because of the limit
    int64_t refused_descriptors = 0;  // closed because the process was out of descriptors
  };

  // Holds at most `max_tcp` TCP connections at the same time.
  static std::unique_ptr<ConnectionListener> Make(size_t max_tcp, HandOver hand_over);

  virtual ~ConnectionListener() = default;  // Stop()

  // Listens on every address that the host name means and that is this machine's, and returns the
  // port.  A wildcard address means IPv6 and IPv4.  No other process can listen on the port at the
  // same time.
  //   UNAVAILABLE       the port of one address is taken, or no address is this machine's
  //   INVALID_ARGUMENT  the host name means no address
  virtual absl::StatusOr<uint16_t> ListenTcp(const Address& address) = 0;

  // Listens on a unix socket that this user and group may use.  A call after Start() replaces the
  // socket: somebody may have deleted its file.
  //   UNAVAILABLE  the file cannot be made
  virtual absl::Status ListenUnix(const std::string& path) = 0;

  // Starts to accept connections.
  virtual void Start() = 0;

  // Stops accepting, closes the sockets and removes the unix socket's file.
  virtual void Stop() = 0;

  virtual Counts counts() const = 0;
};

}  // namespace fanwire::control
