#include "fanout/origin_policy.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "common/address.h"
#include "fanwire/v1/config.pb.h"

namespace fanwire::fanout {

OriginPolicy::OriginPolicy(const v1::ListenerConfig& listener)
    : every_(listener.auth_required() && listener.allowed_origins().empty()),
      loopback_pages_(IsLoopback(listener.host())) {
  for (const std::string& text : listener.allowed_origins()) {
    if (text == "*") {
      every_ = true;
    } else if (absl::StatusOr<Origin> origin = Origin::Parse(text); origin.ok()) {
      allowed_.push_back(*std::move(origin));
    }
  }
}

bool OriginPolicy::Allows(const HttpRequest& request) const {
  return every_ || std::all_of(request.headers().begin(), request.headers().end(),
                               [this](const HttpHeader& header) {
                                 return !absl::EqualsIgnoreCase(header.name, "Origin") ||
                                        AllowsOrigin(header.value);
                               });
}

bool OriginPolicy::AllowsOrigin(absl::string_view text) const {
  const absl::StatusOr<Origin> origin = Origin::Parse(text);
  if (!origin.ok()) return false;
  return (loopback_pages_ && origin->IsLoopback()) ||
         std::find(allowed_.begin(), allowed_.end(), *origin) != allowed_.end();
}

}  // namespace fanwire::fanout
