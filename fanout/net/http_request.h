// The HTTP side of a service port: the rules of the WebSocket upgrade (RFC 6455 section 4.2.1), and
// plain responses.
//
// The rules are stricter than websocketpp's, which takes substrings for tokens, and any key.
//
// Threading: pure functions and values.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "common/http_head.h"

namespace fanwire::fanout {

// Whether `request` asks for a WebSocket at all: the `Upgrade` header holds that token.
bool AsksForWebSocket(const HttpRequest& request);

// Checks a request that asks for a WebSocket.
//   405  not GET       400  no `Connection: upgrade`, no or bad version, key not 16 bytes, a body
//   426  a version other than 13
HttpError CheckUpgrade(const HttpRequest& request);

struct HttpResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string headers;  // further header lines, each ending in CRLF
  std::string body;
};

// `response` as bytes, with Content-Length and `Connection: close`; without the body for HEAD.
std::string SerializeResponse(const HttpResponse& response, bool head_only);

// The Allow header of a service port.
inline constexpr char kAllowHeader[] = "Allow: GET, HEAD, OPTIONS\r\n";

// The response for a refusal, with the headers that its status demands.
HttpResponse ErrorResponse(const HttpError& error);

}  // namespace fanwire::fanout
