// StreamOrder decides which seqs of one PublishStream are published.  A publisher that has a
// publisher_id sends each seq once, in ascending order, also over reconnects; its PublisherLog
// knows what became of those before.  Without a publisher_id every seq is published: seqs are only
// repeated in the receipts then.
//
// Threading: Begin(), Take() and End() are called by one thread at a time; Settle() is safe from
//            every thread.
// Ownership: borrows the PublisherSeqs until End(); shares the PublisherLog.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "control/publish/publisher_log.h"

namespace fanwire::control {

class PublisherSeqs;

class StreamOrder {
 public:
  explicit StreamOrder(PublisherSeqs* publishers) : publishers_(publishers) {}

  // Names the publisher, as its hello does.  Older streams of the same publisher can take no more
  // seqs.  Returns the seq that the welcome tells; 0 if the publisher has no name or nothing is
  // known of it.
  //   RESOURCE_EXHAUSTED  too many publishers have an open stream
  absl::StatusOr<uint64_t> Begin(const std::string& publisher_id);
  // The stream ended, and takes no more seqs.  What it has in flight can still be settled.  Call it
  // once.
  void End();

  // Whether the publisher has a publisher_id.  Take() and Settle() are only of use then.
  bool named() const { return log_ != nullptr; }
  // Empty if it has none.
  const std::string& publisher_id() const { return publisher_id_; }

  // See PublisherLog.
  PublisherLog::Claim Take(uint64_t seq, uint64_t fingerprint, const PublisherLog::Waiter& waiter,
                           PublisherLog::Earlier* earlier) {
    return log_->Take(owner_, seq, fingerprint, waiter, earlier);
  }
  std::vector<PublisherLog::Waiter> Settle(uint64_t seq, const PublishOutcome& outcome) {
    return log_->Settle(seq, outcome);
  }

  // Why an item with this seq is not published.
  //   ALREADY_EXISTS       kConflict, kUnknown
  //   FAILED_PRECONDITION  kStale: the stream must end
  absl::Status Refusal(PublisherLog::Claim claim, uint64_t seq) const;

 private:
  PublisherSeqs* const publishers_;
  std::string publisher_id_;
  std::shared_ptr<PublisherLog> log_;  // null without a publisher_id
  uint64_t owner_ = 0;
};

}  // namespace fanwire::control
