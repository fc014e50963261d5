// SendBuffer holds a publisher's events from Publish() until their receipt.
//
//   waiting  -> in flight   Take(), for a message
//   in flight -> gone       Settle(), by a receipt
//   in flight -> waiting    TakeBack(), because the stream ended
//   waiting  -> gone        DropOldest()
//
// Events leave for the stream in the order of their seqs, also those that are taken back.
//
// Threading: none; the publisher guards it with its mutex.
// Ownership: owns the events' bytes.  A Piece of a message holds a reference to its bytes.
// Cost:      Add() copies the event to the end of the current chunk.  A receipt that comes in order
//            is found at once, any other by a binary search.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "clients/cpp/src/chunk.h"
#include "clients/cpp/src/receipt_reader.h"
#include "clients/cpp/src/ring.h"
#include "fanwire/publisher.h"

namespace fanwire::client {

class EventWriter;

// Bytes of one or several consecutive items.
struct Piece {
  Chunk* chunk = nullptr;  // one reference, of whoever holds the piece
  const char* data = nullptr;
  size_t size = 0;
};

// An event that left the buffer, and whom to tell.
struct Settled {
  ReceiptCallback done = {};
  std::string_view receipt = {};  // ReadReceipt()
};

// An event without a callback that was refused.
struct Refusal {
  std::string event = {};  // "mahavishnu workflow:wf_1 workflow.started"
  std::string_view receipt = {};
};

class SendBuffer {
 public:
  struct Limits {
    size_t events = 0;
    size_t bytes = 0;
  };

  explicit SendBuffer(const Limits& limits) : limits_(limits) {}
  ~SendBuffer();
  SendBuffer(const SendBuffer&) = delete;
  SendBuffer& operator=(const SendBuffer&) = delete;

  // The seq of the next event.
  uint64_t next_seq() const { return next_seq_; }
  // Whether an event of so many bytes may be added.
  bool HasRoom(size_t bytes) const {
    return events_ < limits_.events && bytes_ + bytes <= limits_.bytes;
  }
  // Adds an event of `size` = event.Size(next_seq()) bytes.
  void Add(const EventWriter& event, size_t size, ReceiptCallback done);

  // Drops the event that waits longest; false if none waits.  `done` gets its callback.
  bool DropOldest(ReceiptCallback* done);

  // Takes the next events for a message: at most so many, and no more bytes, but at least one.  Of
  // the buffer's limits no more than 1 / `in_flight_part` goes into flight.  Returns how many.
  size_t Take(const Limits& message, size_t in_flight_part, std::vector<Piece>* pieces);

  // Removes the events that have these receipts, and counts them.  Appends the callbacks, which the
  // caller calls without its mutex, and the refusals of events without one.  A receipt UNAVAILABLE
  // settles nothing: the event is sent again on the next stream.  Returns whether there was one.
  bool Settle(const std::vector<FoundReceipt>& receipts, std::vector<Settled>* settled,
              std::vector<Refusal>* refusals);

  // The stream ended: everything in flight waits again.
  void TakeBack();

  // Removes the event that is first; `done` gets its callback, and the name of the event is
  // returned.
  std::string RemoveFirst(ReceiptCallback* done);

  bool empty() const { return in_flight_.empty() && waiting_.empty(); }
  bool has_waiting() const { return !waiting_.empty(); }
  // Events that were sent and not settled, and settled ones behind such: what credit limits.
  size_t in_flight() const { return in_flight_.size(); }
  // The lowest seq without a receipt; next_seq() if all have theirs.
  uint64_t first_seq() const;
  size_t events() const { return events_; }
  size_t bytes() const { return bytes_; }

  uint64_t accepted() const { return accepted_; }
  uint64_t duplicates() const { return duplicates_; }
  uint64_t refused() const { return refused_; }
  uint64_t dropped() const { return dropped_; }

 private:
  struct Entry {
    uint64_t seq = 0;
    Chunk* chunk = nullptr;  // one reference; null: settled
    const char* data = nullptr;
    size_t size = 0;
    ReceiptCallback done = {};
  };

  Entry* Find(uint64_t seq);
  // Gives the event's memory back.
  void Release(Entry* entry);

  const Limits limits_;
  uint64_t next_seq_ = 1;
  Ring<Entry> in_flight_;  // ascending; the first is not settled
  Ring<Entry> waiting_;    // ascending, above those
  size_t events_ = 0;
  size_t bytes_ = 0;
  size_t bytes_in_flight_ = 0;
  size_t expected_ = 0;  // index in in_flight_ of the receipt that is likely to come next

  Chunk* current_ = nullptr;  // new events are appended to it
  size_t used_ = 0;           // of its bytes

  uint64_t accepted_ = 0;
  uint64_t duplicates_ = 0;
  uint64_t refused_ = 0;
  uint64_t dropped_ = 0;
};

}  // namespace fanwire::client
