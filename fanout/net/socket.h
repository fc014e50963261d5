// Socket is one accepted, non-blocking TCP connection with its out queue; SendTable is the slice of
// all sockets that fan-out needs, kept contiguous by descriptor, so that a broadcast touches
// neither sessions nor connections.
//
// Frames are sent at once; what the kernel does not take is queued, by reference, and goes out when
// the descriptor is writable.  Bytes of two frames never mix, and nothing follows SendLast().
//
// Apart from SendTable::Send(), only Read() and WriteSome() move bytes from and to the descriptor.
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
#include "absl/time/time.h"
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
  // How many unsent bytes the kernel holds before the socket is no longer writable
  // (TCP_NOTSENT_LOWAT).  Keeps the cost of a dead reader under 30 kB, and lets the backlog policy
  // act within milliseconds.
  int notsent_lowat_bytes = 16 * 1024;
  // Bound of the kernel's send buffer (SO_SNDBUF), in bytes.  0 leaves it to the kernel.
  int send_buffer_bytes = 64 * 1024;
};

// Applies `options` to a TCP descriptor.  An option that the kernel refuses stays as it was: all of
// them only affect speed and memory.
void ConfigureSocket(int fd, const SocketOptions& options);

// The outcome of sending a frame.
enum class SendOutcome {
  kSent,    // the kernel has all of it
  kQueued,  // a part or all of it waits in the out queue
  kClosed,  // the connection is closing or broken; the frame will not be sent
};

// SendTable holds what the fan-out needs to know of each socket of a loop, by descriptor.
class SendTable {
 public:
  struct Slot {
    uint64_t bytes = 0;     // handed to the kernel since the socket was opened
    uint64_t messages = 0;  // application messages; one counts when its last byte was handed over
    bool direct = false;    // open, plain and without backlog: Send() may be used
  };

  // Whether a frame may go straight to `fd`, which is a socket's.
  bool direct(int fd) const { return slots_[static_cast<size_t>(fd)].direct; }

  // Hands `frame` to the kernel by one send().  direct(fd) must be true.  Returns the number of
  // bytes that the kernel took, or a negative errno.  Anything but the whole frame must be passed
  // to Connection::Continue(), which queues the rest or closes a broken connection.
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

  // Control frames that overtake queued frames.
  enum class Urgent { kPing, kPong };

  // Sends `frame` ahead of queued frames, but behind one that is partly sent.  It replaces the last
  // such frame of its kind if that is still unsent: a peer that sends pings and does not read must
  // not make the queue grow.
  SendOutcome SendUrgent(FramePtr frame, Urgent kind);

  // Sends or queues a last frame; all later ones are kClosed.
  SendOutcome SendLast(FramePtr frame);

  // Queues all frames until Flush(), so that they leave by one system call.
  void Hold();

  // Sends queued frames until the queue is empty or the kernel takes no more.
  //   kSent    the queue is empty
  //   kQueued  more is left
  //   kClosed  the connection is broken
  SendOutcome Flush();

  // Drops all queued frames but one that is partly sent.  Returns how many application messages
  // were dropped.
  uint64_t DropUnsent();

  // Reads available bytes into `buffer`.
  //   > 0  bytes read        0  the peer has finished sending        < 0  -errno (-EAGAIN: nothing)
  ssize_t Read(absl::Span<uint8_t> buffer);

  // Sends FIN, when the queue is empty, so that the peer reads all bytes before it sees the close.
  void ShutdownSend();

  // Breaks the connection: the descriptor becomes readable with an error or the end of the stream.
  void Break();

  // Allows or forbids SendTable::Send() on this socket while it has no backlog.
  void set_direct_allowed(bool allowed);

  // Bytes that the kernel has taken and the peer's has not acknowledged (SIOCOUTQ).
  size_t unacknowledged_bytes() const;
  // How long ago the peer's kernel acknowledged anything.  Zero where the kernel does not tell.
  absl::Duration since_acknowledgement() const;

  size_t queued_bytes() const;       // exact, without the bytes that the kernel holds
  uint64_t queued_messages() const;  // a message that is partly sent counts
  bool has_backlog() const { return queue_ != nullptr; }
  bool broken() const { return broken_; }

 private:
  struct Queue;

  enum class Write { kAll, kSome, kBroken };

  // One sendmsg() of the first frames in the queue; kSome if the kernel did not take all of them.
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
