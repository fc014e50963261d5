// OriginPolicy decides which web pages may connect to a listener.
//
// A browser lets every page open a WebSocket to every address that it reaches, loopback among them,
// and adds the page's origin to the handshake.  So a listener that asks for no token must look at
// it.  A client that is no browser sends no Origin and is not asked for one.
//
//   the listener            takes a handshake with an Origin
//   demands a token         whatever it is, unless allowed origins are configured
//   lets anonymous ones in  if the origin is allowed, or both the listener and the page's host are
//                           loopback
//
// Threading: immutable.
// Source:    docs/protocol.md "Origins"
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/http_head.h"
#include "common/origin.h"

namespace fanwire::v1 {
class ListenerConfig;
}  // namespace fanwire::v1

namespace fanwire::fanout {

class OriginPolicy {
 public:
  // An allowed origin that is malformed, which control refuses, allows nothing.
  explicit OriginPolicy(const v1::ListenerConfig& listener);

  // Whether every Origin header of the request may connect; so it is if there is none.
  bool Allows(const HttpRequest& request) const;

 private:
  bool AllowsOrigin(absl::string_view text) const;

  bool every_ = false;  // "*", or the listener does not look
  bool loopback_pages_ = false;
  std::vector<Origin> allowed_;
};

}  // namespace fanwire::fanout
