#include "control/config/config_rules.h"

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/config_file.h"
#include "fanwire/v1/config.pb.h"
#include "fanwire/v1/worker.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status.h"

namespace fanwire::control {

namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

constexpr char kService[] = "services: [{name: a, port: 8690}]\n";

LoadedConfig Load(const std::string& text, ConfigOverrides overrides = {}) {
  if (!overrides.environment) {
    overrides.environment = [](const std::string&) -> const char* { return nullptr; };
  }
  return LoadConfig(text, "f.yaml", overrides);
}
// The configuration of `text`, which has no faults, beside a service.
v1::Config Good(const std::string& text) {
  const LoadedConfig loaded = Load(absl::StrCat(text, kService));
  EXPECT_THAT(loaded.errors, IsEmpty());
  return *loaded.config;
}
std::vector<std::string> Faults(const std::string& text) {
  return Load(absl::StrCat(text, kService)).errors;
}
std::vector<std::string> ServiceFaults(const std::string& lines) {
  return Load(absl::StrCat("services:\n- name: a\n  port: 8690\n", lines)).errors;
}

// ------------------------------------------------------------------------------- defaults

TEST(ConfigRulesTest, WhatIsNotGivenHasItsDocumentedDefault) {
  const v1::Config config = Good("");
  EXPECT_EQ(config.workers(), "auto");
  EXPECT_EQ(config.default_service(), "mahavishnu");
  EXPECT_EQ(config.control().grpc_listen(), "127.0.0.1:8701");
  EXPECT_EQ(config.control().ops_listen(), "127.0.0.1:8702");
  EXPECT_THAT(config.control().socket(), EndsWith("/control.sock"));
  EXPECT_EQ(config.control().adopt_window().seconds(), 3);
  EXPECT_EQ(config.control().idempotency_window().seconds(), 600);
  EXPECT_EQ(config.control().idempotency_max_keys(), 100'000u);
  EXPECT_EQ(config.control().worker_queue_bytes(), 64u << 20);
  EXPECT_EQ(config.control().worker_queue_publications(), 65'536u);
  EXPECT_EQ(config.control().worker_window_bytes(), 8u << 20);
  EXPECT_EQ(config.control().worker_window_publications(), 16'384u);
  EXPECT_EQ(config.control().heartbeat_interval().seconds(), 1);
  EXPECT_EQ(config.control().max_receipt_wait().seconds(), 30);
  EXPECT_EQ(config.control().shutdown_timeout().seconds(), 30);
  EXPECT_EQ(config.worker().orphan_timeout().seconds(), 600);
  EXPECT_EQ(config.worker().reconnect_after_min().nanos(), 100'000'000);
  EXPECT_EQ(config.worker().fanout_slice(), 512u);
  EXPECT_EQ(config.worker().fanout_slice_time().nanos(), 500'000);
  EXPECT_EQ(config.engine().kind(), v1::EngineConfig::KIND_MEMORY);
  EXPECT_EQ(config.engine().channel_idle_ttl().seconds(), 24 * 3600);
  EXPECT_EQ(config.engine().max_history_bytes(), 1u << 30);
  EXPECT_EQ(config.limits().max_event_bytes(), 65'536u);
  EXPECT_EQ(config.limits().message_rate_limit(), 100);
  EXPECT_EQ(config.limits().message_rate_burst(), 150);
  EXPECT_EQ(config.limits().max_batch(), 10'000u);
  EXPECT_EQ(config.log().level(), "info");
  EXPECT_EQ(config.log().format(), "text");
  const v1::ServiceConfig& service = config.services(0);
  EXPECT_EQ(service.server_name(), "a");
  EXPECT_EQ(service.welcome_message(), "Connected to a");
  EXPECT_EQ(service.max_connections(), 1000u);
  EXPECT_EQ(service.max_channels(), 1'000'000u);
  EXPECT_EQ(service.max_event_bytes(), 65'536u);
  EXPECT_EQ(service.catalog_check(), v1::CATALOG_CHECK_OFF);
  EXPECT_EQ(service.correlation(), v1::CORRELATION_MODE_AUTO);
  EXPECT_EQ(service.update_interval().seconds(), 1);
  EXPECT_TRUE(service.token_in_header());
  EXPECT_TRUE(service.token_in_query());
  ASSERT_THAT(service.listeners(), SizeIs(1));
  EXPECT_EQ(service.listeners(0).host(), "127.0.0.1");
  EXPECT_EQ(service.listeners(0).port(), 8690u);
  EXPECT_FALSE(service.listeners(0).auth_required());
}

TEST(ConfigRulesTest, AServiceTakesTheLimitsOfAllUnlessItHasItsOwn) {
  const LoadedConfig loaded = Load(R"(
limits: {max_connections: 7, max_event_bytes: 1000, max_channels: 9, message_rate_limit: 10}
services:
- {name: a, port: 1}
- {name: b, port: 2, max_connections: 8, message_rate_limit: 4, token_in_query: false}
)");
  ASSERT_THAT(loaded.errors, IsEmpty());
  const v1::ServiceConfig& a = loaded.config->services(0);
  EXPECT_EQ(a.max_connections(), 7u);
  EXPECT_EQ(a.max_event_bytes(), 1000u);
  EXPECT_EQ(a.max_channels(), 9u);
  EXPECT_EQ(a.message_rate_limit(), 10);
  EXPECT_EQ(a.message_rate_burst(), 15);
  const v1::ServiceConfig& b = loaded.config->services(1);
  EXPECT_EQ(b.max_connections(), 8u);
  EXPECT_EQ(b.message_rate_limit(), 4);
  EXPECT_EQ(b.message_rate_burst(), 6);
  EXPECT_FALSE(b.token_in_query());
}

TEST(ConfigRulesTest, ARateOfZeroIsUnlimitedAndNotTheDefault) {
  EXPECT_EQ(Good("limits: {message_rate_limit: 0}\n").limits().message_rate_limit(), 0);
  EXPECT_EQ(Good("limits: {max_channels: 5}\n").limits().message_rate_limit(), 100);
  const LoadedConfig by_flag = Load(kService, {.settings = {"limits.message_rate_limit=0"}});
  EXPECT_EQ(by_flag.config->limits().message_rate_limit(), 0);
}

TEST(ConfigRulesTest, AuthenticationIsOfTheListenerAndElseOfAll) {
  const LoadedConfig loaded = Load(R"(
auth: {required: true, keys: [{secret: 0123456789abcdef}, {secret: ""}]}
services:
- {name: a, listeners: [{port: 1}, {port: 2, auth_required: false}], keys: [{secret: ""}]}
)");
  ASSERT_THAT(loaded.errors, IsEmpty());
  EXPECT_TRUE(loaded.config->services(0).listeners(0).auth_required());
  EXPECT_FALSE(loaded.config->services(0).listeners(1).auth_required());
  EXPECT_THAT(loaded.config->auth().keys(), SizeIs(1));
  EXPECT_THAT(loaded.config->services(0).keys(), IsEmpty());
}

TEST(ConfigRulesTest, AFlagBeatsAVariableWhichBeatsTheFile) {
  const std::string text = absl::StrCat("limits: {max_batch: 1}\n", kService);
  ConfigOverrides overrides;
  overrides.variables = {"FANWIRE_LIMITS__MAX_BATCH=2", "LIMITS__MAX_BATCH=9"};
  EXPECT_EQ(Load(text, overrides).config->limits().max_batch(), 2u);
  overrides.settings = {"limits.max_batch=3"};
  EXPECT_EQ(Load(text, overrides).config->limits().max_batch(), 3u);
  EXPECT_EQ(Load(text).config->limits().max_batch(), 1u);
}

TEST(ConfigRulesTest, SettingsThatCannotBeReadAreFaults) {
  EXPECT_THAT(Load(kService, {.settings = {"limits.max_batch"}}).errors,
              ElementsAre("--set limits.max_batch: expected key=value"));
  EXPECT_THAT(Load(kService, {.settings = {"limits.max_batches=1"}}).errors,
              ElementsAre(HasSubstr("limits.max_batch")));
  EXPECT_THAT(Load(kService, {.settings = {"limits.max_batch=x"}}).errors, SizeIs(1));
  EXPECT_THAT(Load(kService, {.variables = {"FANWIRE_LIMITS__NONE=1"}}).errors, SizeIs(1));
}

// ------------------------------------------------------------------------------- faults

TEST(ConfigRulesTest, FaultsNameTheirPlaceAndAllOfThemAreFound) {
  const LoadedConfig loaded = Load(R"(limits:
  max_batch: 0x
  max_chanels: 7
services: [{name: a, port: 8690}]
)");
  EXPECT_FALSE(loaded.ok());
  EXPECT_THAT(loaded.errors, UnorderedElementsAre(StartsWith("f.yaml:2:14: limits.max_batch"),
                                                  StartsWith("f.yaml:3:3: limits.max_chanels")));
  EXPECT_EQ(loaded.ErrorText(), absl::StrJoin(loaded.errors, "\n"));
  EXPECT_THAT(Load("log: {level: loud, format: xml}\nworkers: some\n").errors,
              UnorderedElementsAre(StartsWith("f.yaml:1:7: log.level: \"loud\" is none of"),
                                   HasSubstr("log.format"), HasSubstr("workers"),
                                   HasSubstr("at least one service is needed")));
}

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

TEST(ConfigRulesTest, NoDurationIsNegative) {
  for (const char* setting :
       {"control: {idempotency_window: -1s}", "control: {max_receipt_wait: -1s}",
        "control: {shutdown_timeout: -1s}", "engine: {channel_idle_ttl: -1s}",
        "worker: {orphan_timeout: -1s}", "worker: {fanout_slice_time: -1s}",
        "channels: [{pattern: a, history_ttl: -1s}]"}) {
    EXPECT_THAT(Faults(absl::StrCat(setting, "\n")), Not(IsEmpty())) << setting;
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

// ------------------------------------------------------------------------------- the rest

TEST(ConfigRulesTest, AVerdictIsJsonForPrograms) {
  const LoadedConfig good = Load("services: [{name: a, port: 1}]\n");
  const auto verdict = nlohmann::json::parse(good.ToJson());
  EXPECT_EQ(verdict["ok"], true);
  EXPECT_TRUE(verdict["errors"].empty());
  EXPECT_THAT(verdict["resolved_yaml"].get<std::string>(), HasSubstr("name: \"a\""));
  const LoadedConfig bad = Load("services: 5\n");
  const auto refusal = nlohmann::json::parse(bad.ToJson());
  EXPECT_EQ(refusal["ok"], false);
  EXPECT_EQ(refusal["errors"].get<std::vector<std::string>>(), bad.errors);
  EXPECT_FALSE(refusal.contains("resolved_yaml"));
}

TEST(ConfigRulesTest, WorkersAreANumberOrOnePerCore) {
  EXPECT_EQ(WorkerCount(Good("workers: '7'\n")), 7);
  EXPECT_EQ(WorkerCount(Good("workers: '0'\n")), 0);
  EXPECT_GE(WorkerCount(Good("")), 1);
}

TEST(ConfigRulesTest, WorkersGetWhatIsResolvedForTheirServices) {
  const LoadedConfig loaded = Load(R"(
limits: {max_connections: 7, ping_interval: 3s}
auth: {keys: [{id: all, secret: 0123456789abcdef}]}
channels: [{pattern: "noise:**"}]
services:
- name: a
  port: 1
  max_channels_per_session: 5
  keys: [{id: own, secret: fedcba9876543210}]
  permissions: [{prefix: "secret:", any_of: [x]}]
  events: [{name: e, channels: ["workflow:{id}", "{any}", "*"]}]
  mirrors: [{events: [e], to: global}]
  status_requests: [{request: get_x, argument: x}]
)");
  ASSERT_THAT(loaded.errors, IsEmpty());
  v1::WorkerConfig config;
  BuildWorkerConfig(*loaded.config, &config);
  ASSERT_THAT(config.services(), SizeIs(1));
  const v1::WorkerService& service = config.services(0);
  EXPECT_EQ(service.name(), "a");
  EXPECT_EQ(service.limits().max_connections(), 7u);
  EXPECT_EQ(service.limits().max_channels_per_session(), 5u);
  EXPECT_EQ(service.limits().ping_interval().seconds(), 3);
  ASSERT_THAT(service.keys(), SizeIs(2));
  EXPECT_EQ(service.keys(0).id(), "own");
  EXPECT_EQ(service.keys(1).id(), "all");
  EXPECT_THAT(service.requests(), ElementsAre("get_x"));
  EXPECT_THAT(service.channel_kinds(),
              UnorderedElementsAre("workflow", "noise", "secret", "global"));
  EXPECT_EQ(config.heartbeat_interval().seconds(), 1);
}

TEST(ConfigRulesTest, AServiceIsRecoverableUnlessNoChannelCanHaveHistory) {
  const auto recoverable = [](const std::string& rules, const std::string& own = "[]") {
    const LoadedConfig loaded = Load(absl::StrCat(
        "channels: ", rules, "\nservices: [{name: a, port: 1, channels: ", own, "}]\n"));
    EXPECT_THAT(loaded.errors, IsEmpty());
    v1::WorkerConfig config;
    BuildWorkerConfig(*loaded.config, &config);
    return config.services(0).recoverable();
  };
  EXPECT_TRUE(recoverable("[]"));
  EXPECT_TRUE(recoverable(R"([{pattern: "cursor:*", history_size: 0}])"));
  EXPECT_FALSE(recoverable(R"([{pattern: "**", history_size: 0}])"));
  // The first rule wins, the service's before those of all.
  EXPECT_TRUE(recoverable(R"([{pattern: "**", history_size: 0}])",
                          R"([{pattern: "run:*", history_size: 5}])"));
  EXPECT_FALSE(recoverable(R"([{pattern: "run:*", history_size: 5}])",
                           R"([{pattern: "**", history_size: 0}])"));
  EXPECT_FALSE(
      recoverable(R"([{pattern: "a:**", history_size: 0}, {pattern: "a:*", history_size: 5},)"
                  R"( {pattern: "**", history_size: 0}])"));
  EXPECT_TRUE(recoverable(R"([{pattern: "**", backlog_policy: latest}])"));
}

TEST(ConfigRulesTest, DifferencesAreNamedByTheirPaths) {
  const auto load = [](const std::string& text) {
    const LoadedConfig loaded = Load(text);
    EXPECT_THAT(loaded.errors, IsEmpty());
    return *loaded.config;
  };
  const v1::Config before = load("services: [{name: a, port: 1}, {name: b, port: 2}]");
  EXPECT_THAT(ConfigDifference(before, before), IsEmpty());
  const v1::Config after = load(R"(
workers: "3"
limits: {max_batch: 5}
channels: [{pattern: x}]
services: [{name: c, port: 2}, {name: a, port: 1, server_name: other}]
)");
  EXPECT_THAT(ConfigDifference(before, after),
              UnorderedElementsAre("workers", "limits.max_batch", "channels", "services[c]",
                                   "services[a].server_name", "services[b]"));
}

TEST(ConfigRulesTest, WhatTheRunningPartsTookAtTheirStartNeedsARestart) {
  for (const char* path :
       {"engine.kind", "engine.max_history_bytes", "engine.channel_idle_ttl", "control.grpc_listen",
        "control.socket", "control.ops_listen", "control.allow_insecure",
        "control.worker_queue_bytes", "control.worker_queue_publications",
        "control.worker_window_bytes", "control.worker_window_publications", "control.adopt_window",
        "control.heartbeat_interval", "worker.ops_listen", "control.idempotency_window",
        "control.idempotency_max_keys", "control.max_receipt_wait"}) {
    EXPECT_TRUE(NeedsRestart(path)) << path;
  }
  for (const char* path : {"limits.max_batch", "services[a].max_connections", "log.level",
                           "workers", "control.shutdown_timeout", "worker.drain_window"}) {
    EXPECT_FALSE(NeedsRestart(path)) << path;
  }
}

TEST(ReadConfigFileTest, ReadsAFileAndNamesOneThatCannotBeRead) {
  char folder[] = "/tmp/fanwire-options-XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  const std::string path = absl::StrCat(folder, "/fanwire.yaml");
  std::ofstream(path) << "a: 1\n";
  const auto text = ReadConfigFile(path);
  ASSERT_OK(text);
  EXPECT_EQ(*text, "a: 1\n");
  unlink(path.c_str());
  EXPECT_THAT(ReadConfigFile(path), StatusIs(absl::StatusCode::kNotFound, HasSubstr(path)));
  rmdir(folder);
}

}  // namespace
}  // namespace fanwire::control
