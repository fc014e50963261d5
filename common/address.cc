#include "common/address.h"

#include <arpa/inet.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

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
          absl::StrCat("\"", text, "\": a unix socket needs an absolute path: unix:/path"));
    }
    // sockaddr_un holds 108 bytes with the terminating zero.
    if (path.size() > 107) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", text, "\": path of ", path.size(), " bytes, at most 107"));
    }
    address.unix_path = std::string(path);
    return address;
  }
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) {
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\": no port"));
  }
  absl::string_view host = text.substr(0, colon);
  const absl::string_view port = text.substr(colon + 1);
  uint32_t number = 0;
  if (!absl::SimpleAtoi(port, &number) || number > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\": \"", port, "\" is not a port (0 to 65535)"));
  }
  if (absl::StartsWith(host, "[") && absl::EndsWith(host, "]")) {
    host = host.substr(1, host.size() - 2);
    in6_addr unused;
    if (inet_pton(AF_INET6, std::string(host).c_str(), &unused) != 1) {
      return absl::InvalidArgumentError(absl::StrCat("\"", text, "\": not an IPv6 address"));
    }
  } else if (absl::StrContains(host, ':')) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\": an IPv6 address needs brackets: [::1]:8701"));
  }
  if (host.empty()) return absl::InvalidArgumentError(absl::StrCat("\"", text, "\": no host"));
  address.host = std::string(host);
  address.port = static_cast<uint16_t>(number);
  return address;
}

bool IsLoopback(absl::string_view host) {
  if (host == "localhost") return true;
  const std::string text(host);
  in_addr v4;
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  in6_addr v6;
  return inet_pton(AF_INET6, text.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
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
