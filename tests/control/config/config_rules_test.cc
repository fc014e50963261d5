#include "control/config/config_rules.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/control/config/config_fixture.h"

namespace fanwire::control {

namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(ConfigRulesTest, AddressesAreChecked) {
  EXPECT_THAT(Faults("control: {grpc_listen: nowhere}\n"),
              ElementsAre(HasSubstr("control.grpc_listen")));
  EXPECT_THAT(Faults("control: {ops_listen: '127.0.0.1:99999'}\n"),
              ElementsAre(HasSubstr("control.ops_listen")));
  EXPECT_THAT(Faults("worker: {ops_listen: ':'}\n"), ElementsAre(HasSubstr("worker.ops_listen")));
  EXPECT_THAT(Faults(absl::StrCat("control: {socket: /", std::string(200, 'x'), "}\n")),
              ElementsAre(HasSubstr("control.socket")));
}

TEST(ConfigRulesTest, GrpcBeyondLoopbackMustBeAskedFor) {
  EXPECT_THAT(Faults("control: {grpc_listen: '0.0.0.0:8701'}\n"),
              ElementsAre(HasSubstr("is not loopback, and there is no TLS")));
  EXPECT_THAT(Faults("control: {grpc_listen: '0.0.0.0:8701', allow_insecure: true}\n"), IsEmpty());
  EXPECT_THAT(Faults("control: {grpc_listen: '[::1]:8701'}\n"), IsEmpty());
}

TEST(ConfigRulesTest, AnonymousListenersBeyondLoopbackMustBeAskedFor) {
  const std::string service = "services: [{name: a, listeners: [{host: 0.0.0.0, port: 1}]}]\n";
  EXPECT_THAT(Load(service).errors, ElementsAre(HasSubstr("anybody may read all")));
  EXPECT_THAT(Load("auth: {allow_anonymous_beyond_loopback: true}\n" + service).errors, IsEmpty());
  EXPECT_THAT(Load("auth: {required: true, keys: [{secret: 0123456789abcdef}]}\n" + service).errors,
              IsEmpty());
}

TEST(ConfigRulesTest, ATokenThatIsDemandedNeedsAKeyThatIsNone) {
  EXPECT_THAT(Faults("auth: {required: true, keys: [{secret: ''}]}\n"),
              ElementsAre(HasSubstr("there is no key to check it")));
  EXPECT_THAT(Faults("auth: {keys: [{secret: short}]}\n"),
              ElementsAre(HasSubstr("a secret of 5 bytes")));
  EXPECT_THAT(Faults("auth: {keys: [{secret: 0123456789abcdef, algorithm: RS256}]}\n"),
              ElementsAre(HasSubstr("only HS256")));
}

TEST(ConfigRulesTest, RangesAreChecked) {
  for (const char* setting : {"limits: {max_channel_bytes: 257}",
                              "limits: {max_event_bytes: 1000001}",
                              "limits: {max_message_bytes: 255}",
                              "limits: {session_backlog_bytes: 1023}",
                              "limits: {max_batch: 1000001}",
                              "limits: {message_rate_limit: -1}",
                              "limits: {ping_interval: 99ms}",
                              "limits: {pong_timeout: 99ms}",
                              "limits: {handshake_timeout: 1ms}",
                              "control: {heartbeat_interval: 49ms}",
                              "control: {worker_queue_bytes: 1MiB}",
                              "control: {worker_window_bytes: 1MiB}",
                              "control: {worker_window_publications: 1023}",
                              "worker: {drain_window: 20s}",
                              "worker: {reconnect_after_min: 6s}",
                              "worker: {notsent_lowat_bytes: 1023}",
                              "worker: {send_buffer_bytes: 4095}",
                              "workers: '1025'",
                              "workers: '-1'",
                              "channels: [{pattern: '**:a'}]",
                              "channels: [{pattern: a, history_size: 1000001}]",
                              "channels: [{pattern: ''}]"}) {
    EXPECT_THAT(Faults(absl::StrCat(setting, "\n")), SizeIs(1)) << setting;
  }
}

TEST(ConfigRulesTest, AServiceIsChecked) {
  EXPECT_THAT(Load("services: [{name: A, port: 1}]").errors,
              ElementsAre(HasSubstr("services[0].name")));
  EXPECT_THAT(Load("services: [{port: 1}]").errors, ElementsAre(HasSubstr("services[0].name")));
  EXPECT_THAT(Load("services: [{name: a, port: 1}, {name: a, port: 2}]").errors,
              ElementsAre(HasSubstr("\"a\" is there already")));
  EXPECT_THAT(Load("services: [{name: a, port: 1}, {name: b, port: 1}]").errors,
              ElementsAre(HasSubstr("127.0.0.1:1 is taken by service \"a\"")));
  EXPECT_THAT(Load("services: [{name: a}]").errors, ElementsAre(HasSubstr("needs a port")));
  EXPECT_THAT(Load("services: [{name: a, port: 65536}]").errors, Contains(HasSubstr("65535")));
  EXPECT_THAT(Load("services: [{name: a, listeners: [{host: 'x y', port: 1}]}]").errors,
              ElementsAre(HasSubstr("\"x y\" is no address")));
  for (const char* host : {"127.0.0.1", "::1", "localhost"}) {
    EXPECT_THAT(
        Load(absl::StrCat("services: [{name: a, listeners: [{host: '", host, "', port: 1}]}]"))
            .errors,
        IsEmpty());
  }
  for (const char* lines :
       {"  max_event_bytes: 1000001\n",
        "  message_rate_limit: -1\n",
        "  permissions: [{any_of: [x]}]\n",
        "  permissions: [{prefix: x}]\n",
        "  mirrors: [{to: x}]\n",
        "  mirrors: [{events: [a]}]\n",
        "  mirrors: [{events: [a], to: 'x:*'}]\n",
        "  mirrors: [{events: [a], to: 'x:{'}]\n",
        "  mirrors: [{events: [a], to: 'x:{}'}]\n",
        "  mirrors: [{events: [a], to: 'x}{'}]\n",
        "  events: [{channels: [x]}]\n",
        "  events: [{name: a}, {name: a}]\n",
        "  events: [{name: a, data: {k: z}}]\n",
        "  events: [{name: a, data: {k: s!}}]\n",
        "  events: [{name: a, data: {k: ''}}]\n",
        "  channels: [{pattern: '**:a'}]\n",
        "  update_interval: 0s\n",
        "  status_requests: [{request: r, argument: a}, {request: r, argument: a}]\n",
        "  status_requests: [{argument: a}]\n",
        "  status_requests: [{request: r}]\n",
        "  status_requests: [{request: r, recent: {max: 5}}]\n"}) {
    EXPECT_THAT(ServiceFaults(lines), SizeIs(1)) << lines;
  }
}

TEST(ConfigRulesTest, TheDefaultServiceMustExistIfItIsNamed) {
  EXPECT_THAT(Faults("default_service: b\n"), ElementsAre(HasSubstr("no service \"b\"")));
  EXPECT_THAT(Faults(""), IsEmpty());
  EXPECT_THAT(Faults("default_service: a\n"), IsEmpty());
}

}  // namespace
}  // namespace fanwire::control
