#include "common/address.h"

#include <cstdlib>

#include "gtest/gtest.h"
#include "tests/testing/status.h"

namespace fanwire {
namespace {

using ::testing::HasSubstr;

TEST(AddressTest, ReadsHostsPortsAndSockets) {
  const absl::StatusOr<Address> v4 = ParseAddress("127.0.0.1:8701");
  ASSERT_OK(v4);
  EXPECT_EQ(v4->host, "127.0.0.1");
  EXPECT_EQ(v4->port, 8701);
  const absl::StatusOr<Address> v6 = ParseAddress("[::1]:0");
  ASSERT_OK(v6);
  EXPECT_EQ(v6->host, "::1");
  EXPECT_EQ(v6->ToString(), "[::1]:0");
  const absl::StatusOr<Address> local = ParseAddress("unix:///run/fanwire/control.sock");
  ASSERT_OK(local);
  EXPECT_TRUE(local->is_unix());
  EXPECT_EQ(local->ToString(), "unix:/run/fanwire/control.sock");
}

TEST(AddressTest, SaysWhatIsMissing) {
  const auto fails = [](const char* text, const char* why) {
    EXPECT_THAT(ParseAddress(text), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(why)))
        << text;
  };
  fails("localhost", "no port");
  fails("localhost:", "is not a port");
  fails("localhost:65536", "\"localhost:65536\": \"65536\" is not a port (0 to 65535)");
  fails(":80", "no host");
  fails("::1:80", "needs brackets");
  fails("[x]:80", "not an IPv6 address");
  fails("unix:relative", "absolute path");
  const std::string long_path = "unix:/" + std::string(120, 'x');
  fails(long_path.c_str(), "at most 107");
}

TEST(AddressTest, KnowsLoopback) {
  for (const char* host :
       {"127.0.0.1", "127.9.9.9", "::1", "localhost", "::ffff:127.0.0.1", "::ffff:7f00:1",
        "0:0:0:0:0:0:0:1", "[::1]", "[::ffff:127.0.0.1]", "127.1"}) {
    EXPECT_TRUE(IsLoopback(host)) << host;
  }
  for (const char* host : {"0.0.0.0", "10.0.0.1", "::", "example.org", "::ffff:10.0.0.1", "::2",
                           "::ffff:0.0.0.0", "[127.0.0.1]", "[", "[]", "", "localhost.evil.org"}) {
    EXPECT_FALSE(IsLoopback(host)) << host;
  }
}

TEST(AddressTest, AllSpellingsOfAnAddressAreOne) {
  const auto text = [](const char* host) {
    const std::optional<IpAddress> ip = ParseIp(host);
    return ip ? ip->ToString() : "none";
  };
  for (const char* host : {"127.0.0.1", "127.1", "0x7f.0.0.1", "2130706433", "::ffff:127.0.0.1",
                           "::FFFF:7f00:1", "[::ffff:127.0.0.1]"}) {
    EXPECT_EQ(text(host), "127.0.0.1") << host;
  }
  for (const char* host : {"::1", "0:0:0:0:0:0:0:1", "0::1", "[::1]", "::0001"}) {
    EXPECT_EQ(text(host), "::1") << host;
  }
  for (const char* host :
       {"localhost", "", "[]", "[127.0.0.1]", "::1]", "x y", "1.2.3.4.5", "::g"}) {
    EXPECT_EQ(text(host), "none") << host;
  }
  EXPECT_EQ(ParseIp("127.1"), ParseIp("::ffff:127.0.0.1"));
  EXPECT_NE(ParseIp("127.0.0.1"), ParseIp("::1"));
  for (const char* any : {"0.0.0.0", "::", "0", "::ffff:0.0.0.0", "[::]"}) {
    EXPECT_TRUE(ParseIp(any)->is_any()) << any;
  }
  EXPECT_FALSE(ParseIp("::1")->is_any());
  EXPECT_FALSE(ParseIp("0.0.0.1")->is_any());
}

TEST(AddressTest, RuntimeDirFollowsTheEnvironment) {
  setenv("RUNTIME_DIRECTORY", "/run/a:/run/b", 1);
  EXPECT_EQ(DefaultRuntimeDir(), "/run/a");
  unsetenv("RUNTIME_DIRECTORY");
  setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
  EXPECT_EQ(DefaultRuntimeDir(), "/run/user/7/fanwire");
  unsetenv("XDG_RUNTIME_DIR");
  EXPECT_THAT(DefaultRuntimeDir(), HasSubstr("/tmp/fanwire-"));
}

}  // namespace
}  // namespace fanwire
