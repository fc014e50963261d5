#include "cli/server_address.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status.h"

namespace fanwire::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(ServerAddressTest, APortLeftOutIsControls) {
  const std::pair<const char*, const char*> cases[] = {
      {"127.0.0.1:9000", "127.0.0.1:9000"},
      {"127.0.0.1", "127.0.0.1:8701"},
      {"control.example.org", "control.example.org:8701"},
      {"[::1]", "[::1]:8701"},
      {"[::1]:9000", "[::1]:9000"},
      {"unix:/run/x.sock", "unix:/run/x.sock"},
      {"unix:///run/x.sock", "unix:/run/x.sock"},
  };
  for (const auto& [text, address] : cases) {
    const auto parsed = ParseServerAddress(text);
    ASSERT_OK(parsed) << text;
    EXPECT_EQ(parsed->ToString(), address);
  }
}

TEST(ServerAddressTest, WhatIsNoAddressNamesTheRightForm) {
  const std::pair<const char*, const char*> cases[] = {
      {"http://127.0.0.1:8701", "is a URL: write HOST:PORT or unix:PATH, such as 127.0.0.1:8701"},
      {"https://127.0.0.1:8701", "set `tls: true`"},
      {"ws://127.0.0.1:8690", "without ws://"},
      {"grpc://[::1]:8701/x", "is a URL"},
      {"/run/fanwire/control.sock", "is a path: write unix:/run/fanwire/control.sock"},
      {"127.0.0.1:8701/", "has a path behind the host: write HOST:PORT"},
      {"127.0.0.1:0", "has port 0"},
      {"127.0.0.1:http", "\"http\" is not a port"},
      {"127.0.0.1:", "\"\" is not a port"},
      {":8701", "no host"},
      {"", "no host"},
      {"::1", "an IPv6 address needs brackets"},
      {"[::1", "an IPv6 address needs brackets"},
      {"unix:x.sock", "absolute path"},
      {"caf\xe9:8701", "is not UTF-8"},
  };
  for (const auto& [text, message] : cases) {
    EXPECT_THAT(ParseServerAddress(text),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)))
        << text;
  }
  EXPECT_THAT(ParseServerAddress("http://127.0.0.1:8701"),
              StatusIs(absl::StatusCode::kInvalidArgument, Not(HasSubstr("IPv6"))));
}

}  // namespace
}  // namespace fanwire::cli
