// The policies of a channel, which control chooses and workers apply, and the reasons for which
// workers drop deliveries.  The numbers are those of types.proto and config.proto.
//
// Threading: values.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace fanwire {

// The format of the frames that a subscriber gets: types.proto's Dialect.
enum class Dialect : uint8_t { kCommon = 0, kSessionBuddy = 1 };
inline constexpr size_t kDialects = 2;

// What happens to a session that is over its byte budget: config.proto's BacklogPolicy, never
// unspecified.
enum class BacklogPolicy : uint8_t { kClose = 1, kDropOldest = 2, kLatest = 3 };

// What happens to sessions of a channel with a gap: config.proto's GapPolicy, never unspecified.
enum class GapPolicy : uint8_t { kNotify = 1, kClose = 2 };

// Why a delivery was dropped: types.proto's DropReason, never unspecified.
enum class DropReason : uint8_t { kDropOldest = 1, kConflated = 2, kSlowClosed = 3, kClosing = 4 };

// Counts by reason are arrays of this size, indexed by the reason's number.  Index 0 counts reasons
// that this version does not know.
inline constexpr size_t kDropReasons = 5;

// The name of a drop reason in JSON and metrics: "drop_oldest" for 1 and so on, "other" for 0 and
// for numbers from kDropReasons on.
absl::string_view DropReasonName(size_t number);

}  // namespace fanwire
