// LinkTransport carries one link's messages: the gRPC stream, or a test's fake.
//
// Threading: the link calls it from any thread, one call at a time.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace fanwire::control {

// A ControlMessage as it goes over the wire, in two pieces.
struct LinkMessage {
  std::string head = {};
  std::string body = {};
};

// Where a link's messages go: the gRPC stream, or a test.
class LinkTransport {
 public:
  virtual ~LinkTransport() = default;

  // Starts writing; WorkerLink::OnWriteDone() is called when the next may follow.
  virtual void Write(LinkMessage message) = 0;
  // Ends the stream; called once, never during a write, and nothing is called afterwards.
  virtual void Finish(const absl::Status& status) = 0;
};

}  // namespace fanwire::control
