// StreamOrder keeps the order of one PublishStream: a publisher that has a publisher_id sends each
// seq once, in ascending order, also over reconnects.  Without a publisher_id every seq is taken,
// since they are only repeated in the receipts.
//
// Threading: confined to the thread that reads the stream.
// Ownership: borrows the PublisherSeqs.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"

namespace fanwire::control {

class PublisherSeqs;

class StreamOrder {
 public:
  explicit StreamOrder(PublisherSeqs* publishers) : publishers_(publishers) {}

  // Names the publisher, as its hello does.  Returns the last seq that was accepted of it; 0 if it
  // has no name or nothing is known of it.
  uint64_t Begin(std::string publisher_id);

  // Takes the next item's seq.
  //   ALREADY_EXISTS  it is not above the last one
  absl::Status Take(uint64_t seq);

  // Says that the item with the seq last taken was not refused.
  void Accepted() {
    if (!publisher_id_.empty()) Remember();
  }

 private:
  void Remember();

  PublisherSeqs* const publishers_;
  std::string publisher_id_;
  uint64_t last_seq_ = 0;
};

}  // namespace fanwire::control
