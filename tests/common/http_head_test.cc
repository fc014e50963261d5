#include "common/http_head.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gtest/gtest.h"

namespace fanwire {
namespace {

constexpr char kHead[] =
    "GET /ws?token=a%2Bb&x=1 HTTP/1.1\r\n"
    "Host: example.org:8690\r\n"
    "Connection: keep-alive, Upgrade\r\n"
    "Authorization: Bearer abc.def\r\n"
    "\r\n";

HttpError ParseHead(absl::string_view head, HttpRequest* request) {
  return ParseRequestHead(head, HttpHeadLimits().max_lines, request);
}

// A request together with the head that it is a view of.
struct ParsedHead {
  explicit ParsedHead(std::string text) : head(std::move(text)) {
    EXPECT_FALSE(ParseHead(head, &request));
  }
  const std::string head;
  HttpRequest request;
};

std::string With(const std::string& from, const std::string& to) {
  const std::string head = absl::StrReplaceAll(kHead, {{from, to}});
  EXPECT_NE(head, kHead) << from;
  return head;
}

TEST(HttpHeadTest, ReadsWhatAClientSends) {
  HttpRequest request;
  ASSERT_FALSE(ParseHead(kHead, &request));
  EXPECT_EQ(request.method, "GET");
  EXPECT_EQ(request.path, "/ws");
  EXPECT_EQ(request.query, "token=a%2Bb&x=1");
  EXPECT_EQ(request.Header("HOST"), "example.org:8690");
  EXPECT_EQ(request.Header("X-Missing"), "");
  EXPECT_EQ(request.BearerToken(), "abc.def");
  EXPECT_EQ(request.headers().size(), 3u);
  EXPECT_EQ(request.QueryParameter("token"), "a+b");
  EXPECT_EQ(request.QueryParameter("x"), "1");
  EXPECT_EQ(request.QueryParameter("y"), std::nullopt);
}

TEST(HttpHeadTest, TakesAbsoluteTargetsAndOddSpelling) {
  HttpRequest request;
  ASSERT_FALSE(ParseHead("GET ws://h:1/a?b HTTP/1.1\r\nhOsT:h\r\nX:\r\n\r\n", &request));
  EXPECT_EQ(request.path, "/a");
  EXPECT_EQ(request.query, "b");
  ASSERT_FALSE(ParseHead("GET http://h HTTP/1.1\r\nHost: \t h\t \r\n\r\n", &request));
  EXPECT_EQ(request.path, "/");
  EXPECT_EQ(request.Header("host"), "h");
  ASSERT_FALSE(ParseHead("GET / HTTP/1.0\r\n\r\n", &request));
  EXPECT_TRUE(request.http_1_0);
}

TEST(HttpHeadTest, RefusesWhatIsNotHttp) {
  HttpRequest request;
  for (const std::string& line :
       {std::string(), std::string("GET"), std::string("GET /"), std::string("G@T / HTTP/1.1"),
        std::string("GET  / HTTP/1.1"), std::string("GET / x HTTP/1.1"),
        std::string("GET * HTTP/1.1"), std::string("GET /#a HTTP/1.1"),
        std::string("GET /\x80 HTTP/1.1"), std::string("GET ftp://h/ HTTP/1.1"),
        std::string("GET host:80 HTTP/1.1"), std::string("GET /\0a HTTP/1.1", 16),
        std::string("GET / HTTP/1.1 "), std::string("GET / HTTP/x.1"),
        std::string("GET / http/1.1")}) {
    EXPECT_EQ(ParseHead(line + "\r\nHost: h\r\n\r\n", &request).status, 400) << line;
  }
  EXPECT_EQ(ParseHead("GET / HTTP/2.0\r\nHost: h\r\n\r\n", &request).status, 505);
}

TEST(HttpHeadTest, RefusesHeadersThatProxiesReadDifferently) {
  HttpRequest request;
  for (const std::string& line :
       {std::string("Name : x"), std::string(": x"), std::string(" folded"),
        std::string("no colon"), std::string("Na me: x"), std::string("X: a\0b", 6),
        std::string("X: \x01"), std::string("X: a\rb"), std::string("X: a\nb"),
        std::string("Host: other"), std::string("X\x80: a")}) {
    const std::string head = absl::StrCat("GET / HTTP/1.1\r\nHost: h\r\n", line, "\r\n\r\n");
    EXPECT_EQ(ParseHead(head, &request).status, 400) << line;
  }
  EXPECT_EQ(ParseHead("GET / HTTP/1.1\r\n\r\n", &request).status, 400);
  EXPECT_EQ(ParseHead("GET / HTTP/1.1\r\nHost:\r\n\r\n", &request).status, 400);
  EXPECT_EQ(ParseHead("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", &request).status, 400);
}

TEST(HttpHeadTest, LimitsTheNumberOfHeaders) {
  std::string head = "GET / HTTP/1.1\r\nHost: h\r\n";
  for (int i = 1; i < 128; ++i) absl::StrAppend(&head, "X-", i, ": y\r\n");
  HttpRequest request;
  EXPECT_EQ(ParseHead(head + "\r\n", &request).status, 0);
  EXPECT_EQ(request.headers().size(), 128u);
  EXPECT_EQ(ParseHead(head + "X-More: y\r\n\r\n", &request).status, 431);
  EXPECT_EQ(ParseRequestHead(head + "X-More: y\r\n\r\n", 129, &request).status, 0);
  EXPECT_EQ(ParseRequestHead(head + "\r\n", 127, &request).status, 431);
  // What was refused leaves nothing behind.
  ASSERT_FALSE(ParseHead("GET / HTTP/1.1\r\nHost: h\r\n\r\n", &request));
  EXPECT_EQ(request.headers().size(), 1u);
}

TEST(HttpHeadTest, AnAsteriskIsATargetOfOptionsOnly) {
  HttpRequest request;
  ASSERT_FALSE(ParseHead("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", &request));
  EXPECT_EQ(request.path, "*");
  ASSERT_FALSE(ParseHead("OPTIONS / HTTP/1.0\r\n\r\n", &request));
  EXPECT_EQ(request.path, "/");
  EXPECT_EQ(ParseHead("OPTIONS *x HTTP/1.1\r\nHost: h\r\n\r\n", &request).status, 400);
  EXPECT_EQ(ParseHead("HEAD * HTTP/1.1\r\nHost: h\r\n\r\n", &request).status, 400);
}

TEST(HttpHeadTest, EmptyLinesBeforeARequestAreCounted) {
  EXPECT_EQ(EmptyLineBytes(""), 0u);
  EXPECT_EQ(EmptyLineBytes("GET"), 0u);
  EXPECT_EQ(EmptyLineBytes("\r"), 0u);
  EXPECT_EQ(EmptyLineBytes("\n"), 0u);
  EXPECT_EQ(EmptyLineBytes("\r\nGET"), 2u);
  EXPECT_EQ(EmptyLineBytes("\r\n\r\n\r"), 4u);
}

TEST(HttpHeadTest, ARefusalForSizeNamesTheLimitAndItsKey) {
  const HttpHeadLimits limits = {.max_bytes = 1000, .max_lines = 20};
  EXPECT_EQ(TooManyBytesText(limits),
            "request head over 1000 bytes: the server's limits.max_head_bytes");
  EXPECT_EQ(TooManyLinesText(limits),
            "more than 20 header lines: the server's limits.max_head_lines");
}

TEST(HttpHeadTest, BearerTokenNeedsItsScheme) {
  EXPECT_EQ(ParsedHead(With("Bearer abc.def", "bearer  abc ")).request.BearerToken(), "abc");
  EXPECT_EQ(ParsedHead(With("Bearer abc.def", "Basic abc")).request.BearerToken(), "");
}

TEST(HttpHeadTest, QueryParametersAreDecoded) {
  HttpRequest request;
  request.query = "a=1&%61b=x%20y+z%&flag&a=2";
  EXPECT_EQ(request.QueryParameter("a"), "1");
  EXPECT_EQ(request.QueryParameter("ab"), "x y z%");
  EXPECT_EQ(request.QueryParameter("flag"), "");
}

TEST(HttpHeadTest, ListsAreReadByTokenOverAllTheirLines) {
  const ParsedHead list(With("keep-alive, Upgrade", "close ,\tUPGRADE\r\nConnection: x"));
  EXPECT_TRUE(list.request.HeaderHasToken("connection", "upgrade"));
  EXPECT_TRUE(list.request.HeaderHasToken("connection", "x"));
  EXPECT_FALSE(list.request.HeaderHasToken("connection", "upgrad"));
  EXPECT_EQ(list.request.CountHeader("CONNECTION"), 2u);
}

}  // namespace
}  // namespace fanwire
