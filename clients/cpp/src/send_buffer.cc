#include "clients/cpp/src/send_buffer.h"

#include <algorithm>
#include <utility>

#include "clients/cpp/src/event_writer.h"

namespace fanwire::client {

namespace {

constexpr size_t kChunkBytes = size_t{64} << 10;

}  // namespace

SendBuffer::~SendBuffer() {
  for (Ring<Entry>* ring : {&in_flight_, &waiting_}) {
    for (size_t i = 0; i < ring->size(); ++i) {
      if ((*ring)[i].chunk != nullptr) (*ring)[i].chunk->Unref();
    }
  }
  if (current_ != nullptr) current_->Unref();
}

void SendBuffer::Add(const EventWriter& event, size_t size, ReceiptCallback done) {
  if (current_ == nullptr || current_->capacity() - used_ < size) {
    if (current_ != nullptr) current_->Unref();
    current_ = Chunk::New(std::max(size, kChunkBytes));
    used_ = 0;
  }
  char* const data = current_->data() + used_;
  event.Write(next_seq_, data);
  used_ += size;
  current_->Ref();
  waiting_.push_back(
      {.seq = next_seq_++, .chunk = current_, .data = data, .size = size, .done = std::move(done)});
  ++events_;
  bytes_ += size;
}

bool SendBuffer::DropOldest(ReceiptCallback* done) {
  if (waiting_.empty()) return false;
  Entry entry = waiting_.pop_front();
  Release(&entry);
  ++dropped_;
  *done = std::move(entry.done);
  return true;
}

size_t SendBuffer::Take(const Limits& message, size_t in_flight_part, std::vector<Piece>* pieces) {
  size_t events = 0, bytes = 0;
  while (!waiting_.empty() && events < message.events) {
    const size_t size = waiting_.front().size;
    if (events > 0 && bytes + size > message.bytes) break;
    if (!in_flight_.empty() && (in_flight_.size() >= limits_.events / in_flight_part ||
                                bytes_in_flight_ + size > limits_.bytes / in_flight_part)) {
      break;
    }
    Entry entry = waiting_.pop_front();
    if (!pieces->empty() && pieces->back().chunk == entry.chunk &&
        pieces->back().data + pieces->back().size == entry.data) {
      pieces->back().size += size;
    } else {
      entry.chunk->Ref();
      pieces->push_back({.chunk = entry.chunk, .data = entry.data, .size = size});
    }
    ++events;
    bytes += size;
    bytes_in_flight_ += size;
    in_flight_.push_back(std::move(entry));
  }
  return events;
}

bool SendBuffer::Settle(const std::vector<FoundReceipt>& receipts, std::vector<Settled>* settled,
                        std::vector<Refusal>* refusals) {
  bool unavailable = false;
  for (const FoundReceipt& receipt : receipts) {
    Entry* const entry = Find(receipt.seq);
    if (entry == nullptr || entry->chunk == nullptr) continue;
    if (receipt.code == Code::kUnavailable) {
      unavailable = true;
      continue;
    }
    if (receipt.code == Code::kOk) {
      ++accepted_;
      duplicates_ += receipt.duplicate ? 1 : 0;
    } else {
      ++refused_;
      if (!entry->done) {
        refusals->push_back(
            {.event = DescribeItem({entry->data, entry->size}), .receipt = receipt.bytes});
      }
    }
    if (entry->done) {
      settled->push_back({.done = std::move(entry->done), .receipt = receipt.bytes});
    }
    bytes_in_flight_ -= entry->size;
    Release(entry);
  }
  while (!in_flight_.empty() && in_flight_.front().chunk == nullptr) {
    in_flight_.pop_front();
    if (expected_ > 0) --expected_;
  }
  return unavailable;
}

void SendBuffer::TakeBack() {
  for (size_t i = in_flight_.size(); i > 0; --i) {
    if (in_flight_[i - 1].chunk != nullptr) waiting_.push_front(std::move(in_flight_[i - 1]));
  }
  while (!in_flight_.empty()) in_flight_.pop_front();
  bytes_in_flight_ = 0;
  expected_ = 0;
}

std::string SendBuffer::RemoveFirst(ReceiptCallback* done) {
  Ring<Entry>& ring = in_flight_.empty() ? waiting_ : in_flight_;
  Entry entry = ring.pop_front();
  std::string event = DescribeItem({entry.data, entry.size});
  if (&ring == &in_flight_) {
    bytes_in_flight_ -= entry.size;
    expected_ = 0;
  }
  Release(&entry);
  *done = std::move(entry.done);
  while (!in_flight_.empty() && in_flight_.front().chunk == nullptr) in_flight_.pop_front();
  return event;
}

uint64_t SendBuffer::first_seq() const {
  if (!in_flight_.empty()) return in_flight_.front().seq;
  return waiting_.empty() ? next_seq_ : waiting_.front().seq;
}

SendBuffer::Entry* SendBuffer::Find(uint64_t seq) {
  if (expected_ < in_flight_.size() && in_flight_[expected_].seq == seq) {
    return &in_flight_[expected_++];
  }
  size_t begin = 0, end = in_flight_.size();
  while (begin < end) {
    const size_t middle = begin + (end - begin) / 2;
    if (in_flight_[middle].seq < seq) {
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  if (begin == in_flight_.size() || in_flight_[begin].seq != seq) return nullptr;
  expected_ = begin + 1;
  return &in_flight_[begin];
}

void SendBuffer::Release(Entry* entry) {
  entry->chunk->Unref();
  entry->chunk = nullptr;
  --events_;
  bytes_ -= entry->size;
}

}  // namespace fanwire::client
