// Upstream carries what a session asks of control over the worker's one stream.
//
// Threading: loop-confined.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "fanout/channel.h"
#include "fanout/net/frame.h"

namespace fanwire::fanout {

class Service;
class Session;

// A subscribe, or a further page of its recovery.
struct SubscribeAsk {
  Channel* channel = nullptr;  // one of the two
  PatternTable* pattern = nullptr;
  bool recover = false;
  std::string epoch;
  int64_t offset = 0;
  uint64_t page_bytes = 0;  // 0: control's default
  // The status request whose answer is to come with the subscribe's, and its data; empty: none.
  std::string state_request = {};
  std::string state_data = {};
};

struct RecoveredEvent {
  int64_t offset = 0;
  FramePtr frame;  // null: it has expired
  uint32_t event = 0;
  std::string exclude_connection;
};

// The answer to a client's request, or the state that a subscribe asked for.
struct RequestReply {
  std::string data;        // a JSON object
  std::string error_code;  // set: an error instead
  std::string error_message;
};

// Control's answer to a SubscribeAsk.
struct SubscribeReply {
  std::string error_code;  // of the client protocol; empty: it is granted
  std::string error_message;
  std::string epoch;  // head; empty: no position
  int64_t offset = 0;
  bool recovered = false;
  std::string reason;
  int64_t recover_count = 0;
  std::vector<RecoveredEvent> events;
  bool last_page = true;
  int64_t next_offset = 0;            // not last: go on after it
  bool state_follows = false;         // Session::OnStateReply() follows, with the same number
  std::optional<RequestReply> state;  // or it has come already
};

// An event that a client publishes; its data is the request's.
struct PublishAsk {
  std::string channel = {};
  std::string event = {};
  std::vector<std::string> copies = {};  // further channels
  bool skip_history = false;
  bool exclude_publisher = false;  // the session itself does not get it
};

// A client's request that control or a responder answers.
struct RequestAsk {
  absl::string_view request;
  absl::string_view data;  // a JSON object
  bool served = false;     // a responder may answer it
  // served: when the client is told that there is no answer
  absl::Duration deadline = absl::InfiniteDuration();
  const PublishAsk* publish = nullptr;  // set: the request is "publish"
};

class Upstream {
 public:
  virtual ~Upstream() = default;

  // A subscription to the channel or pattern, or an unfinished subscribe, begins or ends.  Control
  // hears of the first and of the last one.  May destroy the channel or table.
  virtual void Want(Channel* channel) = 0;
  virtual void Unwant(Channel* channel) = 0;
  virtual void Want(PatternTable* table) = 0;
  virtual void Unwant(PatternTable* table) = 0;

  // Asks control and returns the number of the question.  The answer comes as
  // Session::OnSubscribeReply() with this number, after this call has returned, as soon as control
  // is attached; after Forget() it does not come.  If it has `state_follows`, the state comes after
  // it; if control is lost before that, the state's answer is UNAVAILABLE.
  virtual uint64_t Ask(Session* session, const SubscribeAsk& ask) = 0;
  // Sends a client's request; the answer comes as Session::OnRequestReply().  A request that a
  // responder may answer, and a publication, is sent once: if control is lost meanwhile, the answer
  // is UNAVAILABLE.  Requests are sent in the order of the calls.
  virtual uint64_t Request(Session* session, const RequestAsk& ask) = 0;
  // Drops the question: no answer will come.  A responder is told to stop.
  virtual void Forget(uint64_t ask) = 0;

  // The session needs one of its service's slots and none is free: Session::OnSlot() is called when
  // it has got one.
  virtual void WaitForSlot(Session* session) = 0;
  virtual void StopWaiting(Session* session) = 0;
  // A slot was taken or given back.
  virtual void SlotsChanged(Service* service) = 0;
};

}  // namespace fanwire::fanout
