#include "proto/request_name.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace fanwire {

namespace {

constexpr absl::string_view kReserved[] = {"auth",    "history",       "ping",      "presence",
                                           "publish", "refresh_token", "subscribe", "unsubscribe"};

}  // namespace

bool IsReservedRequest(absl::string_view name) {
  return std::find(std::begin(kReserved), std::end(kReserved), name) != std::end(kReserved);
}

absl::Status CheckRequestName(absl::string_view name) {
  if (name.empty()) return absl::InvalidArgumentError("empty");
  if (name.size() > kMaxRequestNameBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(name.size(), " bytes, at most ", kMaxRequestNameBytes, " allowed"));
  }
  for (size_t i = 0; i < name.size(); ++i) {
    const auto byte = static_cast<unsigned char>(name[i]);
    if (byte < 0x20 || byte == 0x7f) {
      return absl::InvalidArgumentError(absl::StrCat("control character at byte ", i));
    }
    if (byte == '*' && i + 1 < name.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", name, "\" has a '*' that is not its last character"));
    }
  }
  if (IsReservedRequest(name)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", name, "\" is a request that Fanwire itself answers"));
  }
  return absl::OkStatus();
}

bool RequestMatches(absl::string_view listed, absl::string_view name) {
  if (!absl::EndsWith(listed, "*")) return listed == name;
  listed.remove_suffix(1);
  return name.size() <= kMaxRequestNameBytes && absl::StartsWith(name, listed) &&
         CheckRequestName(name).ok() && !absl::EndsWith(name, "*");
}

void RequestNames::Add(absl::string_view name) {
  if (absl::EndsWith(name, "*")) {
    patterns_.emplace_back(name);
  } else {
    exact_.emplace(name);
  }
}

bool RequestNames::Matches(absl::string_view request) const {
  return exact_.contains(request) ||
         std::any_of(patterns_.begin(), patterns_.end(),
                     [&](const std::string& pattern) { return RequestMatches(pattern, request); });
}

}  // namespace fanwire
