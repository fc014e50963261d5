#include "control/config/config_difference.h"

#include "fanwire/v1/config.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/control/config/config_fixture.h"

namespace fanwire::control {

namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

TEST(ConfigDifferenceTest, DifferencesAreNamedByTheirPaths) {
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

TEST(ConfigDifferenceTest, WhatTheRunningPartsTookAtTheirStartNeedsARestart) {
  for (const char* path : {"engine.kind",
                           "engine.path",
                           "engine.sync",
                           "engine.cache_bytes",
                           "engine.max_waiting_publications",
                           "engine.max_waiting_bytes",
                           "engine.max_history_bytes",
                           "engine.channel_idle_ttl",
                           "control.grpc_listen",
                           "control.socket",
                           "control.ops_listen",
                           "control.allow_insecure",
                           "control.worker_queue_bytes",
                           "control.worker_queue_publications",
                           "control.worker_window_bytes",
                           "control.worker_window_publications",
                           "control.adopt_window",
                           "control.heartbeat_interval",
                           "worker.ops_listen",
                           "control.idempotency_window",
                           "control.idempotency_max_keys",
                           "control.max_receipt_wait"}) {
    EXPECT_TRUE(NeedsRestart(path)) << path;
  }
  for (const char* path : {"limits.max_batch", "services[a].max_connections", "log.level",
                           "workers", "control.shutdown_timeout", "worker.drain_window"}) {
    EXPECT_FALSE(NeedsRestart(path)) << path;
  }
}

TEST(ConfigDifferenceTest, EveryKeyThatNeedsARestartIsInASingleSection) {
  int found = 0;
  for (const KeyPlace& key : AllKeys()) {
    if (!NeedsRestart(key.path)) continue;
    EXPECT_THAT(key.path, Not(HasSubstr("[")));
    EXPECT_THAT(key.path, HasSubstr("."));
    ++found;
  }
  EXPECT_GT(found, 10);
}

TEST(ConfigDifferenceTest, WhatNeedsARestartIsKeptAndTheRestChanges) {
  const v1::Config before = Good("");
  v1::Config after = Good(R"(
engine: {max_history_bytes: 1MiB}
control: {heartbeat_interval: 2s, allow_insecure: true, shutdown_timeout: 1s}
worker: {ops_listen: "127.0.0.1:1", accept_rate: 7}
limits: {max_batch: 5}
)");
  EXPECT_THAT(KeepWhatNeedsRestart(before, &after),
              UnorderedElementsAre("engine.max_history_bytes", "control.heartbeat_interval",
                                   "control.allow_insecure", "worker.ops_listen"));
  EXPECT_THAT(
      ConfigDifference(before, after),
      UnorderedElementsAre("control.shutdown_timeout", "worker.accept_rate", "limits.max_batch"));
  EXPECT_EQ(after.engine().max_history_bytes(), 1u << 30);
  EXPECT_EQ(after.worker().ops_listen(), "127.0.0.1:8710");
  EXPECT_THAT(KeepWhatNeedsRestart(before, &after), IsEmpty());
}

}  // namespace
}  // namespace fanwire::control
