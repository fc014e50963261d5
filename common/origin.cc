#include "common/origin.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/utf8.h"

namespace fanwire {

namespace {

// Hosts are names of at most 253 bytes; longer texts are no origins.
constexpr size_t kMaxBytes = 512;
constexpr absl::string_view kSchemeEnd = "://";

absl::Status Bad(absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("\"", ToUtf8(text, kMaxBytes), "\" is no origin: ", why));
}

bool IsAlpha(char c) { return absl::ascii_isalpha(static_cast<unsigned char>(c)); }
bool IsAlnum(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)); }

// RFC 3986 section 3.1.
bool IsScheme(absl::string_view text) {
  return !text.empty() && IsAlpha(text[0]) && std::all_of(text.begin(), text.end(), [](char c) {
    return IsAlnum(c) || c == '+' || c == '-' || c == '.';
  });
}

// A name or an IPv4 address, as browsers write it: international names are in Punycode.
bool IsName(absl::string_view text) {
  if (text.empty() || text.front() == '.' || absl::StrContains(text, "..")) return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return IsAlnum(c) || c == '-' || c == '_' || c == '.'; });
}

std::optional<int> OwnPort(absl::string_view scheme) {
  if (scheme == "http" || scheme == "ws") return 80;
  if (scheme == "https" || scheme == "wss") return 443;
  return std::nullopt;
}

}  // namespace

absl::StatusOr<Origin> Origin::Parse(absl::string_view text) {
  if (text == "null") {
    return Bad(text, "every page without an origin has it; \"*\" is every page");
  }
  if (text.size() > kMaxBytes) return Bad(text, "too long");
  const size_t scheme_end = text.find(kSchemeEnd);
  if (scheme_end == absl::string_view::npos || !IsScheme(text.substr(0, scheme_end))) {
    return Bad(text, "it begins with a scheme, as in https://dash.example.com");
  }
  std::string scheme = absl::AsciiStrToLower(text.substr(0, scheme_end));
  absl::string_view rest = text.substr(scheme_end + kSchemeEnd.size());
  if (absl::StrContains(rest, '/')) return Bad(text, "it ends after the host and port");
  if (absl::StrContains(rest, '*')) return Bad(text, "hosts have no wildcards");

  std::string host;
  if (absl::ConsumePrefix(&rest, "[")) {
    const size_t end = rest.find(']');
    in6_addr address;
    if (end == absl::string_view::npos ||
        inet_pton(AF_INET6, std::string(rest.substr(0, end)).c_str(), &address) != 1) {
      return Bad(text, "in brackets belongs an IPv6 address");
    }
    char shortest[INET6_ADDRSTRLEN] = {};
    inet_ntop(AF_INET6, &address, shortest, sizeof(shortest));
    host = absl::StrCat("[", shortest, "]");
    rest.remove_prefix(end + 1);
  } else {
    const size_t end = std::min(rest.find(':'), rest.size());
    if (!IsName(rest.substr(0, end))) return Bad(text, "the host is missing or malformed");
    host = absl::AsciiStrToLower(rest.substr(0, end));
    rest.remove_prefix(end);
  }

  std::optional<int> port = std::nullopt;
  if (!rest.empty()) {
    int number = 0;
    if (!absl::ConsumePrefix(&rest, ":") || rest.empty() || rest.size() > 5 ||
        !std::all_of(rest.begin(), rest.end(), absl::ascii_isdigit) ||
        !absl::SimpleAtoi(rest, &number) || number > 65535) {
      return Bad(text, "after the host comes nothing, or ':' and a port from 0 to 65535");
    }
    if (number != OwnPort(scheme)) port = number;
  }
  return Origin(std::move(scheme), std::move(host), port);
}

bool Origin::IsLoopback() const {
  if (host_ == "localhost" || absl::EndsWith(host_, ".localhost")) return true;
  if (host_.front() == '[') {
    in6_addr v6;
    if (inet_pton(AF_INET6, host_.substr(1, host_.size() - 2).c_str(), &v6) != 1) return false;
    return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
  }
  in_addr v4;
  return inet_pton(AF_INET, host_.c_str(), &v4) == 1 && (ntohl(v4.s_addr) >> 24) == 127;
}

std::string Origin::ToString() const {
  return absl::StrCat(scheme_, kSchemeEnd, host_, port_.has_value() ? ":" : "",
                      port_.has_value() ? absl::StrCat(*port_) : "");
}

}  // namespace fanwire
