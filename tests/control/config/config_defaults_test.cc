#include "control/config/config_defaults.h"

#include <string>
#include <vector>

#include "fanwire/v1/config.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/control/config/config_fixture.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(ConfigDefaultsTest, WhatIsNotGivenHasItsDocumentedDefault) {
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
  EXPECT_EQ(config.engine().path(), "/var/lib/fanwire/engine");
  EXPECT_FALSE(config.engine().sync());
  EXPECT_EQ(config.engine().cache_bytes(), 64u << 20);
  EXPECT_EQ(config.engine().max_waiting_publications(), 65'536u);
  EXPECT_EQ(config.engine().max_waiting_bytes(), 64u << 20);
  EXPECT_EQ(config.limits().max_event_bytes(), 1'000'000u);
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
  EXPECT_EQ(service.max_event_bytes(), 1'000'000u);
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

TEST(ConfigDefaultsTest, TheEnginesCacheMayBeNone) {
  EXPECT_EQ(Good("engine: {cache_bytes: 0}\n").engine().cache_bytes(), 0u);
}

TEST(ConfigDefaultsTest, TheEnginesFolderFollowsTheEnvironment) {
  setenv("STATE_DIRECTORY", "/var/lib/a:/var/lib/b", 1);
  EXPECT_EQ(Good("").engine().path(), "/var/lib/a/engine");
  unsetenv("STATE_DIRECTORY");
}

TEST(ConfigDefaultsTest, AServiceTakesTheLimitsOfAllUnlessItHasItsOwn) {
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

TEST(ConfigDefaultsTest, ARateOfZeroIsUnlimitedAndNotTheDefault) {
  EXPECT_EQ(Good("limits: {message_rate_limit: 0}\n").limits().message_rate_limit(), 0);
  EXPECT_EQ(Good("limits: {max_channels: 5}\n").limits().message_rate_limit(), 100);
  const LoadedConfig by_flag = Load(kService, {.settings = {"limits.message_rate_limit=0"}});
  EXPECT_EQ(by_flag.config->limits().message_rate_limit(), 0);
}

TEST(ConfigDefaultsTest, AuthenticationIsOfTheListenerAndElseOfAll) {
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

TEST(ConfigDefaultsTest, AllowedOriginsAreOfTheListenerAndElseOfAll) {
  const v1::Config config = LoadGood(R"(
auth: {allowed_origins: ["https://all.example", "*"]}
services:
- {name: a, port: 1}
- {name: b, listeners: [{port: 2}, {port: 3, allowed_origins: ["https://own.example"]}]}
)");
  const auto of = [&](int service, int listener) {
    const auto& origins = config.services(service).listeners(listener).allowed_origins();
    return std::vector<std::string>(origins.begin(), origins.end());
  };
  EXPECT_THAT(of(0, 0), ElementsAre("https://all.example", "*"));
  EXPECT_THAT(of(1, 0), ElementsAre("https://all.example", "*"));
  EXPECT_THAT(of(1, 1), ElementsAre("https://own.example"));
}

TEST(ConfigDefaultsTest, AZeroBurstIsAsIfItWasNotGiven) {
  const v1::Config config = LoadGood(R"(
limits: {message_rate_limit: 10, message_rate_burst: 0}
services: [{name: a, port: 1, message_rate_limit: 4, message_rate_burst: 0}, {name: b, port: 2}]
)");
  EXPECT_EQ(config.limits().message_rate_burst(), 15);
  EXPECT_EQ(config.services(0).message_rate_burst(), 6);
  EXPECT_EQ(config.services(1).message_rate_burst(), 15);
}

TEST(ConfigDefaultsTest, ARuleKeepsUnsetWhatItDoesNotSay) {
  const v1::Config config = Good("channels: [{pattern: x}]\n");
  EXPECT_FALSE(config.channels(0).has_history_size());
  EXPECT_FALSE(config.channels(0).has_history_ttl());
  EXPECT_EQ(config.channels(0).backlog_policy(), v1::BACKLOG_POLICY_UNSPECIFIED);
}

TEST(ConfigDefaultsTest, WhereNoRuleSetsAKeyHistoryIsKeptAndTheSlowAreClosed) {
  const v1::ChannelRule rule = FallbackRule();
  EXPECT_EQ(rule.history_size(), 1000u);
  EXPECT_EQ(rule.history_ttl().seconds(), 3600);
  EXPECT_EQ(rule.backlog_policy(), v1::BACKLOG_POLICY_CLOSE);
  EXPECT_EQ(rule.gap_policy(), v1::GAP_POLICY_NOTIFY);
}

TEST(ConfigDefaultsTest, SectionsInAnElementAreNotMadeUp) {
  const v1::Config config = LoadGood(
      "services: [{name: a, port: 1, status_requests: [{request: r, argument: pool_id}]}]\n");
  const v1::StatusRequest& request = config.services(0).status_requests(0);
  EXPECT_FALSE(request.has_recent());
  EXPECT_EQ(request.max_entities(), 10'000u);
  EXPECT_EQ(request.kind(), "pool");
}

}  // namespace
}  // namespace fanwire::control
