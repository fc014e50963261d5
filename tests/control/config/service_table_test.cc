#include "control/config/service_table.h"

#include <memory>
#include <string>

#include "control/config/config_loader.h"
#include "control/config/history_policy.h"
#include "fanwire/v1/config.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/policies.h"
#include "tests/testing/status.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

std::shared_ptr<const ServiceTable> Make(const std::string& yaml) {
  const LoadedConfig loaded = LoadConfig(yaml, "t.yaml", {});
  EXPECT_THAT(loaded.errors, IsEmpty());
  return ServiceTable::Make(*loaded.config);
}

TEST(EventMatchesTest, IsExactOrABeginning) {
  EXPECT_TRUE(EventMatches("workflow.started", "workflow.started"));
  EXPECT_FALSE(EventMatches("workflow.started", "workflow.started2"));
  EXPECT_TRUE(EventMatches("workflow.*", "workflow.started"));
  EXPECT_TRUE(EventMatches("workflow.*", "workflow."));
  EXPECT_FALSE(EventMatches("workflow.*", "workflow"));
  EXPECT_TRUE(EventMatches("*", ""));
}

TEST(ServiceTableTest, AnUnknownServiceIsNamedWithTheNearestOneThatIsConfigured) {
  const auto table = Make(
      "services: [{name: akosha, listeners: [{port: 8682}]}, "
      "{name: mahavishnu, listeners: [{port: 8690}]}]\n");
  EXPECT_THAT(table->NoSuchService("mahavisnhu"),
              StatusIs(absl::StatusCode::kNotFound,
                       "service \"mahavisnhu\" is not configured; did you mean \"mahavishnu\"?"));
  EXPECT_THAT(table->NoSuchService("crackerjack"),
              StatusIs(absl::StatusCode::kNotFound, "service \"crackerjack\" is not configured"));
}

TEST(ServiceTableTest, HoldsWhatTheConfigurationSays) {
  const auto table = Make(R"(
default_service: akosha
limits: {max_channel_bytes: 100, max_channels: 50, max_unpublished_channels: 40, max_batch: 7}
services:
- name: akosha
  listeners:
  - {port: 8765, dialect: session_buddy}
  - {host: "::1", port: 8682}
  max_connections: 5
  max_event_bytes: 1000
  message_rate_limit: 2.5
  update_interval: 250ms
  catalog_check: enforce
  events: [{name: a, channels: [x], data: {k: s}}]
  mirrors: [{events: ["a*"], if_field: f, to: "y:{f}"}]
- {name: mahavishnu, port: 8690, max_channels: 9, max_unpublished_channels: 11}
)");
  EXPECT_EQ(table->default_service(), "akosha");
  EXPECT_EQ(table->max_batch(), 7u);
  EXPECT_THAT(table->services(), SizeIs(2));
  EXPECT_EQ(table->Find("none"), nullptr);
  const ServiceSpec* const akosha = table->Find("akosha");
  ASSERT_NE(akosha, nullptr);
  EXPECT_TRUE(akosha->has_session_buddy());
  EXPECT_EQ(akosha->main_listener().host, "::1");
  EXPECT_EQ(akosha->main_listener().port, 8682u);
  EXPECT_EQ(akosha->max_connections, 5u);
  EXPECT_EQ(akosha->max_channel_bytes, 100u);
  EXPECT_EQ(akosha->max_channels, 50u);
  EXPECT_EQ(akosha->max_unpublished_channels, 40u);
  EXPECT_EQ(akosha->max_event_bytes, 1000u);
  EXPECT_EQ(akosha->message_rate_limit, 2.5);
  EXPECT_EQ(akosha->update_interval, absl::Milliseconds(250));
  EXPECT_EQ(akosha->catalog.check(), Catalog::Check::kEnforce);
  ASSERT_THAT(akosha->catalog.Find("a"), SizeIs(1));
  EXPECT_EQ(akosha->catalog.Find("a")[0].event->keys[0].name, "k");
  ASSERT_THAT(akosha->mirrors, SizeIs(1));
  EXPECT_EQ(akosha->mirrors[0].if_field, "f");
  EXPECT_EQ(akosha->mirrors[0].to, "y:{f}");
  EXPECT_FALSE(akosha->conflates);
  const ServiceSpec* const mahavishnu = table->Find("mahavishnu");
  ASSERT_NE(mahavishnu, nullptr);
  EXPECT_FALSE(mahavishnu->has_session_buddy());
  EXPECT_EQ(mahavishnu->max_channels, 9u);
  EXPECT_EQ(mahavishnu->max_unpublished_channels, 11u);
  EXPECT_EQ(mahavishnu->catalog.check(), Catalog::Check::kOff);
}

TEST(ServiceTableTest, TheFirstRuleOfPresenceThatMatchesHolds) {
  const auto table = Make(R"(
services:
- name: a
  port: 1
  presence:
  - {pattern: "x:quiet"}
  - pattern: "x:*"
    presence_events: true
    publish: {channel: "p:*", joined_event: j, left_event: l, id_field: id, info_field: info}
)");
  const ServiceSpec& service = *table->Find("a");
  EXPECT_EQ(service.presence_max_members, 1000u);
  EXPECT_EQ(service.PresenceFor("y"), nullptr);
  ASSERT_NE(service.PresenceFor("x:quiet"), nullptr);
  EXPECT_FALSE(service.PresenceFor("x:quiet")->events);
  EXPECT_FALSE(service.PresenceFor("x:quiet")->publish.has_value());
  const PresenceRule* const rule = service.PresenceFor("x:1");
  ASSERT_NE(rule, nullptr);
  EXPECT_TRUE(rule->events);
  ASSERT_TRUE(rule->publish.has_value());
  EXPECT_EQ(rule->publish->channel, "p:*");
  EXPECT_EQ(rule->publish->joined_event, "j");
  EXPECT_EQ(rule->publish->left_event, "l");
  EXPECT_EQ(rule->publish->id_field, "id");
  EXPECT_EQ(rule->publish->info_field, "info");
}

TEST(ServiceTableTest, AListenerOfADialectAloneIsTheMainOne) {
  const auto table =
      Make("services:\n- {name: a, listeners: [{port: 1, dialect: session_buddy}]}\n");
  EXPECT_EQ(table->Find("a")->main_listener().port, 1u);
}

TEST(ServiceTableTest, AChannelWithoutRulesHasTheDefaults) {
  const ChannelPolicy policy = Make("services: [{name: a, port: 1}]")->Find("a")->PolicyFor("x");
  EXPECT_EQ(policy.history, (HistoryPolicy{.size = 1000, .ttl = absl::Hours(1)}));
  EXPECT_EQ(policy.backlog, BacklogPolicy::kClose);
  EXPECT_EQ(policy.gap, GapPolicy::kNotify);
  EXPECT_EQ(policy.conflate_field, "");
}

TEST(ServiceTableTest, EachFieldComesFromTheFirstRuleThatSetsItAndTheServicesOwnComeFirst) {
  const auto table = Make(R"(
channels:
- {pattern: "metrics:*", history_size: 1, history_ttl: 1m, gap_policy: close}
- {pattern: "**", backlog_policy: drop_oldest, conflate_field: all}
services:
- name: a
  port: 1
  channels:
  - {pattern: "metrics:cpu", backlog_policy: latest, conflate_field: core}
  - {pattern: "metrics:*", history_size: 0}
  - {pattern: "metrics:*", history_size: 77, backlog_policy: close}
- {name: b, port: 2}
)");
  const ServiceSpec& a = *table->Find("a");
  EXPECT_TRUE(a.conflates);
  const ChannelPolicy cpu = a.PolicyFor("metrics:cpu");
  EXPECT_EQ(cpu.history, (HistoryPolicy{.size = 0, .ttl = absl::Minutes(1)}));
  EXPECT_EQ(cpu.backlog, BacklogPolicy::kLatest);
  EXPECT_EQ(cpu.gap, GapPolicy::kClose);
  EXPECT_EQ(cpu.conflate_field, "core");
  const ChannelPolicy memory = a.PolicyFor("metrics:mem");
  EXPECT_EQ(memory.backlog, BacklogPolicy::kClose);
  EXPECT_EQ(memory.conflate_field, "all");
  const ChannelPolicy other = a.PolicyFor("other");
  EXPECT_EQ(other.history, (HistoryPolicy{.size = 1000, .ttl = absl::Hours(1)}));
  EXPECT_EQ(other.backlog, BacklogPolicy::kDropOldest);
  EXPECT_EQ(table->Find("b")->PolicyFor("metrics:cpu").history.size, 1u);
}

}  // namespace
}  // namespace fanwire::control
