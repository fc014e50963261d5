#include "control/config/port_check.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"

namespace fanwire::control {

namespace {

std::string HostAndPort(const std::string& host, uint32_t port) {
  return Address{.host = host, .port = static_cast<uint16_t>(port), .unix_path = ""}.ToString();
}

// Whether listeners on these two addresses would take the same connections.
bool Overlap(const IpAddress& a, const IpAddress& b) {
  const auto covers = [](const IpAddress& any, const IpAddress& other) {
    return any.is_any() && (!any.is_v4() || other.is_v4());
  };
  return a == b || covers(a, b) || covers(b, a);
}

}  // namespace

bool PortCheck::Overlap(const Place& a, const Place& b) {
  if (a.owner == b.owner) return a.host == b.host || (!a.exact.empty() && a.exact == b.exact);
  for (const IpAddress& one : a.known) {
    for (const IpAddress& other : b.known) {
      if (control::Overlap(one, other)) return true;
    }
  }
  return a.host == b.host;
}

std::string PortCheck::Add(absl::string_view owner, absl::string_view host, uint32_t port) {
  if (port == 0) return "";
  Place place = {.owner = std::string(owner), .host = std::string(WithoutBrackets(host))};
  if (const std::optional<IpAddress> ip = ParseIp(host == "localhost" ? "127.0.0.1" : host)) {
    place.exact.push_back(*ip);
  }
  place.known = place.exact;
  if (host == "localhost") place.known.push_back(*ParseIp("::1"));
  std::vector<Place>& others = by_port_[port];
  const auto taken = std::find_if(others.begin(), others.end(),
                                  [&](const Place& other) { return Overlap(place, other); });
  std::string fault;
  if (taken != others.end()) {
    fault = absl::StrCat(owner, " cannot use ", HostAndPort(place.host, port), ": ",
                         HostAndPort(taken->host, port), " is taken by ", taken->owner);
  }
  others.push_back(std::move(place));
  return fault;
}

}  // namespace fanwire::control
