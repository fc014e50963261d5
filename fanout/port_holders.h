// PortHolders finds the processes that listen on a port of this machine.
//
// By SO_REUSEPORT the kernel lets every process of one user listen on the same port, and spreads
// the clients over them.  Workers of one instance want that; two instances would each get a part of
// the clients without knowing of it.
//
// Threading: pure functions.
// Cost:      reads the system's table of listening sockets.  Where somebody listens, also the
//            descriptors of processes until the holders are found: about 10 ms.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace fanwire::fanout {

struct PortHolder {
  pid_t pid = 0;
  std::string command;  // the program's name
};

// The processes other than this one that take connections to `host`:`port`, which are those that
// listen on the same address or, of either side, on all addresses.  `host` is an IPv4 or IPv6
// literal or "localhost"; port 0 has no holders.  Processes that this one may not look at are left
// out: the kernel lets nobody share a port with another user's.
std::vector<PortHolder> PortHolders(absl::string_view host, uint16_t port);

// Checks that nobody listens there but this process and those for which `shares` is true.
//   ALREADY_EXISTS  the message names the process
absl::Status CheckPortHolders(absl::string_view host, uint16_t port,
                              const std::function<bool(pid_t)>& shares);

}  // namespace fanwire::fanout
