#include "control/config/worker_config.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "fanwire/v1/config.pb.h"
#include "fanwire/v1/worker.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/control/config/config_fixture.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Property;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

TEST(WorkerConfigTest, WorkersAreANumberOrOnePerCore) {
  EXPECT_EQ(WorkerCount(Good("workers: '7'\n")), 7);
  EXPECT_EQ(WorkerCount(Good("workers: '0'\n")), 0);
  EXPECT_GE(WorkerCount(Good("")), 1);
}

TEST(WorkerConfigTest, WorkersGetWhatIsResolvedForTheirServices) {
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
  EXPECT_THAT(service.requests(), ElementsAre(Property(&v1::ServiceRequest::name, "get_x")));
  EXPECT_THAT(service.channel_kinds(),
              UnorderedElementsAre("workflow", "noise", "secret", "global"));
  EXPECT_EQ(config.heartbeat_interval().seconds(), 1);
}

TEST(WorkerConfigTest, ServedRequestsFollowStatusRequests) {
  const LoadedConfig loaded = Load(
      "services:\n- name: a\n  port: 1\n  served_requests:\n"
      "  - {request: 'get_*', any_of: [p], timeout: 2s}\n"
      "  status_requests: [{request: get_x, argument: x}]\n");
  ASSERT_THAT(loaded.errors, IsEmpty());
  v1::WorkerConfig config;
  BuildWorkerConfig(*loaded.config, &config);
  const auto& requests = config.services(0).requests();
  ASSERT_THAT(requests, SizeIs(2));
  EXPECT_FALSE(requests[0].served());
  EXPECT_EQ(requests[1].name(), "get_*");
  EXPECT_TRUE(requests[1].served());
  EXPECT_THAT(requests[1].any_of(), ElementsAre("p"));
  EXPECT_EQ(requests[1].timeout().seconds(), 2);
}

TEST(WorkerConfigTest, WhatClientsMayPublishGoesWithTheCatalogsEventsOfThatName) {
  const LoadedConfig loaded = Load(
      "limits: {client_publish_rate: 4, max_client_event_bytes: 1KiB}\n"
      "services:\n- {name: plain, port: 1}\n- name: excalidraw\n  port: 2\n  client_publish:\n"
      "  - {pattern: 'diagram:*', events: ['diagram.u*', unknown], any_of: [w], anonymous: true}\n"
      "  - {pattern: 'cursor:*', events: [cursor.moved], conflate_interval: 50ms,\n"
      "     skip_history: true, copies: ['diagram:*']}\n");
  ASSERT_THAT(loaded.errors, IsEmpty());
  v1::WorkerConfig config;
  BuildWorkerConfig(*loaded.config, &config);
  EXPECT_THAT(config.services(0).publish_rules(), IsEmpty());
  EXPECT_THAT(config.services(0).publish_events(), IsEmpty());
  const v1::WorkerService& service = config.services(1);
  EXPECT_EQ(service.limits().client_publish_rate(), 4);
  EXPECT_EQ(service.limits().client_publish_burst(), 6);
  EXPECT_EQ(service.limits().max_client_event_bytes(), 1024u);
  ASSERT_THAT(service.publish_rules(), SizeIs(2));
  const v1::PublishRule& first = service.publish_rules(0);
  EXPECT_EQ(first.pattern(), "diagram:*");
  EXPECT_THAT(first.events(), ElementsAre("diagram.u*", "unknown"));
  EXPECT_THAT(first.any_of(), ElementsAre("w"));
  EXPECT_TRUE(first.anonymous());
  EXPECT_FALSE(first.skip_history());
  EXPECT_EQ(first.conflate_interval().nanos(), 0);
  const v1::PublishRule& second = service.publish_rules(1);
  EXPECT_FALSE(second.anonymous());
  EXPECT_TRUE(second.skip_history());
  EXPECT_EQ(second.conflate_interval().nanos(), 50'000'000);
  EXPECT_THAT(second.copies(), ElementsAre("diagram:*"));
  ASSERT_THAT(service.publish_events(), SizeIs(2));
  EXPECT_EQ(service.publish_events(0).name(), "cursor.moved");
  EXPECT_THAT(service.publish_events(0).channels(),
              ElementsAre("cursor:{diagram_id}", "collaboration:{room}"));
  EXPECT_EQ(service.publish_events(1).name(), "diagram.updated");
  EXPECT_THAT(service.publish_events(1).channels(), ElementsAre("diagram:{diagram_id}"));
}

TEST(WorkerConfigTest, WorkersKnowWhoseMembersAreTracked) {
  const LoadedConfig loaded = Load(
      "limits: {presence_max_members: 70, presence_info_bytes: 2KiB}\n"
      "services:\n- name: a\n  port: 1\n  presence: [{pattern: 'x:*'}, {pattern: y}]\n"
      "  presence_info_bytes: 100\n- name: b\n  port: 2\n");
  ASSERT_THAT(loaded.errors, IsEmpty());
  v1::WorkerConfig worker;
  BuildWorkerConfig(*loaded.config, &worker);
  EXPECT_THAT(worker.services(0).presence(), ElementsAre("x:*", "y"));
  EXPECT_EQ(worker.services(0).limits().presence_info_bytes(), 100u);
  EXPECT_EQ(worker.services(0).limits().presence_max_members(), 70u);
  EXPECT_THAT(worker.services(1).presence(), IsEmpty());
  EXPECT_EQ(worker.services(1).limits().presence_info_bytes(), 2048u);
}

TEST(WorkerConfigTest, AServiceIsRecoverableUnlessNoChannelCanHaveHistory) {
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

}  // namespace
}  // namespace fanwire::control
