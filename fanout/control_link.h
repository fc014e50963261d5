// ControlLink keeps this worker attached to control: dials, says Hello, notices silence, dials
// again with backoff.
//
// What control sends is taken apart on a thread of its own, frames included, and handed to the loop
// through one queue with one wake-up; what the loop sends in a turn leaves as one message at its
// end.
//
// Threading: the public functions belong to the loop; the handler is called there.
// Ownership: borrows loop and handler.
// Cost:      one mutex per message each way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "fanout/batch_reader.h"
#include "fanout/net/event_loop.h"

namespace fanwire::v1 {
class ControlMessage;
class Hello;
class WorkerItem;
}  // namespace fanwire::v1

namespace fanwire::fanout {

class ControlLinkHandler {
 public:
  virtual ~ControlLinkHandler() = default;

  // Fills what the worker says of itself.
  virtual void FillHello(v1::Hello* hello) = 0;
  // The first message of an attachment was `welcome`; anything may be sent from now on.
  virtual void OnAttached(const v1::ControlMessage& welcome) = 0;
  virtual void OnItem(LinkItem&& item) = 0;
  // Any message that is no batch.
  virtual void OnControlMessage(const v1::ControlMessage& message) = 0;
  // All that had come was handed over.
  virtual void OnTurn() = 0;
  virtual void OnDetached(const absl::Status& status) = 0;
  // A later process has taken this worker's place: it must end.
  virtual void OnFenced(const absl::Status& status) = 0;
};

class ControlLink {
 public:
  struct Options {
    std::string address;  // as gRPC takes it: "unix:/run/…/control.sock", "127.0.0.1:8701"
    absl::Duration first_retry = absl::Milliseconds(50);
    absl::Duration last_retry = absl::Seconds(2);
    // What may wait to be written, beside what an attachment begins with.
    size_t max_queued_bytes = 256 << 20;
  };

  static std::unique_ptr<ControlLink> Make(const Options& options, EventLoop* loop,
                                           ControlLinkHandler* handler);
  // Ends the attachment and waits until gRPC is done with it.  The loop must not run any more.
  virtual ~ControlLink() = default;

  virtual void Start() = 0;
  // Ends the attachment for good, after what was sent has left or `timeout` has passed; `done` is
  // called on the loop.
  virtual void Stop(absl::Duration timeout, absl::AnyInvocable<void()> done) = 0;

  virtual bool attached() const = 0;

  // Queues an item; it leaves at the end of the turn.  Dropped while not attached: what must not be
  // lost is told again after OnAttached().  So it is when control does not read and more than
  // max_queued_bytes wait: the attachment ends then, and begins anew.  What OnAttached() sends, and
  // interest, which control asks for as a whole, do not count.
  virtual void Send(std::unique_ptr<v1::WorkerItem> item) = 0;

  // How often control says something, by its Welcome.
  virtual void SetHeartbeatInterval(absl::Duration interval) = 0;
};

}  // namespace fanwire::fanout
