// Socket is one accepted, non-blocking TCP connection with its out queue; SendTable is the slice of
// all sockets that fan-out needs, kept contiguous by descriptor, so that a broadcast touches
// neither sessions nor connections.
//
// Frames are sent at once; what the kernel does not take is queued, by reference, and goes out when
// the descriptor is writable.  Bytes of two frames never mix, and nothing follows SendLast().
//
// A TLS session (a later issue) will sit in Read() and WriteSome(), the only places where bytes
// meet the descriptor; such a socket never sets `direct` in its SendTable slot, so the plain
// fan-out path has no branch and no virtual call for it.
//
// Threading: loop-confined.
// Ownership: owns the descriptor; shares frames; borrows the SendTable, which outlives it.
// Cost:      32 bytes here and 24 in the table; an out queue exists only while there is a backlog.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "fanout/net/frame.h"

struct sockaddr;

namespace fanwire::fanout {

// The other end of a connection: 16 bytes of address, IPv4 as ::ffff:a.b.c.d, and a port.
struct PeerAddress {
  uint8_t bytes[16] = {};
  uint16_t port = 0;

  static PeerAddress From(const sockaddr* address);

  // "192.0.2.7" or "2001:db8::1"; without the port.
  std::string Host() const;
  // "192.0.2.7:51234" or "[2001:db8::1]:51234".
  std::string ToString() const;
};

struct SocketOptions {
  bool no_delay = true;  // TCP_NODELAY: a frame leaves at once
  // How much unsent data the kernel takes before it says "not now" (TCP_NOTSENT_LOWAT), in bytes.
  // Keeps a dead reader's cost under 30 kB, and lets the slow policy act in milliseconds.
  int notsent_lowat_bytes = 16 * 1024;
  // Bound of the kernel's send buffer (SO_SNDBUF), in bytes.  0 leaves it to the kernel.
  int send_buffer_bytes = 64 * 1024;
};

// Applies `options` to a TCP descriptor; an option that the kernel refuses is left as it was, for
// none of them is needed to be correct.
void ConfigureSocket(int fd, const SocketOptions& options);

// What became of a frame.
enum class SendOutcome {
  kSent,    // the kernel has all of it
  kQueued,  // some or all waits in the out queue
  kClosed,  // the connection is closing or broken; the frame is not, and will not be, sent
};

// What fan-out needs of every socket of a loop, by descriptor.
class SendTable {
 public:
  struct Slot {
    uint64_t bytes = 0;     // handed to the kernel since the socket was opened
    uint64_t messages = 0;  // the same in application messages; one counts with its last byte
    bool direct = false;    // open, plain and without backlog: Send() may be used
  };

  // Whether a frame may go straight to `fd`, which is a socket's.
  bool direct(int fd) const { return slots_[static_cast<size_t>(fd)].direct; }

  // Hands `frame` to the kernel by one send().  Needs direct(fd).  Returns the bytes taken: all of
  // them means done; less, or a negative errno, must be given to Connection::Continue(), which
  // queues the rest or finds the connection broken.
  ssize_t Send(int fd, const Frame& frame);

  // Makes a fresh slot for `fd`; Close() ends its use.  Socket calls both.
  void Open(int fd);
  void Close(int fd);

  // Sockets of this loop, in any state.
  size_t open_sockets() const { return open_sockets_; }

  Slot& slot(int fd) { return slots_[static_cast<size_t>(fd)]; }
  const Slot& slot(int fd) const { return slots_[static_cast<size_t>(fd)]; }

 private:
  std::vector<Slot> slots_;
  size_t open_sockets_ = 0;
};

class Socket {
 public:
  // Takes over `fd`, which is connected and non-blocking.
  Socket(int fd, SendTable* table);
  ~Socket();  // closes the descriptor; with bytes unread the peer gets a reset
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  int fd() const { return fd_; }

  // Sends `frame`, or queues it behind what is queued.
  SendOutcome Send(FramePtr frame);

  // The same for several frames by one system call.
  SendOutcome SendAll(absl::Span<const FramePtr> frames);

  // Takes over `frame` after SendTable::Send() returned `taken` (fewer bytes than all, or -errno).
  SendOutcome Continue(FramePtr frame, ssize_t taken);

  // Sends `frame` ahead of queued frames, behind the one that is partly out, in place of the frame
  // that the last such call left in the queue, if that is still unsent.  For pongs: a peer that
  // pings and does not read must not make the queue grow.
  SendOutcome SendUrgent(FramePtr frame);

  // Sends or queues a last frame; all later ones are kClosed.
  SendOutcome SendLast(FramePtr frame);

  // Queues what is sent from now on until Flush(), so that it leaves by one system call.
  void Hold();

  // Sends what is queued until done or the kernel says "not now".
  //   kSent    the queue is empty
  //   kQueued  more is left
  //   kClosed  the connection is broken
  SendOutcome Flush();

  // Forgets all queued frames but the one that is partly out.  Returns how many application
  // messages that were.
  uint64_t DropUnsent();

  // Reads what is there into `buffer`.
  //   > 0  bytes read        0  the peer has finished sending        < 0  -errno (-EAGAIN: nothing)
  ssize_t Read(absl::Span<uint8_t> buffer);

  // Sends FIN (after an empty queue), so that the peer reads all that was sent before the close.
  void ShutdownSend();

  // Breaks the connection: the descriptor becomes readable with an error or the end of the stream.
  void Break();

  // Allows or forbids SendTable::Send() on this socket while it has no backlog.
  void set_direct_allowed(bool allowed);

  size_t queued_bytes() const;       // exact; what the kernel holds is not counted
  uint64_t queued_messages() const;  // one partly out counts
  bool has_backlog() const { return queue_ != nullptr; }
  bool broken() const { return broken_; }

 private:
  struct Queue;

  enum class Write { kAll, kSome, kBroken };

  // One sendmsg() of the queue's first frames; kSome if the kernel did not take all of those.
  Write WriteSome();
  void MarkSent(size_t sent);
  void UpdateDirect();

  SendTable* const table_;
  std::unique_ptr<Queue> queue_;  // null without backlog
  const int fd_;
  bool last_sent_ = false;
  bool broken_ = false;
  bool direct_allowed_ = false;
};

}  // namespace fanwire::fanout
