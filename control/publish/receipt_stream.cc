#include "control/publish/receipt_stream.h"

#include <algorithm>
#include <utility>

#include "control/publish/receipt_writer.h"

namespace fanwire::control {

namespace {

// Bytes of most receipts, their item's seq and tags included.
constexpr size_t kReceiptBytes = 112;

// A thread does not keep a buffer that grew larger than this.
constexpr size_t kKeptBytes = 4 << 10;

}  // namespace

void ReceiptBatch::Reserve(size_t items) {
  bytes_.reserve(std::min(items, kMaxReceipts) * kReceiptBytes);
}

void ReceiptBatch::Add(uint64_t seq, const PublishOutcome& outcome) {
  thread_local std::string receipt;
  receipt.clear();
  AppendReceipt(outcome, &receipt);
  AppendItemReceipt(seq, receipt, &bytes_);
  ++size_;
  if (receipt.capacity() > kKeptBytes) std::string().swap(receipt);
}

void ReceiptBatch::Append(const ReceiptBatch& other) {
  bytes_ += other.bytes_;
  size_ += other.size_;
}

void ReceiptStream::Add(uint64_t seq, const PublishOutcome& outcome) {
  if (batches_.empty() || batches_.back().full()) batches_.emplace_back();
  batches_.back().Add(seq, outcome);
}

void ReceiptStream::Add(ReceiptBatch batch) {
  if (batch.empty()) return;
  if (batches_.empty() || batches_.back().size() + batch.size() > ReceiptBatch::kMaxReceipts) {
    batches_.push_back(std::move(batch));
  } else {
    batches_.back().Append(batch);
  }
}

ReceiptBatch ReceiptStream::Take() {
  ReceiptBatch batch = std::move(batches_.front());
  batches_.pop_front();
  being_written_ = batch.size();
  return batch;
}

void ReceiptStream::Written() { without_receipt_ -= std::exchange(being_written_, 0); }

}  // namespace fanwire::control
