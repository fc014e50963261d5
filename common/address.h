// Addresses as people write them: "127.0.0.1:8701", "[::1]:8701", "unix:/run/fanwire/control.sock".
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fanwire {

struct Address {
  std::string host;  // without brackets; empty for a unix socket
  uint16_t port = 0;
  std::string unix_path;  // set: a unix socket

  bool is_unix() const { return !unix_path.empty(); }

  // As it was written; what gRPC takes, too.
  std::string ToString() const;
};

//   INVALID_ARGUMENT  says what is missing: `"localhost": no port`
absl::StatusOr<Address> ParseAddress(absl::string_view text);

// Whether only this machine can reach `host`: 127.0.0.0/8, ::1, "localhost".
bool IsLoopback(absl::string_view host);

// Where a control of this user keeps its socket unless told otherwise: the first that is set of
// $RUNTIME_DIRECTORY, $XDG_RUNTIME_DIR/fanwire and /tmp/fanwire-UID.
std::string DefaultRuntimeDir();

}  // namespace fanwire
