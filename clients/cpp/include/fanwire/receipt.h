// Receipt says what became of one event.
#pragma once

#include <cstdint>
#include <string>

#include "fanwire/status.h"

namespace fanwire::client {

// How far an event must have come before its receipt is sent.
enum class ReceiptLevel {
  kAccepted = 1,  // it has its position and is in history
  kRouted = 2,    // it is in the queues of all workers with interest
  kWritten = 3,   // for every session it was handed to the kernel or counted as dropped
};

// Sessions by outcome, for kRouted and kWritten.
struct Delivery {
  int64_t matched = 0;
  int64_t written = 0;
  int64_t dropped = 0;
  int64_t lost_connection = 0;
  int64_t expired = 0;
  int workers_total = 0;
  int workers_reported = 0;
};

struct Receipt {
  // Why the event was refused; OK: it was published.
  Status status = {};
  std::string id = {};     // the event's id
  std::string epoch = {};  // the channel's; empty for an event that is not kept
  uint64_t offset = 0;     // its place in the channel
  ReceiptLevel level = ReceiptLevel::kAccepted;
  // It was published before: under the same idempotency_key, or sent again after a lost receipt.
  bool duplicate = false;
  bool timed_out = false;  // receipt_wait ended before every worker had reported
  Delivery delivery = {};

  bool ok() const { return status.ok(); }
};

}  // namespace fanwire::client
