// PublishRun publishes one event, or several events of one caller in their order.  It looks the
// configuration up once and wakes each worker's writer once.
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
  // Flushes.
  virtual ~PublishRun() = default;

  // Publishes `event` and gives `sink` the outcome, with `tag`:
  //   INVALID_ARGUMENT    bad channel or event name, data that is no JSON object or too long, or
  //                       what the catalog does not allow
  //   NOT_FOUND           no such service
  //   RESOURCE_EXHAUSTED  the service's channels are at their limit
  //   ALREADY_EXISTS      its idempotency key belongs to another event
  //   UNAVAILABLE         control is stopping, or the engine cannot take it
  virtual void Publish(const Event& event, const PublishParams& params, ReceiptSink* sink,
                       uint64_t tag) = 0;

  // Refuses an event that cannot be handed to Publish(): counts the refusal and gives `sink` the
  // outcome.  Of `event` only the id and the service matter.
  virtual void Refuse(const Event& event, const absl::Status& status, ReceiptSink* sink,
                      uint64_t tag) = 0;

  // Counts an event that the caller answers with what an earlier one became.
  virtual void CountDuplicate(const Event& event) = 0;

  // Lets workers have what was published so far.
  virtual void Flush() = 0;
};

}  // namespace fanwire::control
