// Which web pages may connect to which listeners: decided for every kind of both.
#include "fanout/origin_policy.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "fanwire/v1/config.pb.h"
#include "gtest/gtest.h"

namespace fanwire::fanout {

namespace {

struct PortCase {
  std::string host = "127.0.0.1";
  bool auth_required = false;
  std::vector<std::string> allowed = {};
};

// Whether the listener takes a handshake with these Origin headers.
bool Takes(const PortCase& listener, const std::vector<std::string>& origins) {
  v1::ListenerConfig config;
  config.set_host(listener.host);
  config.set_auth_required(listener.auth_required);
  for (const std::string& origin : listener.allowed) config.add_allowed_origins(origin);
  std::string head = "GET / HTTP/1.1\r\nHost: h\r\n";
  for (const std::string& origin : origins) absl::StrAppend(&head, "oRiGiN: ", origin, "\r\n");
  absl::StrAppend(&head, "\r\n");
  HttpRequest request;
  EXPECT_FALSE(ParseRequestHead(head, 100, &request)) << head;
  return OriginPolicy(config).Allows(request);
}

const PortCase kLocalPort;
const PortCase kPublicPort = {.host = "0.0.0.0"};
const PortCase kListedPort = {.host = "0.0.0.0",
                              .allowed = {"https://dash.example.com", "http://a:8080"}};

TEST(OriginPolicyTest, AClientWithoutAnOriginIsNoBrowser) {
  for (const PortCase& listener : {kLocalPort, kPublicPort, kListedPort})
    EXPECT_TRUE(Takes(listener, {}));
  EXPECT_TRUE(Takes({.auth_required = true}, {}));
}

TEST(OriginPolicyTest, ALoopbackListenerTakesPagesOfThisMachine) {
  for (const char* origin :
       {"http://localhost", "http://localhost:3000", "https://LOCALHOST:8443",
        "http://app.localhost:5173", "http://127.0.0.1:8080", "http://127.8.9.10", "http://[::1]:1",
        "http://[::ffff:127.0.0.1]", "http://[::ffff:7f00:1]:3000", "http://[0:0:0:0:0:0:0:1]"}) {
    EXPECT_TRUE(Takes(kLocalPort, {origin})) << origin;
    EXPECT_TRUE(Takes({.host = "localhost"}, {origin})) << origin;
    EXPECT_TRUE(Takes({.host = "::1"}, {origin})) << origin;
    EXPECT_FALSE(Takes(kPublicPort, {origin})) << origin;
    EXPECT_FALSE(Takes(kListedPort, {origin})) << origin;
    // A list is for pages of elsewhere.
    EXPECT_TRUE(Takes({.allowed = {"https://dash.example.com"}}, {origin})) << origin;
  }
}

TEST(OriginPolicyTest, WhatOnlyLooksLikeThisMachineIsRefused) {
  for (const char* origin : {"https://evil.example",
                             "null",
                             "",
                             "*",
                             "localhost",
                             "localhost:3000",
                             "//localhost",
                             "http://localhost.evil.example",
                             "http://evil-localhost",
                             "http://xlocalhost",
                             "http://127.0.0.1.evil.example",
                             "http://localhost@evil.example",
                             "http://localhost:3000@evil.example",
                             "http://evil.example:80/localhost",
                             "http://evil.example#localhost",
                             "http://evil.example?localhost",
                             "http://localhost/",
                             "http://localhost:3000/",
                             "http://localhost:",
                             "http://localhost:port",
                             "http://localhost:99999",
                             "http://.localhost",
                             "http://localhost..",
                             "http://localhost%2e",
                             "http://localhost, http://evil.example",
                             "http://localhost http://evil.example",
                             "http://128.0.0.1",
                             "http://[::2]",
                             "http://[::ffff:126.0.0.1]",
                             "http://::1",
                             "http://[::1",
                             "http://[::1]x",
                             "http://[127.0.0.1]",
                             "http://0.0.0.0",
                             "http://192.168.1.10",
                             "http:///localhost",
                             "http:localhost",
                             "http://"}) {
    EXPECT_FALSE(Takes(kLocalPort, {origin})) << origin;
    EXPECT_FALSE(Takes(kListedPort, {origin})) << origin;
    EXPECT_TRUE(Takes({.host = "0.0.0.0", .allowed = {"*"}}, {origin})) << origin;
  }
}

TEST(OriginPolicyTest, AListIsOfExactSchemesHostsAndPorts) {
  for (const char* origin : {"https://dash.example.com", "https://dash.example.com:443",
                             "HTTPS://Dash.Example.Com", "http://a:8080"}) {
    EXPECT_TRUE(Takes(kListedPort, {origin})) << origin;
  }
  for (const char* origin :
       {"http://dash.example.com", "https://dash.example.com:8443", "https://x.dash.example.com",
        "https://dash.example.com.evil.example", "https://dash.example.co",
        "wss://dash.example.com", "http://a", "http://a:80", "null"}) {
    EXPECT_FALSE(Takes(kListedPort, {origin})) << origin;
  }
}

TEST(OriginPolicyTest, AListenerThatDemandsATokenLooksOnlyIfAListIsSet) {
  EXPECT_TRUE(Takes({.auth_required = true}, {"https://evil.example"}));
  EXPECT_TRUE(Takes({.host = "0.0.0.0", .auth_required = true}, {"null"}));
  const PortCase listed = {
      .host = "0.0.0.0", .auth_required = true, .allowed = {"https://dash.example.com"}};
  EXPECT_TRUE(Takes(listed, {"https://dash.example.com"}));
  EXPECT_FALSE(Takes(listed, {"https://evil.example"}));
  EXPECT_TRUE(Takes(listed, {}));
}

TEST(OriginPolicyTest, EachOfSeveralOriginsMustBeAllowed) {
  EXPECT_TRUE(Takes(kLocalPort, {"http://localhost", "http://127.0.0.1"}));
  EXPECT_FALSE(Takes(kLocalPort, {"http://localhost", "https://evil.example"}));
  EXPECT_FALSE(Takes(kLocalPort, {"https://evil.example", "http://localhost"}));
}

}  // namespace

}  // namespace fanwire::fanout
