// Parses and formats addresses: "127.0.0.1:8701", "[::1]:8701", "unix:/run/fanwire/control.sock".
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fanwire {

struct Address {
  std::string host;  // without brackets; empty for a unix socket
  uint16_t port = 0;
  std::string unix_path;  // not empty: the address of a unix socket

  bool is_unix() const { return !unix_path.empty(); }

  // The address in the form that ParseAddress() and gRPC accept.
  std::string ToString() const;
};

//   INVALID_ARGUMENT  the message says what is wrong: `"localhost": no port`
absl::StatusOr<Address> ParseAddress(absl::string_view text);

// Whether `host` is reachable from this machine only: 127.0.0.0/8, ::1, "localhost".
bool IsLoopback(absl::string_view host);

// The default folder of the socket of this user's control: $RUNTIME_DIRECTORY if it is set, else
// $XDG_RUNTIME_DIR/fanwire if that is set, else /tmp/fanwire-UID.
std::string DefaultRuntimeDir();

}  // namespace fanwire
