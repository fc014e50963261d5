// WorkerPeerFilter finds the connections that come from an address.  It takes the address as lists
// print it, "192.0.2.7:51234" or "[::1]:51234", with or without port and brackets: "192.0.2.7",
// "[::1]", "::1".  Other forms of the same address match, too: "0:0::1", "::ffff:192.0.2.7",
// "fe80::1%eth0".
//
// Threading: immutable.
// Cost:      parses the text once; a match compares 16 bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "fanout/net/socket.h"

namespace fanwire::fanout {

class WorkerPeerFilter {
 public:
  // An empty text matches every peer, and a text that is no address matches none.
  explicit WorkerPeerFilter(absl::string_view text);

  bool Matches(const PeerAddress& peer) const;

 private:
  bool ReadHost(absl::string_view host);

  bool any_ = false;
  bool valid_ = false;
  PeerAddress address_;
  std::optional<uint16_t> port_;
};

}  // namespace fanwire::fanout
