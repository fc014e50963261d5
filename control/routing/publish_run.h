// PublishRun publishes one event, or several events of one caller in order.  All of them are
// published under one configuration, and each worker's writer is woken once, not once an event.
//
//   const std::unique_ptr<PublishRun> run = router->MakeRun();
//   run->Publish(event, {.level = ReceiptLevel::kRouted}, &sink, 0);
//
// Threading: confined to one thread at a time.
// Ownership: borrows the router that made it.
// Cost:      see Router; a run itself is one allocation.
#pragma once

#include <cstdint>

#include "control/events/event.h"

namespace fanwire::control {

class PublishRun {
 public:
  // Calls Flush().
  virtual ~PublishRun() = default;

  // Publishes `event` and gives `sink` the outcome, with `tag`:
  //   INVALID_ARGUMENT    bad channel or event name, `data` that is not a JSON object or is too
  //                       long, or an event that the catalog does not allow
  //   NOT_FOUND           no such service
  //   RESOURCE_EXHAUSTED  the service has `max_channels` channels
  //   ALREADY_EXISTS      its idempotency key belongs to another event
  //   UNAVAILABLE         control is stopping, or the engine cannot take it
  virtual void Publish(const Event& event, const PublishParams& params, ReceiptSink* sink,
                       uint64_t tag) = 0;

  // Refuses an event that cannot be handed to Publish(): counts the refusal and gives `sink` the
  // outcome.  Of `event` only the id and the service matter.
  virtual void Refuse(const Event& event, const absl::Status& status, ReceiptSink* sink,
                      uint64_t tag) = 0;

  // Counts a repeated event, which the caller answers with the earlier event's receipt.
  virtual void CountDuplicate(const Event& event) = 0;

  // Wakes the writers of the workers for which something was queued so far.
  virtual void Flush() = 0;
};

}  // namespace fanwire::control
