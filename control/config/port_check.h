// PortCheck finds two places of a configuration that want the same TCP port.
//
// The kernel would let some of them share it (SO_REUSEPORT) and split the clients between them.
// Two hosts overlap if they are the same address in whatever spelling, or if one of them is the
// address of every interface: "0.0.0.0" takes all of IPv4, and "::" takes IPv4 as well.
// "localhost" means 127.0.0.1 to a listener, and to clients also ::1.
//
// Threading: none.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/address.h"

namespace fanwire::control {

class PortCheck {
 public:
  // Adds `host`:`port`, wanted by `owner`, such as `service "a"` or "control.grpc_listen".  Returns
  // why it cannot be had, or an empty text: `service "b" cannot use localhost:1: 127.0.0.1:1 is
  // taken by service "a"`.  One owner may have overlapping hosts, but not one address twice.  Port
  // 0, any free one, overlaps with nothing.
  std::string Add(absl::string_view owner, absl::string_view host, uint32_t port);

 private:
  struct Place {
    std::string owner;
    std::string host;                   // as given
    std::vector<IpAddress> exact = {};  // the addresses that a listener takes; empty for a name
    std::vector<IpAddress> known = {};  // the addresses that clients take for the same
  };

  static bool Overlap(const Place& a, const Place& b);

  std::map<uint32_t, std::vector<Place>> by_port_;
};

}  // namespace fanwire::control
