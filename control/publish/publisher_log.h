// PublisherLog remembers the latest seqs of one publisher_id and what became of each, over all of
// the publisher's streams.  A seq that comes again, because its receipt was lost with a stream, is
// answered with what became of it and not published twice.
//
// A stream begins by becoming the log's owner; the stream that owned it before may take no more
// seqs.  A seq is taken before its event is published and settled when the outcome is known:
//
//   in flight -> accepted     comes again: the position, marked as a duplicate
//             -> refused      comes again: is published
//
// Seqs ascend.  One that is not above the last one and that the log does not know, because it was
// left out or is too long ago, is refused: whether it was published cannot be told.  Of seqs that
// were restored after a restart of control it can: those in between that are missing were refused,
// or had the key of an earlier event.
//
// The latest seqs are kept while the publisher may send them again.  Of one that has an open stream
// and has long sent nothing the owner of the log gives their memory back, with Release().
//
// Threading: safe from every thread; one mutex, a leaf.
// Cost:      Take() and Settle() lock the mutex once each.  A seq takes 48 bytes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/mutex.h"
#include "control/events/event.h"

namespace fanwire::control {

class PublisherLog {
 public:
  // Remembers the last `window` seqs, and those in flight beside them.
  explicit PublisherLog(size_t window);

  // Somebody who sent a seq that is in flight already.
  struct Waiter {
    ReceiptSink* sink = nullptr;
    uint64_t tag = 0;
  };

  enum class Claim : uint8_t {
    kNew,       // the caller publishes the event; its outcome goes to Settle()
    kRepeated,  // `earlier` is what became of it
    kWaiting,   // it is in flight; Settle() returns the waiter
    kConflict,  // the seq belongs to another event
    kUnknown,   // not above last(), and what became of it is not known
    kStale,     // another stream owns the log
  };

  // What an earlier event with the same seq became.
  struct Earlier {
    Position position;
    std::string id;  // empty: that of the event that came again, which brought its own
  };

  // Makes the caller the owner.  `last_accepted` is the highest accepted seq below the lowest one
  // in flight; 0 if there is none.
  uint64_t Begin(uint64_t* last_accepted);

  // Takes the next seq.  `owner` is what Begin() returned.
  Claim Take(uint64_t owner, uint64_t seq, uint64_t fingerprint, const Waiter& waiter,
             Earlier* earlier);

  // The outcome of a seq is known.  Does nothing if it was known before.  Returns who waits.
  std::vector<Waiter> Settle(uint64_t seq, const PublishOutcome& outcome);

  // An accepted seq that an engine has kept over a restart of control.
  struct Restored {
    uint64_t seq = 0;
    uint64_t fingerprint = 0;
    Position position = {};
    std::string id = {};
  };
  // Remembers the latest of these ascending seqs, as many as the window holds.  Call it before the
  // first Begin().
  void Restore(absl::Span<const Restored> kept);

  // The highest seq that was ever taken.
  uint64_t last() const;
  // Seqs for which there is memory.
  size_t capacity() const;
  // How often Begin() and Take() were called.
  uint64_t uses() const;
  // Forgets all seqs but the last one, and the last accepted one, and gives their memory back.
  // Does nothing while one is in flight.
  void Release();

 private:
  enum class State : uint8_t { kInFlight, kAccepted, kRefused };

  // The id of an accepted event.  Ids of other forms are the publisher's own; its event brings them
  // again.
  enum class IdForm : uint8_t { kNotKept, kUuid, kText };
  static constexpr size_t kIdBytes = 16;

  struct Record {
    uint64_t seq = 0;
    uint64_t fingerprint = 0;
    Epoch epoch;
    int64_t offset : 60 = 0;  // of the channel
    State state : 2 = State::kInFlight;
    IdForm id_form : 2 = IdForm::kNotKept;
    // A UUID's bytes, or a text that zeros fill up: no id has a zero.
    std::array<uint8_t, kIdBytes> id = {};
  };
  static_assert(sizeof(Record) == 48);

  static void SetId(absl::string_view id, Record* record);
  static void GetId(const Record& record, std::string* id);

  Record& At(size_t i) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const size_t at = first_ + i;
    return ring_[at < ring_.size() ? at : at - ring_.size()];
  }
  // The record of this seq; null if there is none.
  Record* Find(uint64_t seq) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Adds a record for a seq that has none, in its place.
  Record& Insert(uint64_t seq) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Makes room for one more record.
  void MakeRoom() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const size_t window_;
  mutable Mutex mu_;  // a leaf
  uint64_t owner_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t last_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t accepted_before_ ABSL_GUARDED_BY(mu_) = 0;  // the highest accepted seq that was dropped
  uint64_t uses_ ABSL_GUARDED_BY(mu_) = 0;
  // What became of all seqs after the first of these and before the second is known.
  uint64_t restored_after_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t restored_before_ ABSL_GUARDED_BY(mu_) = 0;
  // A ring.  The `count_` records from `first_` on ascend.
  std::vector<Record> ring_ ABSL_GUARDED_BY(mu_);
  size_t first_ ABSL_GUARDED_BY(mu_) = 0;
  size_t count_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<std::pair<uint64_t, Waiter>> waiters_ ABSL_GUARDED_BY(mu_);  // by seq
};

}  // namespace fanwire::control
