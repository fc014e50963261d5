#include "fanout/net/http_request.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace fanwire::fanout {

namespace {

constexpr absl::string_view kLineEnd = "\r\n";
constexpr absl::string_view kWebSocketVersion = "13";
constexpr size_t kKeyLength = 24;  // 16 bytes in base64

HttpError BadRequest(absl::string_view reason) { return {400, reason}; }

// 24 characters of base64 that stand for 16 bytes, so the last two are padding.
bool IsWebSocketKey(absl::string_view key) {
  if (key.size() != kKeyLength || !absl::EndsWith(key, "==")) return false;
  key.remove_suffix(2);
  return std::all_of(key.begin(), key.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '+' || c == '/';
  });
}

absl::string_view StatusText(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 426:
      return "Upgrade Required";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Status";
  }
}

}  // namespace

bool AsksForWebSocket(const HttpRequest& request) {
  return request.HeaderHasToken("Upgrade", "websocket");
}

HttpError CheckUpgrade(const HttpRequest& request) {
  if (request.method != "GET") return {405, "a WebSocket upgrade is a GET"};
  if (request.http_1_0) return BadRequest("a WebSocket upgrade needs HTTP/1.1");
  if (!request.HeaderHasToken("Connection", "upgrade")) {
    return BadRequest("Connection: upgrade is missing");
  }
  const absl::string_view version = request.Header("Sec-WebSocket-Version");
  if (request.CountHeader("Sec-WebSocket-Version") != 1 || version.empty() || version.size() > 3 ||
      !std::all_of(version.begin(), version.end(),
                   [](char c) { return absl::ascii_isdigit(static_cast<unsigned char>(c)); })) {
    return BadRequest("one Sec-WebSocket-Version is needed");
  }
  if (version != kWebSocketVersion) return {426, "Sec-WebSocket-Version must be 13"};
  if (request.CountHeader("Sec-WebSocket-Key") != 1 ||
      !IsWebSocketKey(request.Header("Sec-WebSocket-Key"))) {
    return BadRequest("one Sec-WebSocket-Key of 16 bytes is needed");
  }
  const absl::string_view length = request.Header("Content-Length");
  if (request.CountHeader("Transfer-Encoding") > 0 || request.CountHeader("Content-Length") > 1 ||
      (!length.empty() && length != "0")) {
    return BadRequest("a WebSocket upgrade has no body");
  }
  return {};
}

std::string SerializeResponse(const HttpResponse& response, bool head_only) {
  // 426 must name what to upgrade to, and Connection must list that header (RFC 9110 section 7.8).
  const absl::string_view connection = response.status == 426 ? "close, upgrade" : "close";
  return absl::StrCat("HTTP/1.1 ", response.status, " ", StatusText(response.status), kLineEnd,
                      "Content-Type: ", response.content_type, kLineEnd,
                      "Content-Length: ", response.body.size(), kLineEnd,
                      "Connection: ", connection, kLineEnd, response.headers, kLineEnd,
                      head_only ? absl::string_view() : absl::string_view(response.body));
}

HttpResponse ErrorResponse(const HttpError& error) {
  HttpResponse response;
  response.status = error.status;
  response.body = absl::StrCat(error.reason, "\n");
  if (error.status == 405) response.headers = kAllowHeader;
  if (error.status == 426) {
    response.headers = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
  }
  return response;
}

}  // namespace fanwire::fanout
