#include "control/config/port_check.h"

#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire::control {

namespace {

using Hosts = std::vector<std::pair<const char*, const char*>>;

std::string Fault(const char* first, const char* second, const char* owner = "service \"b\"") {
  PortCheck ports;
  EXPECT_EQ(ports.Add("service \"a\"", first, 1), "");
  return ports.Add(owner, second, 1);
}

TEST(PortCheckTest, AFaultHasBothNamesAndBothAddresses) {
  EXPECT_EQ(Fault("127.0.0.1", "localhost"),
            "service \"b\" cannot use localhost:1: 127.0.0.1:1 is taken by service \"a\"");
  EXPECT_EQ(Fault("::", "::1"),
            "service \"b\" cannot use [::1]:1: [::]:1 is taken by service \"a\"");
}

TEST(PortCheckTest, SpellingsOfOneAddressOverlap) {
  for (const auto& [a, b] : Hosts{{"127.0.0.1", "127.0.0.1"},
                                  {"localhost", "127.0.0.1"},
                                  {"localhost", "::1"},
                                  {"localhost", "localhost"},
                                  {"127.0.0.1", "::ffff:127.0.0.1"},
                                  {"127.0.0.1", "::ffff:7f00:1"},
                                  {"127.0.0.1", "127.1"},
                                  {"::1", "0:0:0:0:0:0:0:1"},
                                  {"::1", "[::1]"},
                                  {"0.0.0.0", "127.0.0.1"},
                                  {"0.0.0.0", "localhost"},
                                  {"0.0.0.0", "10.0.0.1"},
                                  {"0.0.0.0", "::ffff:10.0.0.1"},
                                  {"0.0.0.0", "::"},
                                  {"::ffff:0.0.0.0", "10.0.0.1"},
                                  {"::", "127.0.0.1"},
                                  {"::", "::1"},
                                  {"::", "fe80::1"},
                                  {"[::]", "localhost"},
                                  {"0::0", "::"}}) {
    EXPECT_NE(Fault(a, b), "") << a << " and " << b;
    EXPECT_NE(Fault(b, a), "") << b << " and " << a;
  }
}

TEST(PortCheckTest, OtherAddressesDoNot) {
  for (const auto& [a, b] : Hosts{{"127.0.0.1", "127.0.0.2"},
                                  {"127.0.0.1", "::1"},
                                  {"0.0.0.0", "::1"},
                                  {"10.0.0.1", "localhost"},
                                  {"::1", "::2"}}) {
    EXPECT_EQ(Fault(a, b), "") << a << " and " << b;
    EXPECT_EQ(Fault(b, a), "") << b << " and " << a;
  }
  PortCheck ports;
  EXPECT_EQ(ports.Add("a", "127.0.0.1", 1), "");
  EXPECT_EQ(ports.Add("b", "127.0.0.1", 2), "");
  EXPECT_EQ(ports.Add("a", "127.0.0.1", 0), "");
  EXPECT_EQ(ports.Add("b", "127.0.0.1", 0), "");
}

TEST(PortCheckTest, OneServiceMayHaveOverlappingHostsButNoAddressTwice) {
  const auto own = [](const char* a, const char* b) { return Fault(a, b, "service \"a\""); };
  EXPECT_EQ(own("0.0.0.0", "127.0.0.1"), "");
  EXPECT_EQ(own("localhost", "::1"), "");
  EXPECT_EQ(own("0.0.0.0", "::"), "");
  EXPECT_NE(own("localhost", "127.0.0.1"), "");
  EXPECT_NE(own("::1", "[::1]"), "");
  EXPECT_NE(own("::ffff:127.0.0.1", "127.0.0.1"), "");
}

TEST(PortCheckTest, ANameOverlapsWithItself) {
  EXPECT_NE(Fault("box.example.com", "box.example.com"), "");
  EXPECT_EQ(Fault("box.example.com", "other.example.com"), "");
}

}  // namespace
}  // namespace fanwire::control
