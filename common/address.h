// Parses and formats addresses: "127.0.0.1:8701", "[::1]:8701", "unix:/run/fanwire/control.sock".
#pragma once

#include <array>
#include <cstdint>
#include <optional>
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

// An IPv4 or IPv6 address in one form for all of its spellings: "127.1" is 127.0.0.1, "0:0::1" is
// ::1, and the IPv4-mapped "::ffff:127.0.0.1" is 127.0.0.1 again.
struct IpAddress {
  std::array<uint8_t, 16> bytes = {};  // IPv4 as ::ffff:a.b.c.d
  uint32_t scope = 0;                  // of "fe80::1%eth0"

  bool is_v4() const;
  // 0.0.0.0 or ::
  bool is_any() const;
  std::string ToString() const;

  bool operator==(const IpAddress&) const = default;
};

// The address that `host` is, in any spelling that a listener takes; null for names, "localhost"
// among them.  IPv6 may be in brackets.
std::optional<IpAddress> ParseIp(absl::string_view host);

// "::1" of "[::1]"; anything else as it is.
absl::string_view WithoutBrackets(absl::string_view host);

// The value of a key such as `grpc_listen` that means: nothing listens.
inline constexpr char kListenOff[] = "off";

// Whether `host` is reachable from this machine only: 127.0.0.0/8 and ::1 in any spelling, and
// "localhost".
bool IsLoopback(absl::string_view host);

// The default folder of the socket of this user's control: $RUNTIME_DIRECTORY if it is set, else
// $XDG_RUNTIME_DIR/fanwire if that is set, else /tmp/fanwire-UID.
std::string DefaultRuntimeDir();

}  // namespace fanwire
