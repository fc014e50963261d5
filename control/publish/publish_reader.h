// Reads publishers' requests from their bytes, without protobuf's objects: texts are those of the
// message, which must outlive what was read.
//
// What protobuf would take is taken, with the same meaning.  A text that is no UTF-8 is refused
// with the event that it belongs to, here or by CheckEvent().
//
// Threading: of its user.
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

// Reads one Event after the other.
class EventReader {
 public:
  // Reads `bytes`, a v1.Event.  After an error event() has its id, if that can be repeated.
  //   INVALID_ARGUMENT  malformed; or a part that means nothing, and which
  absl::Status Read(absl::string_view bytes);

  // The same of a field that may come several times, which protobuf merges: each is added.
  void Begin();
  void Add(absl::string_view bytes);
  absl::Status Read();

  // Until the next Read().
  const Event& event() const { return event_; }

 private:
  // A google.protobuf.Timestamp or Duration.
  struct Seconds {
    bool present = false;
    int64_t seconds = 0;
    int32_t nanos = 0;

    bool Read(absl::string_view bytes);
  };

  // False: malformed.
  bool ReadFields();
  absl::Status Check();
  // The JSON of a typed payload.
  absl::Status ReadTyped();

  absl::string_view bytes_;
  std::string joined_;  // where they came in parts
  Event event_;
  Seconds occurred_at_;
  Seconds ttl_;
  bool typed_ = false;
  absl::string_view type_url_;
  absl::string_view typed_bytes_;
  std::string typed_json_;
};

// A PublishRequest.
//   INVALID_ARGUMENT  malformed, or what EventReader or the parameters say
absl::Status ReadPublishRequest(absl::string_view bytes, EventReader* event, PublishParams* params);

// A PublishBatchRequest: `events` are v1.Events still to be read.
//   INVALID_ARGUMENT  malformed, or a parameter that means nothing
absl::Status ReadPublishBatchRequest(absl::string_view bytes,
                                     std::vector<absl::string_view>* events, PublishParams* params);

// A ValidateRequest.
absl::Status ReadValidateRequest(absl::string_view bytes, EventReader* event);

// A PublishStreamRequest.
struct PublishStreamMessage {
  enum class Kind : uint8_t { kNone, kHello, kItems };

  Kind kind = Kind::kNone;
  std::string publisher_id;  // of a hello, and so
  PublishParams params;
  std::vector<absl::string_view> items;  // PublishItems still to be read
};

// Reads into `message`, whose memory is used again.
//   INVALID_ARGUMENT  malformed, or a hello that means nothing
absl::Status ReadPublishStreamRequest(absl::string_view bytes, PublishStreamMessage* message);

// The items of a PublishStreamRequest that has nothing else in it, as clients write it, each read
// where it lies.
class ItemsReader {
 public:
  // False if the message is anything else: ReadPublishStreamRequest() tells what.  The pieces must
  // outlive this.
  bool Open(const std::vector<absl::string_view>& pieces);

  size_t size() const { return size_; }

  // The next PublishItem, of size() in all; valid until the next call.
  absl::string_view Next();

 private:
  std::optional<WirePieces> pieces_;
  size_t size_ = 0;
};

// A PublishItem.
//   INVALID_ARGUMENT  malformed, then `seq` is what was read of it; or what EventReader says
absl::Status ReadPublishItem(absl::string_view bytes, uint64_t* seq, EventReader* event);

}  // namespace fanwire::control
