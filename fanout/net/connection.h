// Connection is one client from accept to close: a Socket, a WsEngine, the close handshake and the
// keepalive.  What it says to the application goes to a ConnectionHandler (the session); which
// handler, and what plain HTTP requests get, decides the ConnectionHost of its group.
//
// Life: handshake (10 s) -> open (pinged every 20 s when silent) -> closing (own close frame sent,
// peer's awaited for 10 s) -> lingering (FIN sent, input thrown away, 2 s, so that the peer reads
// the close frame before the descriptor goes) -> destroyed by its group at the end of a turn.
//
// Keepalive: a peer is alive if it sends, or if it is behind and its TCP acknowledges more: a slow
// reader answers a ping only when it has read what came before.  What the own kernel takes is no
// sign of life.  The last two times of Life are as long again while the peer makes progress with
// what it has not read yet, 60 s in all.
//
// Input: the messages of one read are handled one after the other, until the loop's slice is over
// or reading is paused.  The rest of the read is held, and comes first when reading goes on.
// Reading pauses for a client that pings faster than its limit, until it is within it again.
// What a peer sent before it finished sending is handled after the pause; a connection that is
// broken ends at once.
//
// How a session with a backlog policy should use it: offer while !has_backlog(); once an Offer() is
// kQueued keep further events in the session's own backlog, and on OnDrained() offer the next batch
// (OfferAll(), about 64 KiB).  So at most one batch is out of the policy's reach, and skip notices
// are made when they are due.
//
// Threading: loop-confined.
// Ownership: its ConnectionGroup owns it; the pointer is valid from OnUpgrade() to the end of
//            OnClosed().  It borrows its handler, which must live from OnUpgrade() until
//            OnClosed().
// Reentry:   sending and closing never call the handler back at once, so both are safe while
//            iterating over sessions; OnDrained() and OnClosed() come on a later turn.
// Cost:      184 bytes, one allocation; nothing more while it is idle.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/token_bucket.h"
#include "fanout/net/event_loop.h"
#include "fanout/net/frame.h"
#include "fanout/net/http_request.h"
#include "fanout/net/socket.h"
#include "fanout/net/ws_engine.h"
#include "proto/close_code.h"

namespace fanwire::fanout {

class Connection;
class ConnectionGroup;

// How a connection ended.
struct CloseInfo {
  uint16_t code = 1006;  // on the wire; 1005 peer's close without a code, 1006 no close frame
  std::string reason;
  bool by_peer = false;          // the peer closed, or went away, first
  uint64_t unsent_messages = 0;  // offered, kQueued, and never wholly handed to the kernel
};

// The application's end of an open connection.
class ConnectionHandler {
 public:
  // The 101 response is on its way; frames may be sent.
  virtual void OnOpen() = 0;

  // A whole message; `payload` lasts for the call.
  virtual void OnText(absl::string_view payload) = 0;
  virtual void OnBinary(absl::string_view payload) = 0;

  // All that was offered is with the kernel, but for what Close() has dropped; after an offer had
  // been kQueued.
  virtual void OnDrained() = 0;

  // The last call, exactly once: the connection takes no more frames, and its pointer is void
  // afterwards.  After Close() it comes when the peer has answered or the close timeout has passed.
  virtual void OnClosed(const CloseInfo& info) = 0;

 protected:
  ~ConnectionHandler() = default;
};

// The application behind a listening port.
class ConnectionHost {
 public:
  // A client asks for a WebSocket by a valid request.  Returns its handler, or null after filling
  // `refusal` (403, 503 …; a status below 300 is sent as 503).  `connection` takes frames only from
  // OnOpen() on, which follows at once.
  virtual ConnectionHandler* OnUpgrade(Connection* connection, const HttpRequest& request,
                                       HttpResponse* refusal) = 0;

  // A plain GET or HEAD request.  Returns whether `response` was filled; if not, the client gets
  // 426 Upgrade Required.  OPTIONS gets 200, and other methods 405, without asking.
  virtual bool OnHttpRequest(const HttpRequest& request, HttpResponse* response) = 0;

 protected:
  ~ConnectionHost() = default;
};

class Connection final : public Watcher, public Deadline {
 public:
  // What happens to frames still in the out queue when a connection closes.
  enum class Backlog {
    kSend,  // they go out before the close frame, as far as the close timeout lets them
    kDrop,  // they are forgotten, but for one that is partly out; for slow subscribers
  };

  // Sends one text message, a reply.
  SendOutcome SendText(absl::string_view payload) { return Offer(Frame::Text(payload)); }

  // Sends `frame`, shared with other connections.
  SendOutcome Offer(FramePtr frame);

  // Sends all of `frames`, in order, by one system call if the kernel takes them.
  SendOutcome OfferAll(absl::Span<const FramePtr> frames);

  // Takes over after SendTable::Send(fd(), *frame) returned `taken`, which was not all.
  SendOutcome Continue(FramePtr frame, ssize_t taken);

  // Begins the close handshake.  `code` is sendable (proto/close_code.h), `reason` UTF-8, cut at
  // 123 bytes.  A second call is ignored.
  void Close(CloseCode code, absl::string_view reason, Backlog backlog = Backlog::kSend);

  // Cuts the connection without a close frame; OnClosed(1006) follows on a later turn.
  void Abort();

  // Handles nothing more from the client for `delay`, or until a longer pause ends that was begun
  // before.  May be called while a message is handled.
  void PauseReading(absl::Duration delay);
  // Ends all pauses; reading goes on in a later turn.
  void ResumeReading();
  bool reading_paused() const { return held_ != nullptr && held_->resume != 0; }

  // While not allowed, fan-out does not use SendTable::Send() but asks the session.
  void AllowDirect(bool allowed) { socket_.set_direct_allowed(allowed && state_ == State::kOpen); }

  // The descriptor, for fan-out's SendTable.
  int fd() const { return socket_.fd(); }

  bool open() const { return state_ == State::kOpen; }
  bool has_backlog() const { return socket_.has_backlog(); }
  size_t queued_bytes() const { return socket_.queued_bytes(); }
  uint64_t queued_messages() const { return socket_.queued_messages(); }

  const PeerAddress& peer() const { return peer_; }

  // Totals since accept.  Received counts application messages; bytes are those on the wire.
  uint64_t bytes_sent() const;
  uint64_t messages_sent() const;
  uint64_t bytes_received() const { return bytes_received_; }
  // Bytes received and those that wait in the kernel to be read.  Costs a system call.
  uint64_t bytes_arrived() const;
  // Memory that input takes which is held.
  size_t held_bytes() const { return held_ == nullptr ? 0 : held_->bytes.capacity(); }
  uint64_t messages_received() const { return messages_received_; }

 private:
  friend class ConnectionGroup;
  enum class State : uint8_t { kHandshake, kOpen, kClosing, kLingering, kDead };

  // Input that is held, and a pause of reading.
  struct Held {
    std::string bytes;
    size_t handled = 0;             // bytes at the front that are done
    EventLoop::TimerId resume = 0;  // ends the pause; 0: there is none
    absl::Duration until;           // when `resume` is due
    bool ended = false;    // the peer has finished sending; what is unread comes after the pause
    uint64_t arrived = 0;  // bytes_arrived() at the last look of the keepalive timer
  };

  Connection(ConnectionGroup* group, int fd, const PeerAddress& peer, bool over_cap);
  ~Connection() = default;

  void OnReady(uint32_t ready) override;
  void OnDeadline() override;

  void ReadSome();
  void Flush();
  absl::Duration last_heard() const { return absl::Nanoseconds(last_heard_ns_); }
  void Heard(absl::Duration at) { last_heard_ns_ = absl::ToInt64Nanoseconds(at); }
  // Handles input until it is used up, reading is paused, or the slice is over.  Leaves the rest in
  // `input`.
  void Consume(absl::Span<uint8_t>* input);
  // Keeps the rest of a read.
  void Hold(absl::Span<const uint8_t> rest);
  // Handles what is held.  Returns whether nothing of it is left and reading may go on.
  bool ConsumeHeld();
  // Counts a ping or pong of the client against its limit.
  void CountPing();
  // Whether something has come from the client during the pause, or may be unread in the kernel.
  bool HeardWhilePaused();
  // The peer has finished sending during a pause: what it has sent is read after the pause.
  void HandleEndWhilePaused();
  void UpdateInterest();
  void SendPong(FramePtr pong);
  void HandleHandshake(const WsEvent& event);
  void HandleMessage(const WsEvent& event);
  void HandleUpgrade(const HttpRequest& request);
  void HandleRequest(const HttpRequest& request);
  void Respond(const HttpResponse& response, bool head_only);
  void HandlePeerClose(uint16_t code, absl::string_view reason);
  void HandleEnd();

  // Closes because of what the peer did, or did not do: the close frame, then Linger().
  void Fail(CloseCode code, absl::string_view reason);
  // Looks at what the peer's TCP has acknowledged.  Returns the time of the last acknowledgement if
  // there were any since the last look and the peer is, or was then, behind; else nothing.
  std::optional<absl::Duration> Acknowledged();
  // Whether to wait for `timeout` again until what is under way to the peer is out.
  bool WaitsAgain(absl::Duration timeout);
  void CheckKeepalive();
  void ArmPing(absl::Duration delay);

  // Tells the handler; then waits, for a bounded time, until the queue is out and the peer has seen
  // our FIN and sent its own, throwing away what it sends meanwhile.
  void Linger(CloseInfo info);
  // Tells the handler, and has the group destroy this at the end of the turn.
  void Die(CloseInfo info);
  void TellClosed(CloseInfo info);
  void SendFinWhenDrained();

  void DropUnsent() { dropped_ += static_cast<uint32_t>(socket_.DropUnsent()); }
  SendOutcome WatchIfQueued(SendOutcome outcome);

  ConnectionGroup* const group_;
  ConnectionHandler* handler_ = nullptr;
  Socket socket_;
  WsEngine engine_;
  std::unique_ptr<Held> held_;  // null: nothing is held, and reading is not paused
  uint64_t bytes_received_ = 0;
  uint64_t messages_received_ = 0;
  int64_t last_heard_ns_;  // an absl::Duration takes twice the bytes
  // And pongs, that the client may send.  The next member fits in its last bytes.
  [[no_unique_address]] TokenBucket<float> pings_;
  uint32_t acknowledged_ = 0;  // bytes at the last look, modulo 2^32: only changes matter
  uint32_t dropped_ = 0;       // messages forgotten when closing
  uint32_t index_ = 0;         // in group_->connections_
  uint16_t waits_ = 0;         // times that WaitsAgain() said so
  uint16_t sent_code_ = 1006;  // of our close frame
  PeerAddress peer_;
  State state_ = State::kHandshake;
  bool awaiting_pong_ : 1 = false;
  bool behind_ : 1 = false;  // at the last look
  bool watching_writes_ : 1 = false;
  bool fin_sent_ : 1 = false;
  bool aborted_ : 1 = false;
  const bool over_cap_ : 1;  // upgrades are refused: the process has no descriptor left for it
};

}  // namespace fanwire::fanout
