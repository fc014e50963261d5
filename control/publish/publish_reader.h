// Reads publishers' requests from their bytes, without protobuf's objects.  The texts that are read
// are parts of the message, which must outlive them.
//
// Every message that protobuf accepts is accepted, with the same meaning.  A text that is not UTF-8
// is refused with its event, here or by CheckEvent().
//
// Threading: the functions are pure; a reader is of one thread at a time.
// Cost:      some 0.05 us an event; allocates for typed data only.
// Source:    proto/fanwire/v1/publish.proto
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "control/events/event.h"
#include "proto/wire/wire_pieces.h"

namespace fanwire::control {

// A google.protobuf.Timestamp or Duration, read from its bytes.
struct WireSeconds {
  bool present = false;
  int64_t seconds = 0;
  int32_t nanos = 0;

  // Merges another part of it.  False: malformed.
  bool Read(absl::string_view bytes);
  absl::Duration ToDuration() const;
};

// Reads events, one after the other.
class EventReader {
 public:
  // Reads `bytes`, a v1.Event.  After an error event() has its id, if that can be repeated.
  //   INVALID_ARGUMENT  malformed; or a part that means nothing, and which
  absl::Status Read(absl::string_view bytes);

  // The same for a field that may come several times, whose parts protobuf merges.  Call Begin(),
  // then Add() for each part, then Read().
  void Begin();
  void Add(absl::string_view bytes);
  absl::Status Read();

  // Valid until the next Read().
  const Event& event() const { return event_; }

 private:
  // False: malformed.
  bool ReadFields();
  absl::Status Check();
  absl::string_view bytes_;
  std::string joined_;  // the bytes, if they came in several parts
  Event event_;
  WireSeconds occurred_at_;
  WireSeconds ttl_;
  bool typed_ = false;
  absl::string_view type_url_;
  absl::string_view typed_bytes_;
  std::string typed_json_;
};

// A PublishRequest.
//   INVALID_ARGUMENT  malformed, or what EventReader or the parameters say
absl::Status ReadPublishRequest(absl::string_view bytes, EventReader* event, PublishParams* params);

// A PublishBatchRequest: `events` are v1.Events still to be read.  At most `max_events` are kept,
// however many there are.
//   INVALID_ARGUMENT  malformed, a parameter has an unknown value, or there are more events
absl::Status ReadPublishBatchRequest(absl::string_view bytes, size_t max_events,
                                     std::vector<absl::string_view>* events, PublishParams* params);

// Whether one message may hold `size` things of this name ("events").
//   INVALID_ARGUMENT  it has more than `max`, which is limits.max_batch
absl::Status CheckBatchSize(absl::string_view what, size_t size, size_t max);

// A ValidateRequest.
absl::Status ReadValidateRequest(absl::string_view bytes, EventReader* event);

// A PublishStreamRequest.
struct PublishStreamMessage {
  enum class Kind : uint8_t { kNone, kHello, kItems };

  Kind kind = Kind::kNone;
  std::string publisher_id;              // of a hello
  PublishParams params;                  // of a hello
  std::vector<absl::string_view> items;  // PublishItems still to be read
};

// Reads into `message`, whose memory is reused.  At most `max_items` are kept, however many there
// are.
//   INVALID_ARGUMENT  malformed, a hello with an unknown value, or there are more items
absl::Status ReadPublishStreamRequest(absl::string_view bytes, size_t max_items,
                                      PublishStreamMessage* message);

// The items of a PublishStreamRequest that contains nothing else, which is what clients send.  Each
// item is read in place.
class ItemsReader {
 public:
  // Returns false if the message contains anything else; ReadPublishStreamRequest() reads it then.
  // The pieces must outlive this.
  bool Open(const std::vector<absl::string_view>& pieces);

  size_t size() const { return size_; }

  // The next PublishItem, valid until the next call.  Call it size() times.
  absl::string_view Next();

 private:
  std::optional<WirePieces> pieces_;
  size_t size_ = 0;
};

// A PublishItem.
//   INVALID_ARGUMENT  malformed (`seq` is set if it could be read), or what EventReader says
absl::Status ReadPublishItem(absl::string_view bytes, uint64_t* seq, EventReader* event);

}  // namespace fanwire::control
