// Listener is a service's port: it accepts, at the pace and up to the number that it is given, and
// hands each connection on as a non-blocking descriptor.
//
// Several workers listen on one port by SO_REUSEPORT.  Out of descriptors, it gives up one that it
// keeps in reserve to accept and close what is waiting: clients learn at once, and the loop neither
// spins on a readable socket nor stops accepting for good.
//
// Threading: loop-confined.
// Ownership: owns the listening descriptor and the spare one; an accepted one goes to `accept`.
// Cost:      up to 64 accepts a turn.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "fanout/net/event_loop.h"
#include "fanout/net/socket.h"

namespace fanwire::fanout {

// The soft limit of open files (raised to the hard one, which needs no privilege) less `reserved`
// for everything that is not a client.  At least 1.
size_t MaxConnections(size_t reserved = 256);

struct ListenerOptions {
  std::string address = "127.0.0.1";  // IPv4 or IPv6 literal, or "localhost"; "::" takes both
  uint16_t port = 0;                  // 0: the kernel's choice, read back by port()
  int backlog = 4096;
  // Set on the listening socket; Linux gives them to each accepted one, at no cost per handshake.
  SocketOptions socket;
  // New connections a second, smoothed over a tenth of a second; those beyond wait in the backlog.
  // 0: no limit.
  double accepts_per_second = 0;
  // Connections of the whole process (SendTable::open_sockets()) from which on new ones are
  // accepted and closed at once.  See MaxConnections().
  size_t max_open = SIZE_MAX;
};

struct ListenerCounters {
  uint64_t accepted = 0;
  uint64_t refused_cap = 0;          // accepted and closed at once: max_open reached
  uint64_t refused_descriptors = 0;  // the same: out of descriptors
  uint64_t paced = 0;                // times that accepting was put off
  uint64_t errors = 0;               // accept() failed otherwise
};

class Listener {
 public:
  // Gets a connected, non-blocking, close-on-exec descriptor, which it owns.
  using AcceptFn = absl::AnyInvocable<void(int fd, const PeerAddress& peer)>;

  // Binds, listens and begins to accept.  `loop` and `sockets` outlive the listener.
  //   INVALID_ARGUMENT     no such address here
  //   ALREADY_EXISTS       the port is taken by another program
  //   PERMISSION_DENIED    a port below 1024
  static absl::StatusOr<std::unique_ptr<Listener>> Open(const ListenerOptions& options,
                                                        EventLoop* loop, const SendTable* sockets,
                                                        AcceptFn accept);
  virtual ~Listener() = default;  // as Close()

  // Other options for connections accepted from now on; the port stays open all the while.
  virtual void Update(double accepts_per_second, const SocketOptions& socket) = 0;

  // Stops accepting and closes the port; what waits in the backlog is reset by the kernel.
  virtual void Close() = 0;

  // Accepts what waits in the backlog, without pacing, and closes the port as soon as nothing
  // waits.  That may be before the call returns.
  virtual void Drain() = 0;

  // Whether the port is open.
  virtual bool open() const = 0;

  virtual uint16_t port() const = 0;
  virtual const ListenerCounters& counters() const = 0;
};

}  // namespace fanwire::fanout
