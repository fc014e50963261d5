// Publisher sends a service's events to Fanwire's control.
//
//   fanwire::client::Publisher publisher;
//   Status status = publisher.Publish({.service = "mahavishnu",
//                                      .channel = "workflow:wf_1",
//                                      .event = "workflow.started",
//                                      .json = R"({"workflow_id": "wf_1"})"});
//   …
//   status = publisher.Close(std::chrono::seconds(5));
//
// Publish() puts the event into a buffer and returns.  A thread of the publisher's own sends what
// is buffered over one stream, in order and in batches.  An event stays in the buffer until its
// receipt has come.  While control is away the buffer grows up to its limits.  After reconnecting,
// the publisher sends everything that has no receipt again, under the same numbers; control
// publishes each number only once.  A control that was killed has forgotten the numbers: then an
// event whose receipt was lost may be delivered twice, both times with the same id.
//
// Threading: safe from every thread.  Callbacks run on the publisher's thread, those of events that
//            Close() gives up on the thread that called it: return soon from them.  They must not
//            throw.  They may call Publish(), which never blocks there, but not Flush(), Close() or
//            the destructor.
// Cost:      Publish() copies the event once and takes one mutex.  It makes no system call but to
//            wake the publisher's thread when that is idle.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>

#include "fanwire/event.h"
#include "fanwire/publisher_options.h"
#include "fanwire/receipt.h"
#include "fanwire/status.h"

namespace fanwire::client {

using ReceiptCallback = std::function<void(const Receipt&)>;

// Events counted since the publisher was made, and what it holds now.
struct PublisherStats {
  uint64_t accepted = 0;  // duplicates included
  uint64_t duplicates = 0;
  uint64_t refused = 0;  // by control
  uint64_t dropped = 0;  // by WhenFull::kDropOldest, and those without a receipt at Close()
  uint64_t connections = 0;
  size_t buffered_events = 0;  // without a receipt
  size_t buffered_bytes = 0;
  bool connected = false;
  Status last_error = {};  // why the last connection ended, or could not be made
};

class Publisher {
 public:
  // Begins to connect.  A malformed target, or a file that cannot be read, makes every Publish()
  // fail with the reason.
  explicit Publisher(PublisherOptions options = {});
  // As Close(options.close_timeout).
  ~Publisher();
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

  // Buffers the event.  If control refuses it, the next Flush() or Close() tells.
  //   INVALID_ARGUMENT     it has both json and a typed payload, or is larger than the buffer
  //   RESOURCE_EXHAUSTED   the buffer is full: see options.when_full
  //   FAILED_PRECONDITION  the publisher is closed
  [[nodiscard]] Status Publish(const Event& event);
  // Buffers the event; `done` is called once with its receipt.  If an error is returned, `done` is
  // not called.
  [[nodiscard]] Status Publish(const Event& event, ReceiptCallback done);
  // The same with a future.  Errors of Publish() come as the receipt's status.
  std::future<Receipt> PublishWithFuture(const Event& event);

  // Waits until every event that was published before has its receipt and their callbacks have
  // returned.  Returns the first refusal, since the last Flush(), of an event without a callback.
  //   DEADLINE_EXCEEDED  `timeout` is over; the events stay in the buffer
  Status Flush(std::chrono::milliseconds timeout);

  // Takes no more events, flushes, and ends the stream.  What has no receipt after `timeout` gets
  // one with UNAVAILABLE: whether it was published is not known.  A second call returns OK.
  Status Close(std::chrono::milliseconds timeout);

  PublisherStats stats() const;

 private:
  class Core;
  const std::unique_ptr<Core> core_;
};

}  // namespace fanwire::client
