// Parses the address of a control as operators write it.
//
// Threading: pure functions.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/address.h"

namespace fanwire::cli {

// Control's gRPC port, if an address has none.
inline constexpr uint16_t kControlPort = 8701;

// Parses "HOST:PORT", "HOST", which means port 8701, or "unix:PATH".  An IPv6 host is in brackets.
//   INVALID_ARGUMENT  the message says what is wrong and which form is right
absl::StatusOr<Address> ParseServerAddress(absl::string_view text);

}  // namespace fanwire::cli
