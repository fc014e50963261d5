// ReceiptStream holds the receipts of one PublishStream between their events' outcome and the write
// that carries them.  It gathers them into messages and counts the items that wait for a receipt,
// which is what a stream's credit limits.
//
// Threading: none; PublishStreams guards it with the stream's mutex.  A ReceiptBatch that is still
//            being filled belongs to one thread.
// Cost:      a receipt is appended to the bytes of its message.  A message's buffer is allocated
//            once if ReceiptBatch::Reserve() was called.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

#include "control/events/event.h"

namespace fanwire::control {

// Receipts of one message, as the bytes of a v1.PublishReceipts.
class ReceiptBatch {
 public:
  // Most receipts in one message.
  static constexpr size_t kMaxReceipts = 1000;

  // Makes room for the receipts of so many items, but for no more than one message holds.
  void Reserve(size_t items);

  // Adds the receipt of the item with this seq.
  void Add(uint64_t seq, const PublishOutcome& outcome);

  // Adds all receipts of `other`.
  void Append(const ReceiptBatch& other);

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  bool full() const { return size_ >= kMaxReceipts; }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
  size_t size_ = 0;
};

class ReceiptStream {
 public:
  // Reading may go on while fewer than `credit` items wait for their receipt.
  explicit ReceiptStream(size_t credit) : credit_(credit) {}

  // Says that so many items were read.  Each gets a receipt by one of the Add().
  void Expect(size_t items) { without_receipt_ += items; }

  void Add(uint64_t seq, const PublishOutcome& outcome);
  // Adds several at once.  They join receipts that wait already, if one message holds all of them.
  void Add(ReceiptBatch batch);

  // Whether there is nothing to write.
  bool empty() const { return batches_.empty(); }
  // Takes the receipts of the next message.  Call Written() when the message was written.
  ReceiptBatch Take();
  void Written();

  bool has_credit() const { return without_receipt_ < credit_; }
  // Whether every item that was read has its receipt written.
  bool complete() const { return without_receipt_ == 0; }

 private:
  const size_t credit_;
  std::deque<ReceiptBatch> batches_;  // only the last may get more receipts
  size_t without_receipt_ = 0;        // items whose receipt is not written yet
  size_t being_written_ = 0;          // of them, those that Take() returned
};

}  // namespace fanwire::control
