// Strict reading of one HTTP request head (RFC 9112): for the service ports and for the operators'
// port.
//
// What passes here is what one request means to every proxy: it refuses what lenient parsers take,
// such as repeated Hosts, blanks around a header's name, bare line feeds and NUL.
//
// Threading: pure functions and values.
// Ownership: a HttpRequest holds views into the head it was read from.
// Cost:      one pass over the head; a HttpRequest that is used again allocates nothing.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace fanwire {

struct HttpHeader {
  absl::string_view name;   // as sent; compare without case
  absl::string_view value;  // without surrounding blanks
};

// Why a request is refused; status 0 means that it is not.
struct HttpError {
  int status = 0;            // 400, 405, 426, 431, 505 …
  absl::string_view reason;  // static text for the response's body
  explicit operator bool() const { return status != 0; }
};

// How large a request head may be.  The configuration sets both: limits.max_head_bytes and
// limits.max_head_lines.
struct HttpHeadLimits {
  size_t max_bytes = size_t{32} * 1024;  // with the empty line that ends it
  size_t max_lines = 128;                // of headers

  bool operator==(const HttpHeadLimits&) const = default;
};

// One request head.  Views last as long as the call that delivers it.
class HttpRequest {
 public:
  absl::string_view method;  // "GET"
  absl::string_view path;    // "/ws", as sent (not percent-decoded); "*" of OPTIONS only
  absl::string_view query;   // "token=abc&x=1", without the question mark; may be empty
  bool http_1_0 = false;     // else 1.1

  absl::Span<const HttpHeader> headers() const { return headers_; }

  // The first header called `name`, without case; empty if there is none.
  absl::string_view Header(absl::string_view name) const;
  size_t CountHeader(absl::string_view name) const;

  // Whether a comma-separated header (any number of lines) holds `token`, without case.
  bool HeaderHasToken(absl::string_view name, absl::string_view token) const;

  // The percent-decoded value of the first query parameter called `name`.
  std::optional<std::string> QueryParameter(absl::string_view name) const;

  // The token of "Authorization: Bearer TOKEN"; empty if there is none.
  absl::string_view BearerToken() const;

 private:
  friend HttpError ParseRequestHead(absl::string_view head, size_t max_lines, HttpRequest* request);

  std::vector<HttpHeader> headers_;
};

// Returns the bytes at the start of `text` that belong to empty lines.  A server ignores them
// before a request line (RFC 9112 section 2.2).  A CR without its LF yet does not count.
size_t EmptyLineBytes(absl::string_view text);

// Reads `head`, which ends in its empty line, into `request`.
//   400  anything RFC 9112 does not allow: bare line feeds, control characters, folded headers,
//        blanks in or after a header's name, empty or repeated Host
//   431  more than `max_lines` headers        505  another version than 1.0 or 1.1
HttpError ParseRequestHead(absl::string_view head, size_t max_lines, HttpRequest* request);

// What a 431 says: which limit the head is over, and the key that sets it.
std::string TooManyBytesText(const HttpHeadLimits& limits);
std::string TooManyLinesText(const HttpHeadLimits& limits);

}  // namespace fanwire
