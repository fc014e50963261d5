// One event as a publisher hands it in, and what it gets back: the words that the gRPC face, Router
// and the operators' calls share.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "control/events/delivery_counts.h"
#include "control/events/publication.h"

namespace fanwire::control {

// An event to publish.  All texts are borrowed for the call.
struct Event {
  absl::string_view service;
  absl::string_view channel;
  absl::string_view event;
  absl::string_view json;                         // the data; empty: {}
  absl::string_view typed_url;                    // not empty: `json` was made of such a message
  absl::string_view typed_bytes;                  // of a message of a catalog: as received
  uint64_t typed_hash = 0;                        // of such a message: of typed_bytes
  bool typed_message = false;                     // `json` is still to be made: MakeTypedEvent()
  absl::Span<const std::string> copies = {};      // further channels
  absl::Span<const std::string> warnings = {};    // what was left out of a typed event
  absl::string_view id;                           // empty: a UUID4 is made
  absl::string_view idempotency_key;              // empty: none
  absl::string_view exclude_connection;           // empty: none
  absl::string_view publisher = {};               // see EnvelopeParts
  absl::Time occurred_at = absl::InfinitePast();  // InfinitePast: now
  absl::Duration ttl = absl::InfiniteDuration();
  bool skip_history = false;
};

// Numbers as in publish.proto.
enum class ReceiptLevel : uint8_t { kAccepted = 1, kRouted = 2, kWritten = 3 };

// Microseconds since the event was received; 0: not reached.
struct StageTimesUs {
  int64_t accepted = 0;
  int64_t routed = 0;
  int64_t first_written = 0;
  int64_t last_written = 0;
};

// How a publication ended.
struct PublishOutcome {
  absl::Status status;   // not OK: refused; nothing below is set but `id`
  absl::string_view id;  // borrowed for the call
  Position position;     // offset 0: it has none (skip_history)
  ReceiptLevel level = ReceiptLevel::kAccepted;
  DeliveryCounts delivery;  // for kRouted and kWritten
  StageTimesUs stages;
  bool duplicate = false;
  bool timed_out = false;
};

struct PublishParams {
  ReceiptLevel level = ReceiptLevel::kAccepted;
  absl::Duration wait = absl::ZeroDuration();  // for kWritten; 0: 5 s
  // Of an event of a named publisher, which the engine keeps with it.  Borrowed for the call.
  absl::string_view publisher_id = {};
  uint64_t seq = 0;
  uint64_t seq_fingerprint = 0;
};

// Takes outcomes.  It must live until every publication that named it was answered; each is, once,
// at the latest when its wait is over.
//
// Threading: both may be called before Publish() returns, or later from any thread, and from
//            several at once; never with a lock of Router held.
class ReceiptSink {
 public:
  virtual ~ReceiptSink() = default;

  virtual void OnReceipt(uint64_t tag, const PublishOutcome& outcome) = 0;

  // The publication has its position, and its receipt waits for the workers' reports.  `outcome`
  // has the id and the position.  Called at most once, before OnReceipt() or at the same time.
  virtual void OnAccepted(uint64_t /*tag*/, const PublishOutcome& /*outcome*/) {}
};

}  // namespace fanwire::control
