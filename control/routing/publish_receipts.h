// PublishReceipts gives publishers their receipts: at once, or when the workers have reported.  It
// also stores the outcome under the idempotency key, so that a publisher that repeats the key gets
// the same receipt.
//
// Threading: safe from every thread.  Sinks are called without any lock held.
// Ownership: borrows tracker, counts and clock.
// Cost:      allocates nothing, unless the receipt waits for the workers' reports.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "control/events/event.h"
#include "control/routing/channel_table.h"
#include "control/routing/receipt_tracker.h"
#include "control/routing/refusals.h"

namespace fanwire::control {

// The receipt of a publication that is not answered yet.
struct PendingReceipt {
  ReceiptSink* sink = nullptr;
  uint64_t tag = 0;
  std::string id;
  std::string idempotency_key;      // empty: none is claimed
  ServiceState* service = nullptr;  // null: no such service
  PublishOutcome outcome;

  // Starts over for the next publication.  The strings keep their memory.
  void Begin(ReceiptSink* to, uint64_t with) {
    sink = to;
    tag = with;
    id.clear();
    idempotency_key.clear();
    service = nullptr;
    outcome = {};
  }
};

class PublishReceipts {
 public:
  // `refused_elsewhere` counts refusals of events whose service is not configured.
  PublishReceipts(ReceiptTracker* tracker, RefusalCounts* refused_elsewhere, const Clock* clock)
      : tracker_(tracker), refused_elsewhere_(refused_elsewhere), clock_(clock) {}

  // Gives the receipt of an event that was accepted and routed.  For WRITTEN, takes the contents of
  // `pending` and gives the receipt when the workers have reported, or at `deadline`.  `record` is
  // what ReceiptTracker::Open() returned, for WRITTEN only.  `received` and `now` are times of
  // Clock::Now().
  void Answer(PendingReceipt* pending, ReceiptLevel level, uint64_t record, absl::Duration received,
              absl::Duration now, absl::Duration deadline);

  // Gives the receipt of an event that was not published, with `status` as the reason, and frees
  // its idempotency key.
  void Refuse(const PendingReceipt& pending, const absl::Status& status);

 private:
  void Finish(const PendingReceipt& pending);

  ReceiptTracker* const tracker_;
  RefusalCounts* const refused_elsewhere_;
  const Clock* const clock_;
};

}  // namespace fanwire::control
