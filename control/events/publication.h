// Publication is one event that was accepted into a channel: the envelope as clients get it, and
// what routing needs to know of it.  Router makes it, the engine gives it its position, and from
// then on it is immutable and shared by history, worker queues and observers.
//
// Threading: confined to its maker until Seal(); then readable from every thread.
// Ownership: PublicationPtr counts references.
// Cost:      one allocation in all: header, names and envelope lie in one block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/intrusive_ptr.h"

namespace fanwire::control {

// Names one life of a channel: 64 random bits, on the wire 16 hexadecimal digits.
struct Epoch {
  uint64_t value = 0;  // 0: none

  static constexpr size_t kTextBytes = 16;

  // A new one, never 0.
  static Epoch Random();
  // Whether `text` is an epoch's text; anything else cannot name an epoch of ours.
  static bool Parse(absl::string_view text, Epoch* epoch);

  // Empty for the epoch that is none.
  std::string ToText() const;
  // Writes kTextBytes characters.
  void WriteText(char* out) const;

  friend bool operator==(const Epoch&, const Epoch&) = default;
};

// Where a publication stands in its channel.  offset 0: before the first one.
struct Position {
  Epoch epoch;
  int64_t offset = 0;

  friend bool operator==(const Position&, const Position&) = default;
};

class Publication;

// Shares a Publication.
using PublicationPtr = IntrusivePtr<Publication>;

class Publication {
 public:
  // What is known before the position is.
  struct Spec {
    absl::string_view event = {};               // its name; empty for a dialect's frames
    absl::string_view exclude_connection = {};  // session that must not get it; may be empty
    size_t max_envelope_bytes = 0;    // room for the whole envelope, the position included
    int64_t received_us = 0;          // wall clock, since 1970
    absl::Duration received_at = {};  // Clock::Now()
    absl::Duration expires_at = absl::InfiniteDuration();  // Clock::Now()'s scale
    uint64_t conflate_key = 0;
    uint64_t tracking_id = 0;  // not 0: workers report what became of it
  };

  // An unsealed publication with an empty envelope.
  static PublicationPtr Make(const Spec& spec);

  Publication(const Publication&) = delete;
  Publication& operator=(const Publication&) = delete;

  absl::string_view event() const { return {text(), event_bytes_}; }
  absl::string_view exclude_connection() const { return {text() + event_bytes_, exclude_bytes_}; }
  absl::string_view envelope() const { return {envelope_begin(), envelope_bytes_}; }
  // The event's data, one JSON object: a part of envelope().  Empty for a dialect's frames.
  absl::string_view data() const { return {envelope_begin() + data_begin_, data_bytes_}; }

  // 0: it has no position (skip_history, dialect frames).
  int64_t offset() const { return offset_; }
  Epoch epoch() const { return epoch_; }
  int64_t received_us() const { return received_us_; }
  absl::Duration received_at() const { return received_at_; }
  absl::Duration expires_at() const { return expires_at_; }
  uint64_t conflate_key() const { return conflate_key_; }
  uint64_t tracking_id() const { return tracking_id_; }

  // Bytes it occupies, bookkeeping included.
  size_t memory_bytes() const { return sizeof(Publication) + capacity_; }

  // The envelope's buffer while it is being built; max_envelope_bytes long.
  char* buffer() { return text() + event_bytes_ + exclude_bytes_; }
  // Says how much of the buffer is used, and where in it the data lies.
  void SetEnvelope(size_t bytes, size_t data_begin, size_t data_bytes);

  // Gives it its place: puts `,"offset":N,"epoch":"…"` before the envelope's closing brace.  Call
  // it at most once, before anybody else can see the publication.
  void Seal(Epoch epoch, int64_t offset);

  // Bytes that Seal() may add.
  static constexpr size_t kSealBytes = 10 + 19 + 10 + Epoch::kTextBytes + 1;

 private:
  friend PublicationPtr;

  Publication() = default;

  static void Destroy(Publication* publication);

  char* text() { return reinterpret_cast<char*>(this + 1); }
  const char* text() const { return reinterpret_cast<const char*>(this + 1); }
  const char* envelope_begin() const { return text() + event_bytes_ + exclude_bytes_; }

  AtomicCount references_;
  uint32_t capacity_ = 0;  // bytes behind this object
  uint32_t event_bytes_ = 0;
  uint32_t exclude_bytes_ = 0;
  uint32_t envelope_bytes_ = 0;
  uint32_t data_begin_ = 0;
  uint32_t data_bytes_ = 0;
  int64_t offset_ = 0;
  Epoch epoch_;
  int64_t received_us_ = 0;
  absl::Duration received_at_;
  absl::Duration expires_at_;
  uint64_t conflate_key_ = 0;
  uint64_t tracking_id_ = 0;
};

}  // namespace fanwire::control
