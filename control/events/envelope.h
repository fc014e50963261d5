// The envelope: the text of an event as WebSocket clients get it.  It is made once per publication,
// outside of all locks; only the position is added later (Publication::Seal).
//
//   {"id":…,"correlation_id":null,"type":"event","event":…,"data":{…},"timestamp":…,"room":…,
//    "error_code":null,"error_message":null,"offset":N,"epoch":"…"}
//
// The publisher's data is checked and goes into it byte for byte.
//
// Threading: EventData uses a parser of its thread, and is valid there until the next Parse(); the
//            rest are pure functions.
// Cost:      Parse() some 0.2 us and WriteEnvelope() some 0.1 us for 512 bytes of data.
// Source:    docs/protocol.md "Envelope", "Events and positions"
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/json_depth.h"
#include "control/events/publication.h"

namespace fanwire::control {

// Largest envelope: what existing clients accept.
inline constexpr size_t kMaxEnvelopeBytes = 1 << 20;

// A checked `data`.
class EventData {
 public:
  // `json` must be one JSON object, UTF-8, with nothing but white space around it.
  //   INVALID_ARGUMENT  `data: …`: what is wrong
  static absl::StatusOr<EventData> Parse(absl::string_view json);

  // A top-level field as a text, integers as written out; nothing if it is absent or of another
  // type.
  std::optional<std::string> TextField(absl::string_view name) const;

  // A hash of a top-level field's value whatever its type; 0 if it is absent.
  uint64_t FieldHash(absl::string_view name) const;

 private:
  explicit EventData(bool exotic) : exotic_(exotic) {}

  bool exotic_;  // numbers beyond 64 bits: the slow parser holds it
};

// The parts of an envelope; texts are borrowed.
struct EnvelopeParts {
  absl::string_view id;
  absl::string_view event;
  absl::string_view data;       // checked
  absl::string_view timestamp;  // as FormatIso8601() makes it
  absl::string_view room;       // the channel
};

// Bytes that the envelope needs, position included.
size_t MaxEnvelopeBytes(const EnvelopeParts& parts);

// Writes the envelope, without a position, into an unsealed publication that was made with
// MaxEnvelopeBytes(parts).
void WriteEnvelope(const EnvelopeParts& parts, Publication* publication);

// Appends `text`, UTF-8, in quotes, escaped for JSON.
void AppendJsonText(absl::string_view text, std::string* out);

// Whether `text` is UTF-8.
bool IsUtf8(absl::string_view text);

}  // namespace fanwire::control
