#include "common/http_head.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace fanwire {

namespace {

constexpr absl::string_view kLineEnd = "\r\n";

HttpError BadRequest(absl::string_view reason) { return {400, reason}; }

// RFC 9110 section 5.6.2.
bool IsTokenCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
         absl::string_view("!#$%&'*+-.^_`|~").find(c) != absl::string_view::npos;
}

bool IsToken(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), IsTokenCharacter);
}

// RFC 9110 section 5.5: visible characters, blanks and bytes from 0x80 on.
bool IsFieldValue(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<uint8_t>(c);
    return byte == '\t' || (byte >= 0x20 && byte != 0x7f);
  });
}

bool IsTarget(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return c > 0x20 && c < 0x7f && c != '#' && c != '"' && c != '<' && c != '>' && c != '\\';
  });
}

bool IsHost(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           absl::string_view("-._~!$&'()*+,;=:[]%").find(c) != absl::string_view::npos;
  });
}

absl::string_view TrimBlanks(absl::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Takes one line off the front of `rest`, without its end.
absl::string_view TakeLine(absl::string_view* rest) {
  const size_t end = rest->find(kLineEnd);
  const absl::string_view line = rest->substr(0, end);
  rest->remove_prefix(end == absl::string_view::npos ? rest->size() : end + kLineEnd.size());
  return line;
}

// "/path?query" or, as proxies send it, "http://host/path?query"; "*" with OPTIONS.
HttpError ParseTarget(absl::string_view target, HttpRequest* request) {
  if (!IsTarget(target)) return BadRequest("bad request target");
  const bool asterisk = target == "*" && request->method == "OPTIONS";
  if (target.front() != '/' && !asterisk) {
    const size_t scheme_end = target.find("://");
    const absl::string_view scheme = target.substr(0, scheme_end);
    if (scheme_end == absl::string_view::npos ||
        !(absl::EqualsIgnoreCase(scheme, "http") || absl::EqualsIgnoreCase(scheme, "https") ||
          absl::EqualsIgnoreCase(scheme, "ws") || absl::EqualsIgnoreCase(scheme, "wss"))) {
      return BadRequest("bad request target");
    }
    target.remove_prefix(scheme_end + 3);
    const size_t path = target.find_first_of("/?");
    target.remove_prefix(std::min(path, target.size()));
  }
  const size_t question = target.find('?');
  request->path = target.substr(0, question);
  if (request->path.empty()) request->path = "/";
  request->query =
      question == absl::string_view::npos ? absl::string_view() : target.substr(question + 1);
  return {};
}

HttpError ParseRequestLine(absl::string_view line, HttpRequest* request) {
  const size_t method_end = line.find(' ');
  const size_t target_end = line.rfind(' ');
  if (method_end == absl::string_view::npos || method_end == target_end) {
    return BadRequest("bad request line");
  }
  request->method = line.substr(0, method_end);
  if (!IsToken(request->method)) return BadRequest("bad method");
  const absl::string_view version = line.substr(target_end + 1);
  if (version.size() != 8 || !absl::StartsWith(version, "HTTP/") ||
      !absl::ascii_isdigit(static_cast<unsigned char>(version[5])) || version[6] != '.' ||
      !absl::ascii_isdigit(static_cast<unsigned char>(version[7]))) {
    return BadRequest("bad HTTP version");
  }
  if (version != "HTTP/1.1" && version != "HTTP/1.0") {
    return {505, "HTTP version not supported"};
  }
  request->http_1_0 = version == "HTTP/1.0";
  return ParseTarget(line.substr(method_end + 1, target_end - method_end - 1), request);
}

std::string PercentDecode(absl::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() &&
        absl::ascii_isxdigit(static_cast<unsigned char>(text[i + 1])) &&
        absl::ascii_isxdigit(static_cast<unsigned char>(text[i + 2]))) {
      decoded += absl::HexStringToBytes(text.substr(i + 1, 2));
      i += 2;
    } else {
      decoded += text[i] == '+' ? ' ' : text[i];
    }
  }
  return decoded;
}

}  // namespace

absl::string_view HttpRequest::Header(absl::string_view name) const {
  for (const HttpHeader& header : headers()) {
    if (absl::EqualsIgnoreCase(header.name, name)) return header.value;
  }
  return {};
}

size_t HttpRequest::CountHeader(absl::string_view name) const {
  size_t count = 0;
  for (const HttpHeader& header : headers()) {
    if (absl::EqualsIgnoreCase(header.name, name)) ++count;
  }
  return count;
}

bool HttpRequest::HeaderHasToken(absl::string_view name, absl::string_view token) const {
  for (const HttpHeader& header : headers()) {
    if (!absl::EqualsIgnoreCase(header.name, name)) continue;
    for (const absl::string_view item : absl::StrSplit(header.value, ',')) {
      if (absl::EqualsIgnoreCase(TrimBlanks(item), token)) return true;
    }
  }
  return false;
}

std::optional<std::string> HttpRequest::QueryParameter(absl::string_view name) const {
  for (const absl::string_view item : absl::StrSplit(query, '&', absl::SkipEmpty())) {
    const size_t equals = item.find('=');
    if (PercentDecode(item.substr(0, equals)) != name) continue;
    return equals == absl::string_view::npos ? std::string()
                                             : PercentDecode(item.substr(equals + 1));
  }
  return std::nullopt;
}

absl::string_view HttpRequest::BearerToken() const {
  absl::string_view value = Header("Authorization");
  constexpr absl::string_view kScheme = "Bearer ";
  if (!absl::StartsWithIgnoreCase(value, kScheme)) return {};
  value.remove_prefix(kScheme.size());
  return TrimBlanks(value);
}

size_t EmptyLineBytes(absl::string_view text) {
  size_t size = 0;
  while (absl::StartsWith(text.substr(size), kLineEnd)) size += kLineEnd.size();
  return size;
}

std::string TooManyBytesText(const HttpHeadLimits& limits) {
  return absl::StrCat("request head over ", limits.max_bytes,
                      " bytes: the server's limits.max_head_bytes");
}

std::string TooManyLinesText(const HttpHeadLimits& limits) {
  return absl::StrCat("more than ", limits.max_lines,
                      " header lines: the server's limits.max_head_lines");
}

HttpError ParseRequestHead(absl::string_view head, size_t max_lines, HttpRequest* request) {
  request->headers_.clear();
  const HttpError line_error = ParseRequestLine(TakeLine(&head), request);
  if (line_error) return line_error;
  size_t hosts = 0;
  while (true) {
    const absl::string_view line = TakeLine(&head);
    if (line.empty()) break;
    const size_t colon = line.find(':');
    // A blank before the colon or at the line's start (a folded header) is no token either.
    if (colon == absl::string_view::npos || !IsToken(line.substr(0, colon))) {
      return BadRequest("bad header name");
    }
    const HttpHeader header = {line.substr(0, colon), TrimBlanks(line.substr(colon + 1))};
    if (!IsFieldValue(header.value)) return BadRequest("bad header value");
    if (request->headers_.size() >= max_lines) return {431, "too many header lines"};
    request->headers_.push_back(header);
    if (absl::EqualsIgnoreCase(header.name, "Host")) {
      ++hosts;
      if (!IsHost(header.value)) return BadRequest("bad Host");
    }
  }
  if (hosts > 1 || (hosts == 0 && !request->http_1_0)) return BadRequest("exactly one Host needed");
  return {};
}

}  // namespace fanwire
