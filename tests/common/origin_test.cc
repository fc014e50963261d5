#include "common/origin.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/testing/status.h"

namespace fanwire {

namespace {

using ::testing::HasSubstr;

std::string Written(const std::string& text) {
  const absl::StatusOr<Origin> origin = Origin::Parse(text);
  return origin.ok() ? origin->ToString() : "";
}

TEST(OriginTest, IsWrittenInItsShortestForm) {
  EXPECT_EQ(Written("https://dash.example.com"), "https://dash.example.com");
  EXPECT_EQ(Written("HTTPS://Dash.Example.COM:443"), "https://dash.example.com");
  EXPECT_EQ(Written("http://a:80"), "http://a");
  EXPECT_EQ(Written("https://a:80"), "https://a:80");
  EXPECT_EQ(Written("http://[0:0::1]:0080"), "http://[::1]");
  EXPECT_EQ(Written("http://[2001:DB8::7]:8080"), "http://[2001:db8::7]:8080");
  EXPECT_EQ(Written("chrome-extension://abcdef"), "chrome-extension://abcdef");
  EXPECT_EQ(Written("http://xn--caf-dma.example:65535"), "http://xn--caf-dma.example:65535");
}

TEST(OriginTest, AFaultSaysWhatIsWrong) {
  const auto fault = [](const std::string& text, const std::string& why) {
    EXPECT_THAT(Origin::Parse(text), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(why)))
        << text;
  };
  fault("null", "\"*\" is every page");
  fault("dash.example.com", "begins with a scheme");
  fault("", "begins with a scheme");
  fault("1http://a", "begins with a scheme");
  fault("https://dash.example.com/", "ends after the host and port");
  fault("https://a/path?x", "ends after the host and port");
  fault("https://*.example.com", "no wildcards");
  fault("https://", "host is missing");
  fault("https://user@a", "host is missing or malformed");
  fault("https://caf\xc3\xa9.example", "host is missing or malformed");
  fault("https://a b", "host is missing or malformed");
  fault("https://[::g]", "IPv6");
  fault("https://a:", "a port from 0 to 65535");
  fault("https://a:65536", "a port from 0 to 65535");
  fault("https://a:+80", "a port from 0 to 65535");
  fault("https://[::1]80", "a port from 0 to 65535");
  fault("https://" + std::string(600, 'a'), "too long");
}

}  // namespace

}  // namespace fanwire
