// LinkTransport writes the messages of one WorkerLink to the worker: the gRPC stream, or a test's
// fake.
//
// Threading: called from any thread, one call at a time.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace fanwire::control {

// The bytes of a ControlMessage, in two pieces that follow one another.
struct LinkMessage {
  std::string head = {};
  std::string body = {};
};

class LinkTransport {
 public:
  virtual ~LinkTransport() = default;

  // Starts a write.  Calls WorkerLink::OnWriteDone() when the next write may be started.
  virtual void Write(LinkMessage message) = 0;
  // Ends the stream.  This is the last call, and never made during a write.
  virtual void Finish(const absl::Status& status) = 0;
};

}  // namespace fanwire::control
