#include "control/routing/publish_receipts.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "control/events/event_validation.h"
#include "control/events/idempotency.h"

namespace fanwire::control {

namespace {

int64_t MicrosecondsSince(absl::Duration start, absl::Duration now) {
  return std::max<int64_t>(1, absl::ToInt64Microseconds(now - start));
}

}  // namespace

void PublishReceipts::Answer(PendingReceipt* pending, ReceiptLevel level, uint64_t record,
                             absl::Duration received, absl::Duration now, absl::Duration deadline) {
  const int64_t elapsed = MicrosecondsSince(received, now);
  pending->service->publish_seconds.Observe(1e-6 * static_cast<double>(elapsed));
  pending->outcome.stages.accepted = elapsed;
  pending->outcome.level = ReceiptLevel::kAccepted;
  if (level == ReceiptLevel::kAccepted) {
    pending->outcome.delivery = {};
    Finish(*pending);
    return;
  }
  pending->outcome.stages.routed = elapsed;
  pending->outcome.level = ReceiptLevel::kRouted;
  if (level == ReceiptLevel::kRouted) {
    Finish(*pending);
    return;
  }
  pending->outcome.id = pending->id;
  pending->sink->OnAccepted(pending->tag, pending->outcome);
  pending->outcome.id = {};  // it points into `pending`, which moves
  tracker_->Await(
      record, deadline,
      [this, pending = std::move(*pending)](const ReceiptTracker::Result& result) mutable {
        PublishOutcome& outcome = pending.outcome;
        outcome.delivery = result.counts;
        outcome.timed_out = result.timed_out;
        if (!result.timed_out) outcome.level = ReceiptLevel::kWritten;
        const auto since_received = [&](int64_t us) {
          return us == 0 ? 0 : outcome.stages.routed + us;
        };
        outcome.stages.first_written = since_received(result.first_written_us);
        outcome.stages.last_written = since_received(result.last_written_us);
        Finish(pending);
      });
}

void PublishReceipts::Finish(const PendingReceipt& pending) {
  PublishOutcome outcome = pending.outcome;
  outcome.id = pending.id;
  std::vector<IdempotencyWindow::Waiter> waiters;
  if (!pending.idempotency_key.empty()) {
    waiters = pending.service->idempotency.Settle(pending.idempotency_key, outcome, clock_->Now());
  }
  pending.sink->OnReceipt(pending.tag, outcome);
  outcome.duplicate = true;
  for (const IdempotencyWindow::Waiter& waiter : waiters) {
    waiter.sink->OnReceipt(waiter.tag, outcome);
  }
}

void PublishReceipts::Refuse(const PendingReceipt& pending, const absl::Status& status) {
  PublishOutcome outcome;
  outcome.status = status;
  // A longer id is left out: the receipts of a large batch might not fit into a gRPC message.
  if (pending.id.size() <= kMaxEventIdBytes) outcome.id = pending.id;
  std::vector<IdempotencyWindow::Waiter> waiters;
  if (pending.service != nullptr) {
    pending.service->refused.Add(status);
    if (!pending.idempotency_key.empty()) {
      waiters = pending.service->idempotency.Release(pending.idempotency_key);
    }
  } else {
    refused_elsewhere_->Add(status);
  }
  pending.sink->OnReceipt(pending.tag, outcome);
  for (const IdempotencyWindow::Waiter& waiter : waiters) {
    waiter.sink->OnReceipt(waiter.tag, outcome);
  }
}

}  // namespace fanwire::control
