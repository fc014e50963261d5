#include "fanout/service_settings.h"

#include "fanwire/v1/worker.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire::fanout {

namespace {

using ::testing::UnorderedElementsAre;

TEST(ServiceSettingsTest, EveryLimitComesFromTheMessage) {
  v1::WorkerService service;
  service.set_name("akosha");
  service.set_server_name("akosha-1");
  service.set_welcome_message("Connected");
  service.set_subscribe_by_component_id(true);
  service.set_token_in_header(true);
  service.set_token_in_query(false);
  service.add_requests()->set_name("get_patterns");
  service.add_channel_kinds("patterns");
  service.set_recoverable(true);
  v1::LimitsConfig& limits = *service.mutable_limits();
  limits.set_max_channel_bytes(100);
  limits.set_max_channels_per_session(7);
  limits.set_max_message_bytes(2000);
  limits.set_max_head_bytes(4000);
  limits.set_max_head_lines(40);
  limits.set_session_backlog_bytes(3000);
  limits.set_message_rate_limit(0.5);
  limits.set_message_rate_burst(1.5);
  limits.set_ping_rate_limit(2.5);
  limits.set_history_rate_bytes(4000);
  limits.set_client_publish_rate(3.5);
  limits.set_client_publish_burst(4.5);
  limits.set_max_client_event_bytes(5000);
  limits.set_max_connections(9);
  limits.mutable_handshake_timeout()->set_seconds(1);
  limits.mutable_auth_timeout()->set_nanos(500'000'000);
  limits.mutable_ping_interval()->set_seconds(3);
  limits.mutable_pong_timeout()->set_seconds(4);
  limits.mutable_close_timeout()->set_seconds(5);
  limits.mutable_recovery_timeout()->set_seconds(6);
  limits.mutable_control_wait()->set_seconds(7);
  const ServiceSettings settings(service);
  EXPECT_EQ(settings.name, "akosha");
  EXPECT_EQ(settings.server_name, "akosha-1");
  EXPECT_EQ(settings.welcome_message, "Connected");
  EXPECT_TRUE(settings.subscribe_by_component_id);
  EXPECT_TRUE(settings.token_in_header);
  EXPECT_FALSE(settings.token_in_query);
  EXPECT_THAT(settings.channel_kinds, UnorderedElementsAre("patterns"));
  EXPECT_TRUE(settings.recoverable);
  EXPECT_EQ(settings.max_channel_bytes, 100u);
  EXPECT_EQ(settings.max_channels_per_session, 7u);
  EXPECT_EQ(settings.max_message_bytes, 2000u);
  EXPECT_EQ(settings.head, (HttpHeadLimits{.max_bytes = 4000, .max_lines = 40}));
  EXPECT_EQ(settings.session_backlog_bytes, 3000u);
  EXPECT_EQ(settings.message_rate_limit, 0.5);
  EXPECT_EQ(settings.message_rate_burst, 1.5);
  EXPECT_EQ(settings.ping_rate_limit, 2.5);
  EXPECT_EQ(settings.history_rate_bytes, 4000);
  EXPECT_EQ(settings.client_publish_rate, 3.5);
  EXPECT_EQ(settings.client_publish_burst, 4.5);
  EXPECT_EQ(settings.max_client_event_bytes, 5000u);
  EXPECT_FALSE(settings.publishing.any());
  const WelcomeFacts welcome = settings.Welcome();
  EXPECT_EQ(welcome.server, "akosha-1");
  EXPECT_EQ(welcome.message, "Connected");
  EXPECT_EQ(welcome.rate_limit, 0.5);
  EXPECT_EQ(welcome.burst, 1.5);
  EXPECT_EQ(welcome.max_message_bytes, 2000u);
  EXPECT_EQ(welcome.max_channels, 7u);
  EXPECT_TRUE(welcome.recoverable);
  EXPECT_EQ(settings.max_connections, 9u);
  EXPECT_EQ(settings.handshake_timeout, absl::Seconds(1));
  EXPECT_EQ(settings.auth_timeout, absl::Milliseconds(500));
  EXPECT_EQ(settings.ping_interval, absl::Seconds(3));
  EXPECT_EQ(settings.pong_timeout, absl::Seconds(4));
  EXPECT_EQ(settings.close_timeout, absl::Seconds(5));
  EXPECT_EQ(settings.recovery_timeout, absl::Seconds(6));
  EXPECT_EQ(settings.control_wait, absl::Seconds(7));
}

TEST(ServiceSettingsTest, AControlThatTellsNoLimitsOfHeadsMeansTheDefaults) {
  EXPECT_EQ(ServiceSettings(v1::WorkerService()).head, HttpHeadLimits());
}

TEST(ServiceSettingsTest, HistoryIsAlwaysAnsweredAndOthersIfNamed) {
  v1::WorkerService service;
  service.add_requests()->set_name("get_patterns");
  const ServiceSettings settings(service);
  EXPECT_TRUE(settings.requests.HandlingOf("history", {}).answered);
  EXPECT_TRUE(settings.requests.HandlingOf("get_patterns", {}).answered);
  EXPECT_FALSE(settings.requests.HandlingOf("get_anomalies", {}).answered);
}

TEST(ServiceSettingsTest, CorrelationIsAutomaticUnlessForced) {
  v1::WorkerService service;
  EXPECT_EQ(ServiceSettings(service).correlation, CorrelationMode::kAuto);
  service.set_correlation(v1::CORRELATION_MODE_ID);
  EXPECT_EQ(ServiceSettings(service).correlation, CorrelationMode::kId);
  service.set_correlation(v1::CORRELATION_MODE_ECHO);
  EXPECT_EQ(ServiceSettings(service).correlation, CorrelationMode::kEcho);
}

}  // namespace
}  // namespace fanwire::fanout
