// Reads the typed payload of an event that is of no catalog: a google.protobuf.Struct, or a Value
// that holds an object.
//
// Protobuf's objects take many times the bytes of a message: two bytes of a list become an object
// of some 50.  The bytes are therefore measured first, and what cannot be an event's data is
// refused before any object is made of it.
//
// Threading: pure functions.
// Cost:      one pass over the bytes to measure them; then protobuf's objects and their JSON.
// Source:    google/protobuf/struct.proto
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace fanwire::control {

// Whether a payload of this type may be a message of a catalog, which MakeTypedEvent() reads
// (control/events/typed_event.h).
bool IsCatalogType(absl::string_view type_url);

// Writes the JSON object of the payload to `json`, whose old text is dropped.
//   INVALID_ARGUMENT  another type; malformed; a number that JSON does not have; or more than an
//                     event may hold
absl::Status ReadTypedPayload(absl::string_view type_url, absl::string_view bytes,
                              std::string* json);

}  // namespace fanwire::control
