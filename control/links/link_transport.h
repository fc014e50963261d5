// LinkTransport writes the messages of one WorkerLink to the worker: the gRPC stream, or a test's
// fake.
//
// Threading: called from any thread, one call at a time.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace fanwire::control {

// A ControlMessage as it goes over the wire, in two pieces.
struct LinkMessage {
  std::string head = {};
  std::string body = {};
};

class LinkTransport {
 public:
  virtual ~LinkTransport() = default;

  // Starts writing, and calls WorkerLink::OnWriteDone() when the next write may follow.
  virtual void Write(LinkMessage message) = 0;
  // Ends the stream.  It is called once, never during a write, and is the last call.
  virtual void Finish(const absl::Status& status) = 0;
};

}  // namespace fanwire::control
