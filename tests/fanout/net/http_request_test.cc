#include "fanout/net/http_request.h"

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gtest/gtest.h"

namespace fanwire::fanout {

namespace {

constexpr char kUpgrade[] =
    "GET /ws?token=a%2Bb&x=1 HTTP/1.1\r\n"
    "Host: example.org:8690\r\n"
    "Upgrade: websocket\r\n"
    "Connection: keep-alive, Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Version: 13\r\n"
    "Authorization: Bearer abc.def\r\n"
    "\r\n";

// The status that `head` is refused with, by reading or as an upgrade; 0 if it is a good upgrade.
int UpgradeStatus(const std::string& head) {
  HttpRequest request;
  const HttpError error = ParseRequestHead(head, HttpHeadLimits().max_lines, &request);
  if (error) return error.status;
  EXPECT_TRUE(AsksForWebSocket(request)) << head;
  return CheckUpgrade(request).status;
}

// A request together with the head that it is a view of.
struct Parsed {
  explicit Parsed(std::string text) : head(std::move(text)) {
    EXPECT_FALSE(ParseRequestHead(head, HttpHeadLimits().max_lines, &request));
  }
  const std::string head;
  HttpRequest request;
};

std::string With(const std::string& from, const std::string& to) {
  const std::string head = absl::StrReplaceAll(kUpgrade, {{from, to}});
  EXPECT_NE(head, kUpgrade) << from;
  return head;
}

TEST(HttpRequestTest, TakesAGoodUpgrade) { EXPECT_EQ(UpgradeStatus(kUpgrade), 0); }

TEST(HttpRequestTest, UpgradeAndConnectionAreTokensNotSubstrings) {
  const Parsed substring(With("Upgrade: websocket", "Upgrade: websocketx"));
  EXPECT_FALSE(AsksForWebSocket(substring.request));
  const Parsed list(With("Upgrade: websocket", "Upgrade: h2c , WebSocket"));
  EXPECT_TRUE(AsksForWebSocket(list.request));
  EXPECT_EQ(UpgradeStatus(With("keep-alive, Upgrade", "upgraded")), 400);
  EXPECT_EQ(UpgradeStatus(With("keep-alive, Upgrade", "keep-alive")), 400);
  EXPECT_EQ(UpgradeStatus(With("keep-alive, Upgrade", "close\r\nConnection: UPGRADE")), 0);
}

TEST(HttpRequestTest, KeyMustBeOneBase64OfSixteenBytes) {
  const std::string key = "dGhlIHNhbXBsZSBub25jZQ==";
  for (const std::string& bad :
       {std::string(""), std::string("abc"), std::string("dGhlIHNhbXBsZSBub25jZQ"),
        std::string("dGhlIHNhbXBsZSBub25jZQ= "), std::string("dGhlIHNhbXBsZSBub25jZQQ="),
        std::string("dGhlIHNhbXBsZSBub25j*Q=="), key + "a", key + ", " + key,
        key + "\r\nSec-WebSocket-Key: " + key}) {
    EXPECT_EQ(UpgradeStatus(With(key, bad)), 400) << bad;
  }
  EXPECT_EQ(UpgradeStatus(With("Sec-WebSocket-Key: " + key + "\r\n", "")), 400);
}

TEST(HttpRequestTest, VersionMustBeExactlyThirteen) {
  const std::string version = "Version: 13";
  for (const char* other : {"8", "7", "0", "14", "130", "013"}) {
    EXPECT_EQ(UpgradeStatus(With(version, absl::StrCat("Version: ", other))), 426) << other;
  }
  for (const char* bad :
       {"", "13.0", "x", "+13", "13, 8", "1313", "13\r\nSec-WebSocket-Version: 13"}) {
    EXPECT_EQ(UpgradeStatus(With(version, absl::StrCat("Version: ", bad))), 400) << bad;
  }
  EXPECT_EQ(UpgradeStatus(With("Sec-WebSocket-Version: 13\r\n", "")), 400);
}

TEST(HttpRequestTest, UpgradeIsABodylessGetOfHttp11) {
  EXPECT_EQ(UpgradeStatus(With("GET ", "POST ")), 405);
  EXPECT_EQ(UpgradeStatus(With("HTTP/1.1", "HTTP/1.0")), 400);
  const std::string host = "Host: example.org:8690";
  EXPECT_EQ(UpgradeStatus(With(host, host + "\r\nContent-Length: 0")), 0);
  EXPECT_EQ(UpgradeStatus(With(host, host + "\r\nContent-Length: 5")), 400);
  EXPECT_EQ(UpgradeStatus(With(host, host + "\r\nContent-Length: 0\r\nContent-Length: 5")), 400);
  EXPECT_EQ(UpgradeStatus(With(host, host + "\r\nTransfer-Encoding: chunked")), 400);
}

TEST(HttpRequestTest, ResponsesCarryLengthAndClose) {
  HttpResponse response;
  response.content_type = "application/json";
  response.body = "{}";
  EXPECT_EQ(SerializeResponse(response, /*head_only=*/false),
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
            "Connection: close\r\n\r\n{}");
  EXPECT_TRUE(absl::EndsWith(SerializeResponse(response, /*head_only=*/true), "\r\n\r\n"));
}

TEST(HttpRequestTest, RefusalsCarryTheHeadersOfTheirStatus) {
  const std::string upgrade = SerializeResponse(ErrorResponse({426, "why"}), false);
  EXPECT_TRUE(absl::StrContains(upgrade, "HTTP/1.1 426 Upgrade Required\r\n"));
  EXPECT_TRUE(absl::StrContains(upgrade, "\r\nUpgrade: websocket\r\n"));
  EXPECT_TRUE(absl::StrContains(upgrade, "\r\nSec-WebSocket-Version: 13\r\n"));
  EXPECT_TRUE(absl::StrContains(upgrade, "\r\nConnection: close, upgrade\r\n"));
  EXPECT_TRUE(absl::StrContains(SerializeResponse(ErrorResponse({405, "why"}), false),
                                "\r\nAllow: GET, HEAD, OPTIONS\r\n"));
  for (const int status : {400, 401, 403, 404, 429, 431, 500, 503, 505}) {
    EXPECT_FALSE(
        absl::StrContains(SerializeResponse(ErrorResponse({status, "why"}), false), " Status\r\n"))
        << status;
  }
}

}  // namespace
}  // namespace fanwire::fanout
