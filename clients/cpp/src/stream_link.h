// StreamLink keeps one bidirectional gRPC stream to control open: it connects, sends a first
// message, hands on what comes, writes what its handler has, one message at a time, and reconnects
// with backoff when the stream ends.
//
// Threading: one thread of its own runs gRPC and all functions of the handler.  Wake() is safe from
//            every thread; Start() and Stop() are called by one other thread at a time.
// Ownership: borrows the handler until Stop() has returned.
// Cost:      a message's pieces are sent without being copied.  Wake() takes a mutex, and makes a
//            system call unless the thread has been woken already.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "clients/cpp/src/send_buffer.h"
#include "fanwire/status.h"

namespace grpc {
class Channel;
}

namespace fanwire::client {

// A message: `head`, then the pieces.  Whoever takes the message owns the pieces' references.
struct OutMessage {
  std::string head;
  std::vector<Piece> pieces;
};

class StreamHandler {
 public:
  virtual ~StreamHandler() = default;

  // Makes the first message of a stream.
  virtual void MakeHello(OutMessage* message) = 0;
  // A message came.  An error ends the stream.
  virtual Status OnMessage(std::string_view message) = 0;
  // Makes the next message; false if there is none now: then Wake() says that there is.  Is asked
  // after each message that came and each that was written.
  virtual bool MakeMessage(OutMessage* message) = 0;
  // Wake() was called.
  virtual void OnWake() = 0;
  // The stream ended, or could not be opened, for this reason.
  virtual void OnEnd(const Status& status) = 0;
};

class StreamLink {
 public:
  struct Options {
    std::shared_ptr<grpc::Channel> channel = {};
    std::string address = {};  // for messages
    std::string method = {};   // "/fanwire.v1.Publisher/PublishStream"
    std::string token = {};
    std::chrono::milliseconds reconnect_first{50};
    std::chrono::milliseconds reconnect_last{5'000};
    // How long the first answer may take.
    std::chrono::milliseconds greeting_timeout{10'000};
  };

  StreamLink(Options options, StreamHandler* handler);
  // If it was started, Stop() must have returned.
  ~StreamLink();
  StreamLink(const StreamLink&) = delete;
  StreamLink& operator=(const StreamLink&) = delete;

  // Starts the thread, which connects.
  void Start();

  // Makes the thread ask for a message.  Does nothing after Stop().
  void Wake();

  // Ends the stream and the thread.  Waits up to `grace` for control to end it as well.
  void Stop(std::chrono::milliseconds grace);

  // Whether the caller is the link's thread.
  bool OnThread() const;

  // For the handler, in its functions:
  // The welcome has come: the stream is open.
  void SetOpen();
  // Control does its work on this stream: the next wait before a reconnect is short again.
  void ResetBackoff();
  // Sends nothing more on this stream; it ends when control ends it.
  void FinishWriting();
  // Does not reconnect when this stream has ended.
  void SetLast();

 private:
  class Loop;
  const std::unique_ptr<Loop> loop_;
};

}  // namespace fanwire::client
