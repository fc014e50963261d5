#include "fanout/worker_peer_filter.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"

namespace fanwire::fanout {

WorkerPeerFilter::WorkerPeerFilter(absl::string_view text) : any_(text.empty()) {
  absl::string_view host = text;
  absl::string_view port;
  bool has_port = false;
  if (absl::StartsWith(text, "[")) {
    const size_t end = text.find(']');
    if (end == absl::string_view::npos) return;
    host = text.substr(1, end - 1);
    const absl::string_view rest = text.substr(end + 1);
    has_port = absl::StartsWith(rest, ":");
    if (!rest.empty() && !has_port) return;
    if (has_port) port = rest.substr(1);
  } else if (std::count(text.begin(), text.end(), ':') == 1) {
    const size_t colon = text.find(':');
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
    has_port = true;
  }
  if (has_port) {
    uint32_t number = 0;
    if (!absl::SimpleAtoi(port, &number) || number > 65535) return;
    port_ = static_cast<uint16_t>(number);
  }
  valid_ = ReadHost(host);
}

bool WorkerPeerFilter::ReadHost(absl::string_view host) {
  const std::string text(host.substr(0, host.find('%')));  // without the zone of a link
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  if (inet_pton(AF_INET, text.c_str(), &v4.sin_addr) == 1) {
    address_ = PeerAddress::From(reinterpret_cast<const sockaddr*>(&v4));
    return true;
  }
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  if (inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr) != 1) return false;
  address_ = PeerAddress::From(reinterpret_cast<const sockaddr*>(&v6));
  return true;
}

bool WorkerPeerFilter::Matches(const PeerAddress& peer) const {
  if (any_) return true;
  if (!valid_ || (port_.has_value() && *port_ != peer.port)) return false;
  return std::equal(std::begin(peer.bytes), std::end(peer.bytes), std::begin(address_.bytes));
}

}  // namespace fanwire::fanout
