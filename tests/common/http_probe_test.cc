#include "common/http_probe.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/testing/status.h"

namespace fanwire {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class HttpProbeTest : public testing::Test {
 protected:
  void SetUp() override {
    HttpProbe::Options options;
    options.listen = {.host = "127.0.0.1", .port = 0, .unix_path = ""};
    options.metrics = [] { return "fanwire_x 1\n"; };
    options.ready = [this] { return readiness_; };
    options.head_limits = [this] { return head_limits_; };
    absl::StatusOr<std::unique_ptr<HttpProbe>> probe = HttpProbe::Start(std::move(options));
    ASSERT_OK(probe);
    probe_ = *std::move(probe);
  }

  // Sends `bytes` and returns everything that the server sends back.
  std::string Send(const std::string& bytes) {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in to = {};
    to.sin_family = AF_INET;
    to.sin_port = htons(probe_->address().port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
    EXPECT_EQ(send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
    std::string answer;
    char buffer[4096];
    ssize_t got;
    while ((got = recv(fd, buffer, sizeof buffer, 0)) > 0) {
      answer.append(buffer, static_cast<size_t>(got));
    }
    close(fd);
    return answer;
  }

  std::string Get(const std::string& path) {
    return Send(absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: x\r\n\r\n"));
  }

  Readiness readiness_;
  HttpHeadLimits head_limits_;
  std::unique_ptr<HttpProbe> probe_;
};

TEST_F(HttpProbeTest, ServesMetricsAndHealth) {
  const std::string metrics = Get("/metrics");
  EXPECT_THAT(metrics, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(metrics, HasSubstr("version=0.0.4"));
  EXPECT_THAT(metrics, HasSubstr("\r\n\r\nfanwire_x 1\n"));
  EXPECT_THAT(Get("/healthz?probe=1"), HasSubstr("{\"status\":\"alive\"}"));
}

TEST_F(HttpProbeTest, ReadinessHasReasons) {
  readiness_ = {.ready = true, .json = "{\"link\":\"up\"}"};
  EXPECT_THAT(Get("/readyz"), StartsWith("HTTP/1.1 200"));
  readiness_ = {.ready = false, .json = "{\"link\":\"down\"}"};
  const std::string answer = Get("/readyz");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(answer, HasSubstr("{\"link\":\"down\"}"));
}

TEST_F(HttpProbeTest, RefusesTheRestAndGoesOn) {
  EXPECT_THAT(Get("/secrets"), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(Send("POST /metrics HTTP/1.1\r\nHost: x\r\n\r\nbody"), StartsWith("HTTP/1.1 405"));
  EXPECT_THAT(Send("garbage\r\n\r\n"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(Send(std::string("\x16\x03\x01\0\r\n\r\n", 8)), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(Send("GET /metrics HTTP/1.1\r\nX: " + std::string(33000, 'x')),
              StartsWith("HTTP/1.1 431"));
  EXPECT_THAT(Get("/healthz"), StartsWith("HTTP/1.1 200"));
}

TEST_F(HttpProbeTest, TakesWhatProbesOfOldSend) {
  EXPECT_THAT(Send("GET /healthz HTTP/1.0\r\n\r\n"), StartsWith("HTTP/1.1 200"));
}

TEST_F(HttpProbeTest, RefusesWhatServicePortsRefuse) {
  for (const char* const head :
       {"GET /healthz HTTP/1.1\r\n\r\n", "GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: x\r\nName : y\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: x\r\nX: a\nb\r\n\r\n",
        "GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n", "GET /healthz x HTTP/1.1\r\nHost: x\r\n\r\n"}) {
    const std::string answer = Send(head);
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 400 Bad Request\r\n")) << head;
    EXPECT_THAT(answer, HasSubstr("\r\n\r\nnot an HTTP/1.1 request\n")) << head;
  }
  std::string head = "GET /healthz HTTP/1.1\r\nHost: x\r\n";
  for (int i = 0; i < 128; ++i) head += "X: y\r\n";
  EXPECT_THAT(Send(head + "\r\n"), StartsWith("HTTP/1.1 431"));
}

TEST_F(HttpProbeTest, AHeadIsAnsweredAsAGetWithoutItsBody) {
  for (const bool ready : {true, false}) {
    readiness_ = {.ready = ready, .json = "{}"};
    for (const char* path : {"/metrics", "/healthz", "/readyz", "/nowhere"}) {
      const std::string get = Get(path);
      EXPECT_EQ(Send(absl::StrCat("HEAD ", path, " HTTP/1.1\r\nHost: x\r\n\r\n")),
                get.substr(0, get.find("\r\n\r\n") + 4))
          << path;
    }
  }
}

TEST_F(HttpProbeTest, TheCheckOfABalancerIsAnswered) {
  for (const char* head : {"OPTIONS / HTTP/1.0\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
                           "OPTIONS /metrics HTTP/1.1\r\nHost: x\r\n\r\n"}) {
    const std::string answer = Send(head);
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n")) << head;
    EXPECT_THAT(answer, HasSubstr("\r\nAllow: GET, HEAD, OPTIONS\r\n")) << head;
    EXPECT_THAT(answer, EndsWith("\r\n\r\n")) << head;
  }
}

TEST_F(HttpProbeTest, EmptyLinesBeforeARequestAreIgnored) {
  EXPECT_THAT(Send("\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Send("\r\n\r\n\r\nGET /healthz HTTP/1.0\r\n\r\n"), StartsWith("HTTP/1.1 200"));
}

TEST_F(HttpProbeTest, TheLimitsOfAHeadAreThoseOfTheConfigurationAndAreTold) {
  const std::string cookie =
      "GET /healthz HTTP/1.1\r\nHost: x\r\nCookie: " + std::string(20000, 'x');
  EXPECT_THAT(Send(cookie + "\r\n\r\n"), StartsWith("HTTP/1.1 200"));
  head_limits_ = {.max_bytes = 1000, .max_lines = 9};
  const std::string long_head = Send(cookie.substr(0, 1001));
  EXPECT_THAT(long_head, StartsWith("HTTP/1.1 431"));
  EXPECT_THAT(long_head, HasSubstr("over 1000 bytes: the server's limits.max_head_bytes\n"));
  std::string lines = "GET /healthz HTTP/1.1\r\nHost: x\r\n";
  for (int i = 1; i < 9; ++i) lines += "X: y\r\n";
  EXPECT_THAT(Send(lines + "\r\n"), StartsWith("HTTP/1.1 200"));
  const std::string many = Send(lines + "X: y\r\n\r\n");
  EXPECT_THAT(many, StartsWith("HTTP/1.1 431"));
  EXPECT_THAT(many, HasSubstr("more than 9 header lines: the server's limits.max_head_lines\n"));
}

TEST_F(HttpProbeTest, TakesTheNextFreePort) {
  HttpProbe::Options options;
  options.listen = probe_->address();
  options.metrics = [] { return ""; };
  options.ready = [] { return Readiness(); };
  EXPECT_THAT(HttpProbe::Start(options),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("in use")));
  options.ports_to_try = 50;
  const auto next = HttpProbe::Start(options);
  ASSERT_OK(next);
  EXPECT_GT((*next)->address().port, probe_->address().port);
}

TEST(HttpProbeStartTest, RefusesWhatIsNoAddress) {
  HttpProbe::Options options;
  options.listen = {.host = "not an address", .port = 0, .unix_path = ""};
  EXPECT_THAT(HttpProbe::Start(options),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not an address")));
}

}  // namespace
}  // namespace fanwire
