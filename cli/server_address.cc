#include "cli/server_address.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cli/text.h"

namespace fanwire::cli {
namespace {

constexpr absl::string_view kForms = "write HOST:PORT or unix:PATH, such as 127.0.0.1:8701";

absl::Status NotAnAddress(absl::string_view text, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" ", what));
}

}  // namespace

absl::StatusOr<Address> ParseServerAddress(absl::string_view text) {
  if (absl::StartsWith(text, "unix:")) return ParseAddress(text);  // a path may be any bytes
  if (!IsUtf8(text)) return NotAnAddress(text, "is not UTF-8");
  const size_t scheme = text.find("://");
  if (scheme != absl::string_view::npos) {
    return NotAnAddress(
        text, absl::StrCat("is a URL: ", kForms, ", without ", text.substr(0, scheme + 3),
                           absl::StartsWith(text, "https:")
                               ? "; for TLS, set `tls: true` for a server of the contexts file"
                               : ""));
  }
  if (absl::StartsWith(text, "/")) {
    return NotAnAddress(text, absl::StrCat("is a path: write unix:", text));
  }
  if (absl::StrContains(text, '/')) {
    return NotAnAddress(text, absl::StrCat("has a path behind the host: ", kForms));
  }
  // The colons of an IPv6 address are within its brackets.
  const size_t host_end = absl::StartsWith(text, "[") ? text.find(']') : 0;
  const bool has_port =
      absl::StrContains(text.substr(host_end == absl::string_view::npos ? 0 : host_end), ':');
  absl::StatusOr<Address> address =
      has_port ? ParseAddress(text) : ParseAddress(absl::StrCat(text, ":", kControlPort));
  if (address.ok() && address->port == 0) return NotAnAddress(text, "has port 0: use 1 to 65535");
  return address;
}

}  // namespace fanwire::cli
