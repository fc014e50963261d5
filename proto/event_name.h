// The grammar of event names, shared by control, which checks what is published, and the workers,
// which check what subscribers filter for; and the names that only Fanwire itself gives to events.
//
// A name is 1-128 bytes of UTF-8 without control characters (U+0000-001F, U+007F) and without '*',
// which is a wildcard wherever a configuration names events.
//
// Threading: pure functions.
// Cost:      some nanoseconds for a name of printable ASCII; nothing is allocated for a good name.
// Source:    docs/protocol.md "Events and positions"
#pragma once

#include <cstddef>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace fanwire {

// Longest event name, in bytes.
inline constexpr size_t kMaxEventNameBytes = 128;

// Events that only Fanwire sends.  A client must be able to believe them, so nobody can publish an
// event of such a name.  `session.created` is not among them: session-buddy publishes it.
inline constexpr absl::string_view kChannelSkippedEvent = "channel.skipped";
inline constexpr absl::string_view kChannelUnsubscribedEvent = "channel.unsubscribed";
inline constexpr absl::string_view kServerDrainingEvent = "server.draining";
inline constexpr absl::string_view kTokenExpiringEvent = "token.expiring";
inline constexpr absl::string_view kPresenceJoinedEvent = "presence.joined";
inline constexpr absl::string_view kPresenceLeftEvent = "presence.left";

// OK if an event can have the name.  Does not look for bytes that are not UTF-8.
//   INVALID_ARGUMENT  the message says what is wrong: "control character at byte 1"
absl::Status CheckEventName(absl::string_view name);

// Whether only Fanwire sends events of this name.
bool IsReservedEventName(absl::string_view name);

}  // namespace fanwire
