#include "control/config/config_rules.h"

#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/control/config/config_fixture.h"

namespace fanwire::control {

namespace {

using ::testing::AllOf;
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

TEST(ConfigRulesTest, AnAddressCanBeSwitchedOff) {
  const v1::Config config =
      Good("control: {grpc_listen: off, ops_listen: 'off'}\nworker: {ops_listen: \"off\"}\n");
  EXPECT_EQ(config.control().grpc_listen(), "off");
  EXPECT_EQ(config.worker().ops_listen(), "off");
  for (const char* key :
       {"control: {grpc_listen: ", "control: {ops_listen: ", "worker: {ops_listen: "}) {
    EXPECT_THAT(Faults(absl::StrCat(key, "''}\n")),
                ElementsAre(HasSubstr("the address is empty; write \"off\" to switch it off")));
    EXPECT_THAT(Faults(absl::StrCat(key, "no}\n")),
                ElementsAre(HasSubstr("\"off\" switches it off")));
    EXPECT_THAT(Faults(absl::StrCat(key, "'unix:/run/x.sock'}\n")),
                ElementsAre(HasSubstr("is a unix socket; expected HOST:PORT")));
    EXPECT_THAT(Faults(absl::StrCat(key, "}\n")), IsEmpty());  // not given
  }
  EXPECT_THAT(Load(kService, {.settings = {"control.grpc_listen="}}).errors,
              ElementsAre(HasSubstr("--set control.grpc_listen: ")));
  // A start would not look the name up.
  EXPECT_THAT(Faults("control: {ops_listen: '127.1:1'}\n"),
              ElementsAre(HasSubstr("or localhost, found \"127.1\"")));
  EXPECT_THAT(Faults("control: {ops_listen: 'box.example.com:1'}\n"),
              ElementsAre(HasSubstr("or localhost, found \"box.example.com\"")));
}

TEST(ConfigRulesTest, TheSocketsDefaultMustBeUtf8Too) {
  const std::string fault = "is not UTF-8";
  setenv("RUNTIME_DIRECTORY", "/tmp/caf\xe9", 1);
  EXPECT_THAT(Faults(""), ElementsAre(AllOf(HasSubstr("control.socket"), HasSubstr(fault))));
  unsetenv("RUNTIME_DIRECTORY");
}

TEST(ConfigRulesTest, TheEnginesFolderIsAnAbsolutePath) {
  EXPECT_EQ(Good("engine: {kind: rocksdb, path: /data/fanwire}\n").engine().path(),
            "/data/fanwire");
  EXPECT_THAT(Faults("engine: {kind: rocksdb, path: data}\n"),
              ElementsAre(AllOf(HasSubstr("engine.path"), HasSubstr("expected an absolute path"))));
  setenv("STATE_DIRECTORY", "/tmp/caf\xe9", 1);
  EXPECT_THAT(Faults(""), ElementsAre(AllOf(HasSubstr("engine.path"), HasSubstr("is not UTF-8"))));
  unsetenv("STATE_DIRECTORY");
}

TEST(ConfigRulesTest, TheRedisServerIsAHostAndAPort) {
  EXPECT_EQ(Good("").engine().redis().server(), "127.0.0.1:6379");
  EXPECT_EQ(
      Good("engine: {kind: redis, redis: {server: 'redis:7000'}}\n").engine().redis().server(),
      "redis:7000");
  for (const char* const server : {"redis", "unix:/run/redis.sock", "redis:0"}) {
    EXPECT_THAT(Faults(absl::StrCat("engine: {redis: {server: '", server, "'}}\n")),
                ElementsAre(HasSubstr("engine.redis.server")))
        << server;
  }
}

TEST(ConfigRulesTest, GrpcBeyondLoopbackMustBeAskedFor) {
  EXPECT_THAT(Faults("control: {grpc_listen: '0.0.0.0:8701'}\n"),
              ElementsAre(HasSubstr("is not loopback, and there is no TLS")));
  EXPECT_THAT(Faults("control: {grpc_listen: '0.0.0.0:8701', allow_insecure: true}\n"), IsEmpty());
  EXPECT_THAT(Faults("control: {grpc_listen: '[::1]:8701'}\n"), IsEmpty());
  EXPECT_THAT(Faults("control: {grpc_listen: '[::ffff:127.0.0.1]:8701'}\n"), IsEmpty());
}

TEST(ConfigRulesTest, AnonymousListenersBeyondLoopbackMustBeAskedFor) {
  const std::string service = "services: [{name: a, listeners: [{host: 0.0.0.0, port: 1}]}]\n";
  EXPECT_THAT(Load(service).errors, ElementsAre(HasSubstr("anybody may read all")));
  EXPECT_THAT(
      Load("services: [{name: a, listeners: [{host: '::ffff:127.0.0.1', port: 1}]}]").errors,
      IsEmpty());
  EXPECT_THAT(Load("services: [{name: a, listeners: [{host: '::ffff:10.0.0.1', port: 1}]}]").errors,
              ElementsAre(HasSubstr("anybody may read all")));
  EXPECT_THAT(Load("auth: {allow_anonymous_beyond_loopback: true}\n" + service).errors, IsEmpty());
  EXPECT_THAT(Load("auth: {required: true, keys: [{secret: 0123456789abcdef}]}\n" + service).errors,
              IsEmpty());
}

TEST(ConfigRulesTest, OriginsAreChecked) {
  EXPECT_THAT(
      Faults("auth: {allowed_origins: ['https://dash.example.com', '*', 'http://[::1]:1']}\n"),
      IsEmpty());
  // Once, where it stands, and not again for every listener that takes it over.
  EXPECT_THAT(Faults("auth:\n  allowed_origins:\n  - https://a\n  - https://b/\n"),
              ElementsAre(AllOf(HasSubstr("f.yaml:4:5: auth.allowed_origins[1]: "),
                                HasSubstr("ends after the host and port"))));
  EXPECT_THAT(Load("services:\n- name: a\n  listeners:\n  - port: 1\n"
                   "    allowed_origins: [dash.example.com, 'null']\n")
                  .errors,
              ElementsAre(HasSubstr("f.yaml:5:23: services[0].listeners[0].allowed_origins[0]: "),
                          HasSubstr("services[0].listeners[0].allowed_origins[1]: ")));
}

TEST(ConfigRulesTest, ATokenThatIsDemandedNeedsAKeyThatIsNone) {
  EXPECT_THAT(Faults("auth: {required: true, keys: [{secret: ''}]}\n"),
              ElementsAre(HasSubstr("there is no key to check it")));
  EXPECT_THAT(Faults("auth: {keys: [{secret: short}]}\n"),
              ElementsAre(HasSubstr("a secret of 5 bytes")));
  EXPECT_THAT(Faults("auth: {keys: [{secret: 0123456789abcdef, algorithm: RS256}]}\n"),
              ElementsAre(HasSubstr("expected HS256, found \"RS256\"")));
}

TEST(ConfigRulesTest, NoKeyHoldsAVariableThatWasNotReplaced) {
  const std::string keys = "services: [{name: a, port: 1, keys: [{secret: ";
  const auto with = [](const char* name, const char* value) {
    return ConfigOverrides{.environment = [=](const std::string& asked) -> const char* {
      return asked == name ? value : nullptr;
    }};
  };
  const std::string nested = keys + "\"${A:-${BODAI_SHARED_SECRET}}\"}]}]\n";
  EXPECT_THAT(Load(nested).errors,
              ElementsAre(HasSubstr("variable BODAI_SHARED_SECRET is not set")));
  const LoadedConfig good = Load(nested, with("BODAI_SHARED_SECRET", "0123456789abcdef"));
  ASSERT_THAT(good.errors, IsEmpty());
  EXPECT_EQ(good.config->services(0).keys(0).secret(), "0123456789abcdef");
  const auto refused = ElementsAre(HasSubstr("a variable that was not replaced"));
  for (const char* secret :
       {"\"$BODAI_SHARED_SECRET\"", "$bodai_shared_secret", "'$${BODAI_SHARED_SECRET}'",
        "\"prefix-$${BODAI_SHARED_SECRET}\"", "\"${A:-$BODAI_SHARED_SECRET}\""}) {
    EXPECT_THAT(Load(absl::StrCat(keys, secret, "}]}]\n")).errors, refused) << secret;
    EXPECT_THAT(Load(absl::StrCat("auth: {keys: [{secret: ", secret, "}]}\n", kService)).errors,
                refused)
        << secret;
  }
  // What an environment file did not replace.
  for (const char* value : {"${BODAI_SHARED_SECRET}", "$BODAI_SHARED_SECRET"}) {
    EXPECT_THAT(Load(keys + "\"${A}\"}]}]\n", with("A", value)).errors, refused) << value;
  }
  EXPECT_THAT(Load(keys + "\"${ A }\"}]}]\n").errors, ElementsAre(HasSubstr("expected ${NAME}")));
  EXPECT_THAT(Load(keys + "\"${A\"}]}]\n").errors, ElementsAre(HasSubstr("without \"}\"")));
  EXPECT_THAT(Load(keys + "\"                    \"}]}]\n").errors,
              ElementsAre(HasSubstr("has only spaces")));
  EXPECT_THAT(Load(keys + "\"***\"}]}]\n").errors,
              ElementsAre(HasSubstr("as `wsctl config show` prints it")));
  // Random secrets may have such characters.
  EXPECT_THAT(Load(keys + "\"p$ssw0rd-{0123456789}$\"}]}]\n").errors, IsEmpty());
  EXPECT_THAT(Load(keys + "\"$5$rounds=5000$salt$hash\"}]}]\n").errors, IsEmpty());
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
              ElementsAre(HasSubstr("duplicate name \"a\"")));
  EXPECT_THAT(Load("services: [{name: a, port: 1}, {name: b, port: 1}]").errors,
              ElementsAre(HasSubstr("127.0.0.1:1 is taken by service \"a\"")));
  EXPECT_THAT(Load("services: [{name: a}]").errors, ElementsAre(HasSubstr("needs a port")));
  EXPECT_THAT(Load("services: [{name: a, port: 65536}]").errors, Contains(HasSubstr("65535")));
  EXPECT_THAT(Load("services: [{name: a, listeners: [{host: 'x y', port: 1}]}]").errors,
              ElementsAre(HasSubstr("localhost, found \"x y\"")));
  for (const char* host : {"127.0.0.1", "::1", "localhost", "[::1]", "::ffff:127.0.0.1"}) {
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
        "  status_requests: [{request: r, recent: {max: 5}}]\n",
        "  status_requests: [{request: r, argument: a, feeds: ['**:a']}]\n",
        "  status_requests: [{request: r, argument: a, any_of: ['']}]\n",
        "  status_requests: [{request: r, argument: a, feeds: [x], any_of: [y]}]\n",
        "  status_requests: [{request: r, argument: a_id, feeds: [x]}]\n",
        "  status_requests: [{request: r, argument: a, kind: k, any_of: [x]}]\n",
        "  status_requests: [{request: r, kind: k, recent: {events: [e], list: l}}]\n",
        "  served_requests: [{any_of: [p]}]\n",
        "  served_requests: [{request: history}]\n",
        "  served_requests: [{request: 'a*b'}]\n",
        "  served_requests: [{request: r}, {request: r}]\n",
        "  served_requests: [{request: r, any_of: ['']}]\n",
        "  served_requests: [{request: r, timeout: 0s}]\n",
        "  served_requests: [{request: r, timeout: 61m}]\n",
        "  client_publish: [{pattern: '**:a', events: [e]}]\n",
        "  client_publish: [{pattern: a}]\n",
        "  client_publish: [{pattern: a, events: ['']}]\n",
        "  client_publish: [{pattern: a, events: ['a*b']}]\n",
        "  client_publish: [{pattern: a, events: [presence.joined]}]\n",
        "  client_publish: [{pattern: a, events: [e], any_of: ['']}]\n",
        "  client_publish: [{pattern: a, events: [e], copies: ['*: ']}]\n",
        "  client_publish: [{pattern: a, events: [e], conflate_interval: 61s}]\n",
        "  repeat_keys: [{event: pool.status_changed, field: status}]\n"}) {
    EXPECT_THAT(ServiceFaults(lines), SizeIs(1)) << lines;
  }
}

TEST(ConfigRulesTest, BracketsAroundAnIpv6AddressAreTakenOff) {
  const v1::Config config =
      LoadGood("services: [{name: a, listeners: [{host: '[::1]', port: 1}]}]\n");
  EXPECT_EQ(config.services(0).listeners(0).host(), "::1");
}

TEST(ConfigRulesTest, NoTwoListenersShareAPort) {
  EXPECT_THAT(Load("services:\n- {name: a, port: 1}\n- {name: b, listeners: [{host: localhost, "
                   "port: 1}]}\n")
                  .errors,
              ElementsAre("f.yaml:3:43: services[1].listeners[0].port: service \"b\" cannot use "
                          "localhost:1: 127.0.0.1:1 is taken by service \"a\""));
  EXPECT_THAT(Faults("control: {grpc_listen: '127.0.0.1:8690'}\n"),
              ElementsAre(HasSubstr("service \"a\" cannot use 127.0.0.1:8690: 127.0.0.1:8690 is "
                                    "taken by control.grpc_listen")));
  EXPECT_THAT(Faults("control: {grpc_listen: '0.0.0.0:8690', allow_insecure: true}\n"),
              ElementsAre(HasSubstr("[::]:8690 is taken by control.grpc_listen")));
  EXPECT_THAT(Faults("control: {ops_listen: '[::ffff:127.0.0.1]:8690'}\n"),
              ElementsAre(HasSubstr("is taken by control.ops_listen")));
  EXPECT_THAT(Faults("control: {ops_listen: 'localhost:8701'}\n"),
              ElementsAre(HasSubstr("control.ops_listen: control.ops_listen cannot use "
                                    "localhost:8701: 127.0.0.1:8701 is taken by "
                                    "control.grpc_listen")));
  EXPECT_THAT(Faults("worker: {ops_listen: '127.0.0.1:8702'}\n"),
              ElementsAre(HasSubstr("is taken by control.ops_listen")));
  const std::string worker = "workers: '1'\nworker: {ops_listen: 'localhost:8701'}\n";
  EXPECT_THAT(Faults(worker), ElementsAre(HasSubstr("is taken by control.grpc_listen")));
  EXPECT_THAT(Faults(worker + "control: {grpc_listen: off}\n"), IsEmpty());
}

TEST(ConfigRulesTest, TheWorkersOpsPortsAreARange) {
  const auto faults = [](const std::string& workers, int port) {
    return Load(absl::StrCat("workers: '", workers, "'\nservices: [{name: a, port: ", port, "}]\n"))
        .errors;
  };
  EXPECT_THAT(faults("4", 8710), ElementsAre(HasSubstr("is taken by worker.ops_listen")));
  EXPECT_THAT(faults("4", 8713),
              ElementsAre(HasSubstr("127.0.0.1:8713 is taken by worker.ops_listen + 3, of "
                                    "worker-3")));
  EXPECT_THAT(faults("4", 8714), IsEmpty());
  EXPECT_THAT(faults("0", 8710), ElementsAre(HasSubstr("worker.ops_listen")));
  EXPECT_THAT(faults("0", 8711), IsEmpty());
  EXPECT_THAT(faults("auto", 8710), ElementsAre(HasSubstr("worker.ops_listen")));
  // Whatever machine this is, the shipped ports are good.
  EXPECT_THAT(faults("auto", 8765), IsEmpty());
  EXPECT_THAT(Load("worker: {ops_listen: '127.0.0.1:0'}\nservices: [{name: a, port: 1}]\n").errors,
              IsEmpty());
}

TEST(ConfigRulesTest, AStatusRequestSaysInOneWayWhoMayAsk) {
  EXPECT_THAT(ServiceFaults("  status_requests:\n"
                            "  - {request: q, argument: a_id}\n"
                            "  - {request: r, argument: a, feeds: [x, 'y:**']}\n"
                            "  - {request: s, argument: a_id, kind: '', any_of: [p, q]}\n"
                            "  - {request: t, feeds: [x], recent: {events: [e], list: l}}\n"
                            "  - {request: u, argument: a}\n"),
              IsEmpty());
  EXPECT_THAT(ServiceFaults("  status_requests: [{request: r, argument: pool_id, feeds: [x]}]\n"),
              ElementsAre(HasSubstr("who may subscribe to \"pool:ID\" may ask")));
}

TEST(ConfigRulesTest, WhatClientsMayPublishIsNamedByPatternsAndEvents) {
  EXPECT_THAT(
      ServiceFaults("  client_publish:\n"
                    "  - {pattern: 'a:*', events: ['*']}\n"
                    "  - {pattern: '**', events: [e, 'e.*'], any_of: [p], anonymous: true,\n"
                    "     skip_history: true, conflate_interval: 1m, copies: [b, 'c:*']}\n"),
      IsEmpty());
  EXPECT_THAT(ServiceFaults("  client_publish: [{pattern: a, events: [e, channel.skipped]}]\n"),
              ElementsAre(HasSubstr("client_publish[0].events[1]: \"channel.skipped\": reserved: "
                                    "only Fanwire itself sends it")));
}

TEST(ConfigRulesTest, ServedRequestsAreNamesAndPatternsOfTheServicesOwn) {
  const v1::Config config = LoadGood(
      "services:\n- name: a\n  port: 1\n  served_requests:\n"
      "  - {request: get_x, any_of: [p, q], timeout: 2s}\n  - {request: 'get_*'}\n");
  EXPECT_EQ(config.services(0).served_requests(0).timeout().seconds(), 2);
  EXPECT_EQ(config.services(0).served_requests(1).timeout().seconds(), 10);
  EXPECT_THAT(ServiceFaults("  served_requests: [{request: subscribe}]\n"),
              ElementsAre(AllOf(HasSubstr("served_requests[0].request"),
                                HasSubstr("is a request that Fanwire itself answers"))));
}

TEST(ConfigRulesTest, PresenceNamesChannelsAndEventsOfTheService) {
  const std::string good =
      "publish: {channel: 'presence:*', joined_event: user.joined, left_event: user.left, "
      "id_field: id}";
  const auto faults = [](const std::string& rule) {
    return ServiceFaults(absl::StrCat("  presence: [", rule, "]\n"));
  };
  EXPECT_THAT(faults("{pattern: 'diagram:*'}"), IsEmpty());
  EXPECT_THAT(faults(absl::StrCat("{pattern: 'diagram:*', presence_events: true, ", good, "}")),
              IsEmpty());
  EXPECT_THAT(faults("{pattern: 'a:**:b'}"), ElementsAre(HasSubstr("presence[0].pattern")));
  EXPECT_THAT(faults("{presence_events: true}"), ElementsAre(HasSubstr("presence[0].pattern")));
  EXPECT_THAT(
      faults("{pattern: 'a:*', publish: {channel: 'b:*:c', joined_event: j, left_event: l, "
             "id_field: id}}"),
      ElementsAre(HasSubstr("presence[0].publish.channel: expected the name of a channel, with at "
                            "most one '*'")));
  EXPECT_THAT(faults("{pattern: 'a:*', publish: {channel: b, joined_event: presence.joined, "
                     "left_event: 'l*', id_field: id}}"),
              ElementsAre(HasSubstr("only Fanwire itself sends \"presence.joined\""),
                          HasSubstr("publish.left_event: expected the name of an event")));
  EXPECT_THAT(faults("{pattern: 'a:*', publish: {channel: b, joined_event: j, left_event: l}}"),
              ElementsAre(HasSubstr("id_field is missing")));
}

TEST(ConfigRulesTest, TheTimeOfAnAnswerIsKnownInMissingAlone) {
  const auto request = [](const std::string& keys) {
    return ServiceFaults("  status_requests: [{request: r, argument: a, " + keys + "}]\n");
  };
  EXPECT_THAT(request("missing: {at: $$now, deep: [{at: $$now}]}"), IsEmpty());
  for (const char* keys :
       {"initial: {at: $$now}", "events: [{event: e, key: $a, set: {x: {y: [$$now]}}}]",
        "events: [{event: e, key: $$now}]",
        "events: [{event: e, key: $a, append: {list: l, value: $$now}}]"}) {
    EXPECT_THAT(request(keys), ElementsAre(HasSubstr("$$now is known in missing alone"))) << keys;
  }
}

TEST(ConfigRulesTest, TheDefaultServiceMustExistIfItIsNamed) {
  EXPECT_THAT(Faults("default_service: b\n"), ElementsAre(HasSubstr("there is no service \"b\"")));
  EXPECT_THAT(Faults(""), IsEmpty());
  EXPECT_THAT(Faults("default_service: a\n"), IsEmpty());
  // As `wsctl config show` prints it where there is no such service.
  EXPECT_THAT(Faults("default_service: mahavishnu\n"), IsEmpty());
}

}  // namespace
}  // namespace fanwire::control
