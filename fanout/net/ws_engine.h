// WsEngine turns the bytes of one connection into requests and messages: the HTTP upgrade, then
// WebSocket frames (RFC 6455).  websocketpp's hybi13 processor does the protocol; ws_engine.cc is
// the only file that includes it, and guards against what version 0.8.2 gets wrong (see there).
//
// Next() returns one event at a time, so that the caller can close between two messages of one
// read. After kReject, kClose or kFail there are no more events.
//
// Threading: loop-confined, with its Context.
// Ownership: an engine borrows its Context.  The views of an event are valid until Next() is called
//            for any engine of that Context.
// Cost:      24 bytes between messages.  A connection has a frame parser of its own (170 bytes and
//            the payload so far) only while a message is incomplete; all others share one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "fanout/net/http_request.h"
#include "proto/close_code.h"

namespace fanwire::fanout {

struct WsEvent {
  enum class Kind {
    kNeedMore,  // all input is consumed
    kUpgrade,   // a valid upgrade request: AcceptUpgrade() or drop the connection
    kRequest,   // any other HTTP request: answer and close
    kReject,    // a bad request: answer with `error` and close
    kText,      // a whole message, UTF-8
    kBinary,    // a whole message
    kPing,      // answer with a pong that has the same `payload`
    kPong,
    kClose,  // the peer's close frame: `code` (1005 if it had none) and `payload`, its reason
    kFail,   // the peer broke the protocol: close with `code` and the reason in `payload`
  };
  Kind kind = Kind::kNeedMore;
  absl::string_view payload;
  uint16_t code = 0;
  const HttpRequest* request = nullptr;  // of kUpgrade and kRequest
  HttpError error;                       // of kReject
};

class WsEngine {
 public:
  struct Limits {
    size_t max_message_bytes = size_t{1024} * 1024;               // over it: kFail 1009
    HttpHeadLimits head;                                          // over it: kReject 431
    std::vector<std::string> subprotocols = {"fanwire.v1.json"};  // in order of preference
  };

  // State that all engines of one loop share.
  class Context;
  struct ContextDeleter {
    void operator()(Context* context) const;
  };
  using ContextPtr = std::unique_ptr<Context, ContextDeleter>;
  static ContextPtr MakeContext(const Limits& limits);

  // `context` outlives the engine.
  explicit WsEngine(Context* context);
  ~WsEngine();
  WsEngine(const WsEngine&) = delete;
  WsEngine& operator=(const WsEngine&) = delete;

  // Consumes bytes from the front of `input`, which it unmasks in place, until there is an event.
  WsEvent Next(absl::Span<uint8_t>* input);

  // Returns the 101 response to the request of the kUpgrade event that Next() has just returned,
  // with the first of Limits::subprotocols that the client offers in the same case.  Frames follow.
  std::string AcceptUpgrade(const HttpRequest& request);

  // Whether a message or request is incomplete.
  bool mid_message() const { return partial_ != nullptr; }

 private:
  struct Partial;
  enum class Phase : uint8_t { kHead, kAwaitAccept, kFrames, kDone };

  WsEvent NextRequest(absl::Span<uint8_t>* input);
  WsEvent NextFrame(absl::Span<uint8_t>* input);
  WsEvent MessageEvent();
  WsEvent CloseEvent(const std::string& payload);
  WsEvent Reject(int status, absl::string_view reason);

  Context* const context_;
  std::unique_ptr<Partial> partial_;
  uint32_t ignored_bytes_ = 0;  // empty lines before the request line
  Phase phase_ = Phase::kHead;
};

}  // namespace fanwire::fanout
