#include "common/address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/utf8.h"

namespace fanwire {

std::string Address::ToString() const {
  if (is_unix()) return absl::StrCat("unix:", unix_path);
  if (absl::StrContains(host, ':')) return absl::StrCat("[", host, "]:", port);
  return absl::StrCat(host, ":", port);
}

absl::StatusOr<Address> ParseAddress(absl::string_view text) {
  Address address;
  if (absl::StartsWith(text, "unix:")) {
    absl::string_view path = text.substr(5);
    if (absl::StartsWith(path, "//")) path.remove_prefix(2);
    if (path.empty() || path[0] != '/') {
      return absl::InvalidArgumentError(
          absl::StrCat(QuotedText(text), ": a unix socket needs an absolute path: unix:/path"));
    }
    // sockaddr_un holds 108 bytes with the terminating zero.
    if (path.size() > 107) {
      return absl::InvalidArgumentError(
          absl::StrCat(QuotedText(text), ": path of ", path.size(), " bytes, at most 107"));
    }
    address.unix_path = std::string(path);
    return address;
  }
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat(QuotedText(text), ": no port; expected HOST:PORT, as in 127.0.0.1:8701"));
  }
  absl::string_view host = text.substr(0, colon);
  const absl::string_view port = text.substr(colon + 1);
  uint32_t number = 0;
  if (!absl::SimpleAtoi(port, &number) || number > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat(QuotedText(text), ": ", QuotedText(port), " is not a port (0 to 65535)"));
  }
  if (absl::StartsWith(host, "[") && absl::EndsWith(host, "]")) {
    host = host.substr(1, host.size() - 2);
    in6_addr unused;
    if (inet_pton(AF_INET6, std::string(host).c_str(), &unused) != 1) {
      return absl::InvalidArgumentError(absl::StrCat(QuotedText(text), ": not an IPv6 address"));
    }
  } else if (absl::StrContains(host, ':')) {
    return absl::InvalidArgumentError(
        absl::StrCat(QuotedText(text), ": an IPv6 address needs brackets: [::1]:8701"));
  }
  if (host.empty()) return absl::InvalidArgumentError(absl::StrCat(QuotedText(text), ": no host"));
  address.host = std::string(host);
  address.port = static_cast<uint16_t>(number);
  return address;
}

bool IpAddress::is_v4() const {
  in6_addr address;
  std::memcpy(&address, bytes.data(), sizeof(address));
  return IN6_IS_ADDR_V4MAPPED(&address);
}

bool IpAddress::is_any() const {
  const size_t zeros = is_v4() ? 12 : 0;  // where the address itself begins
  return std::all_of(bytes.begin() + static_cast<ptrdiff_t>(zeros), bytes.end(),
                     [](uint8_t byte) { return byte == 0; });
}

std::string IpAddress::ToString() const {
  char text[INET6_ADDRSTRLEN] = "";
  const bool v4 = is_v4();
  inet_ntop(v4 ? AF_INET : AF_INET6, bytes.data() + (v4 ? 12 : 0), text, sizeof(text));
  return scope == 0 ? std::string(text) : absl::StrCat(text, "%", scope);
}

std::optional<IpAddress> ParseIp(absl::string_view host) {
  const absl::string_view bare = WithoutBrackets(host);
  const bool brackets = bare.size() != host.size();
  addrinfo hints = {};
  hints.ai_family = brackets ? AF_INET6 : AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST;
  addrinfo* found = nullptr;
  if (bare.empty() || absl::StrContains(bare, absl::string_view("\0", 1)) ||
      getaddrinfo(std::string(bare).c_str(), nullptr, &hints, &found) != 0) {
    return std::nullopt;
  }
  IpAddress address;
  if (found->ai_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, found->ai_addr, sizeof(v4));
    address.bytes[10] = address.bytes[11] = 0xff;
    std::memcpy(&address.bytes[12], &v4.sin_addr, 4);
  } else {
    sockaddr_in6 v6;
    std::memcpy(&v6, found->ai_addr, sizeof(v6));
    std::memcpy(address.bytes.data(), &v6.sin6_addr, 16);
    address.scope = v6.sin6_scope_id;
  }
  freeaddrinfo(found);
  return address;
}

absl::string_view WithoutBrackets(absl::string_view host) {
  if (host.size() < 2 || host.front() != '[' || host.back() != ']') return host;
  return host.substr(1, host.size() - 2);
}

bool IsLoopback(absl::string_view host) {
  if (host == "localhost") return true;
  const std::optional<IpAddress> ip = ParseIp(host);
  if (!ip) return false;
  if (ip->is_v4()) return ip->bytes[12] == 127;
  return ip->ToString() == "::1";
}

std::string DefaultRuntimeDir() {
  if (const char* dir = std::getenv("RUNTIME_DIRECTORY"); dir != nullptr && *dir != '\0') {
    const absl::string_view all(dir);  // systemd separates several folders by ':'
    return std::string(all.substr(0, all.find(':')));
  }
  if (const char* dir = std::getenv("XDG_RUNTIME_DIR"); dir != nullptr && *dir != '\0') {
    return absl::StrCat(dir, "/fanwire");
  }
  return absl::StrCat("/tmp/fanwire-", geteuid());
}

}  // namespace fanwire
