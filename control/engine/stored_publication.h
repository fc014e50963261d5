// The bytes of a publication in the database: v1.StoredPublication.
//
// Threading: pure functions.
// Cost:      writing copies the names, and borrows the envelope.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "control/events/publication.h"

namespace fanwire::control {

// Writes all of an unsealed publication but its envelope to `head`.  The value is `head`, then the
// envelope.
void WriteStoredHead(const Publication& publication, std::string* head);

// Returns when the stored publication was received: microseconds since 1970; 0 if it is malformed.
int64_t StoredReceivedUs(absl::string_view value);

// Makes the publication with its position again; without one if its offset is 0.  Null if `value`
// is malformed.  `received_at` is when it was received, on Clock::Now()'s scale.
PublicationPtr ReadStored(absl::string_view value, const Position& position,
                          absl::Duration received_at);

}  // namespace fanwire::control
