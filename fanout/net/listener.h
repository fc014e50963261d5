// Listener is a service's port: it accepts, at the pace and up to the number that it is given, and
// hands each connection on as a non-blocking descriptor.
//
// Several workers listen on one port by SO_REUSEPORT.
//
// Beyond the cap of connections it still accepts, so that clients learn at once why they are
// refused.  The first of them go to `refuse`, which reads their request and answers 503; with more
// than that at a time the 503 is sent without a look at the request.  Out of descriptors, it gives
// up one that it keeps in reserve to accept and answer what is waiting.  So the loop neither spins
// on a readable socket nor stops accepting for good.
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

// Raises the limit of open files as far as possible (common/file_limit.h) and returns it less
// `reserved` for everything that is not a client.  At least 1.
size_t MaxConnections(size_t reserved = 256);

// What a client is told that the worker has no descriptor for.
inline constexpr char kNoConnectionsLeft[] =
    "this worker holds as many connections as its limit of open files allows: try again later, or "
    "raise the limit (ulimit -n, LimitNOFILE)\n";

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
  // refused.  See MaxConnections().
  size_t max_open = SIZE_MAX;
};

struct ListenerCounters {
  uint64_t accepted = 0;
  uint64_t refused_cap = 0;          // max_open was reached
  uint64_t refused_descriptors = 0;  // out of descriptors
  uint64_t paced = 0;                // times that accepting was put off
  uint64_t errors = 0;               // accept() failed otherwise
};

class Listener {
 public:
  // Gets a connected, non-blocking, close-on-exec descriptor, which it owns.
  using AcceptFn = absl::AnyInvocable<void(int fd, const PeerAddress& peer)>;
  // Connections over the cap that `refuse` may hold at a time.  They come out of the reserve.
  static constexpr size_t kMaxRefusing = 64;

  // Binds, listens and begins to accept.  `loop` and `sockets` outlive the listener.  `refuse` gets
  // the connections over the cap; without it they are answered 503 and closed at once.
  //   INVALID_ARGUMENT     no such address here
  //   ALREADY_EXISTS       the port is taken by another program
  //   PERMISSION_DENIED    a port below 1024
  static absl::StatusOr<std::unique_ptr<Listener>> Open(const ListenerOptions& options,
                                                        EventLoop* loop, const SendTable* sockets,
                                                        AcceptFn accept, AcceptFn refuse = {});
  virtual ~Listener() = default;  // as Close()

  // Other options for connections accepted from now on; the port stays open all the while.
  virtual void Update(double accepts_per_second, const SocketOptions& socket) = 0;

  // Stops accepting and closes the port; what waits in the backlog is reset by the kernel.
  virtual void Close() = 0;

  // Accepts what waits in the backlog, without pacing, and closes the port as soon as nothing
  // waits or `at_most` is over: clients may come faster than they are accepted.  That may be
  // before the call returns.
  virtual void Drain(absl::Duration at_most) = 0;

  // Whether the port is open.
  virtual bool open() const = 0;

  virtual uint16_t port() const = 0;
  virtual const ListenerCounters& counters() const = 0;
};

}  // namespace fanwire::fanout
