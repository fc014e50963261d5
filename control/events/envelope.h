// The envelope: the text of an event as WebSocket clients get it.  It is written once for each
// publication, outside of all locks; only the position is added later (Publication::Seal).
//
//   {"id":…,"correlation_id":null,"type":"event","event":…,"data":{…},"timestamp":…,"room":…,
//    "error_code":null,"error_message":null,"offset":N,"epoch":"…"}
//
// Of an event that a client published, "publisher":{"connection_id":…,"user_id":…} comes before the
// position.
//
// The publisher's data goes into the envelope byte for byte; JsonDocument has checked it.
//
// Threading: pure functions.
// Cost:      WriteEnvelope() takes some 0.1 us for 512 bytes of data.
// Source:    docs/protocol.md "Envelope", "Events and positions"
#pragma once

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"
#include "control/events/publication.h"

namespace fanwire::control {

// Largest envelope: what existing clients accept.
inline constexpr size_t kMaxEnvelopeBytes = 1 << 20;

// The parts of an envelope; texts are borrowed.
struct EnvelopeParts {
  absl::string_view id;
  absl::string_view event;
  absl::string_view data;       // one JSON object
  absl::string_view timestamp;  // as FormatIso8601() makes it
  absl::string_view room;       // the channel
  absl::string_view publisher =
      {};  // the client that published it, a JSON object; empty: a service
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
