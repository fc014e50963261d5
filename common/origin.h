// Origin is where a web page came from, as browsers name it in the Origin header (RFC 6454):
// "https://dash.example.com", "http://[::1]:3000".
//
// Two origins are equal if scheme, host and port are, where a port that is left out is the scheme's
// own.  Letters have no case.
//
// Threading: immutable.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fanwire {

class Origin {
 public:
  //   INVALID_ARGUMENT  not exactly a scheme, a host and perhaps a port; the message says what is
  //                     wrong.  "null", which browsers send for pages without an origin, is refused
  static absl::StatusOr<Origin> Parse(absl::string_view text);

  // Whether the host is this machine whatever its name servers say: localhost, *.localhost,
  // 127.0.0.0/8, ::1 and ::ffff:127.0.0.0/104.
  bool IsLoopback() const;

  // "https://dash.example.com:8443"; without the port if it is the scheme's own.
  std::string ToString() const;

  bool operator==(const Origin&) const = default;

 private:
  Origin(std::string scheme, std::string host, std::optional<int> port)
      : scheme_(std::move(scheme)), host_(std::move(host)), port_(port) {}

  std::string scheme_;       // lower case
  std::string host_;         // lower case; an IPv6 address in brackets, in its shortest form
  std::optional<int> port_;  // none if it is the scheme's own, or the scheme has none
};

}  // namespace fanwire
