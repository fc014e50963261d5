#include "control/admin/control_metrics.h"

#include <map>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "control/admin/tail.h"
#include "control/requests/presence.h"
#include "control/requests/presence_store.h"
#include "control/requests/request_dispatcher.h"
#include "control/requests/status_requests.h"
#include "fanwire/v1/publish.pb.h"
#include "fanwire/v1/worker.pb.h"
#include "proto/policies.h"
#include "tests/control/admin/admin_fixture.h"
#include "tests/fakes/fake_responder.h"

namespace fanwire::control {

namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Key;
using ::testing::Not;
using ::testing::Pair;

// Samples by "name{label=value,…}", and the type of each name.
class FakeSink final : public MetricSink {
 public:
  void Counter(absl::string_view name, absl::string_view help, double value,
               MetricLabels labels) override {
    Add(name, help, value, labels, "counter");
  }
  void Gauge(absl::string_view name, absl::string_view help, double value,
             MetricLabels labels) override {
    Add(name, help, value, labels, "gauge");
  }
  void Distribution(absl::string_view name, absl::string_view help,
                    const Histogram::Snapshot& value, MetricLabels labels) override {
    uint64_t count = 0;
    for (const uint64_t one : value.counts) count += one;
    Add(name, help, static_cast<double>(count), labels, "distribution");
  }

  std::map<std::string, double> samples;
  std::map<std::string, std::string> types;

 private:
  void Add(absl::string_view name, absl::string_view help, double value, const MetricLabels& labels,
           const char* type) {
    std::string key(name);
    for (const auto& [label, of] : labels) absl::StrAppend(&key, " ", label, "=", of);
    EXPECT_TRUE(samples.emplace(key, value).second) << key << " twice";
    EXPECT_FALSE(help.empty()) << key;
    EXPECT_EQ(types.emplace(std::string(name), type).first->second, type) << key;
  }
};

class ControlMetricsTest : public AdminFixture {
 protected:
  FakeSink Collect(const Engine* engine = nullptr) {
    FakeSink sink;
    CollectControl({.queries = routing_->queries.get(),
                    .registry = &registry_,
                    .ledger = &ledger_,
                    .engine = engine == nullptr ? engine_.get() : engine,
                    .tail = &tail_,
                    .retained = &retained_,
                    .dispatcher = &dispatcher_,
                    .presence = &presence_,
                    .services = [this] { return services_; }},
                   sink);
    return sink;
  }

  TailHub tail_{&clock_, &timers_};
  StatusRequests retained_{*config_};
  Presence presence_{PresenceStore::MakeInMemory(), routing_->router.get(), &clock_, services_,
                     absl::Seconds(10)};
  RequestDispatcher dispatcher_{*config_, &retained_, &clock_, &timers_, [](uint64_t, auto) {}};
};

TEST_F(ControlMetricsTest, MembersOfChannelsAreCounted) {
  v1::PresenceUpdate update;
  update.set_snapshot_first(true);
  for (const char* const id : {"c1", "c2", "c3"}) {
    v1::PresenceChange* const change = update.add_changes();
    change->set_service("akosha");
    change->set_channel("x");
    change->set_connection_id(id);
    if (id[1] != '3') change->set_user_id("ana");
  }
  presence_.OnPresence({.worker_id = "worker-0", .incarnation = 1}, 1, update);
  const auto samples = Collect().samples;
  EXPECT_EQ(samples.at("fanwire_control_presence_members service=akosha"), 2);
  EXPECT_EQ(samples.at("fanwire_control_presence_connections service=akosha"), 3);
  EXPECT_EQ(samples.at("fanwire_control_presence_channels service=akosha"), 1);
  // Of services that track none there is nothing to see.
  EXPECT_FALSE(samples.contains("fanwire_control_presence_members service=mahavishnu"));
}

TEST_F(ControlMetricsTest, RequestsThatAServiceAnswersAreCounted) {
  v1::ResponderHello hello;
  hello.set_service("mahavishnu");
  hello.set_max_concurrent(2);
  hello.add_requests("get_x");
  const auto responder = std::make_shared<FakeResponder>();
  const auto number = dispatcher_.Join(hello, responder);
  ASSERT_OK(number);
  v1::ClientRequest request;
  request.set_service("mahavishnu");
  request.set_request("get_x");
  for (int i = 0; i < 4; ++i) {
    request.set_request_id(static_cast<uint64_t>(i));
    dispatcher_.Handle(1, request, [](auto) {});
  }
  const uint64_t id = responder->Take();
  dispatcher_.OnAnswer(*number, id, {.json = "{}"});
  dispatcher_.OnAnswer(*number, id, {.json = "{}"});
  const auto of = [samples = Collect().samples](const std::string& name,
                                                const std::string& service = "mahavishnu") {
    return samples.at(absl::StrCat("fanwire_control_", name, " service=", service));
  };
  EXPECT_EQ(of("responders"), 1);
  EXPECT_EQ(of("responders", "akosha"), 0);
  EXPECT_EQ(of("served_open"), 3);
  EXPECT_EQ(of("served_waiting"), 1);
  EXPECT_EQ(of("served_duration_seconds"), 1);
  EXPECT_EQ(of("served_ignored_answers_total"), 1);
  EXPECT_EQ(of("served_given_again_total"), 0);
  EXPECT_THAT(Collect().samples,
              Contains(Pair(
                  "fanwire_control_served_requests_total service=mahavishnu result=answered", 1)));
  EXPECT_THAT(
      Collect().samples,
      Contains(Pair("fanwire_control_served_requests_total service=mahavishnu result=late", 0)));
}

TEST_F(ControlMetricsTest, WhatEachServicePublishedIsCounted) {
  ASSERT_OK(Publish("mahavishnu", "workflow:1", "workflow.started"));  // with a mirror
  ASSERT_OK(Publish("mahavishnu", "pool:1", "pool.status"));
  ASSERT_FALSE(Publish("mahavishnu", "pool:*").ok());
  const FakeSink sink = Collect();
  EXPECT_THAT(sink.samples,
              Contains(Pair("fanwire_control_publications_total service=mahavishnu", 2)));
  EXPECT_THAT(sink.samples, Contains(Pair("fanwire_control_mirrors_total service=mahavishnu", 1)));
  EXPECT_THAT(sink.samples,
              Contains(Pair("fanwire_control_refused_total service=mahavishnu reason=invalid", 1)));
  EXPECT_THAT(sink.samples,
              Contains(Pair("fanwire_control_idempotency_evicted_total service=mahavishnu", 0)));
  EXPECT_THAT(sink.samples, Contains(Pair("fanwire_control_channels service=mahavishnu", 3)));
  EXPECT_THAT(sink.samples,
              Contains(Pair("fanwire_control_publish_duration_seconds service=mahavishnu", 2)));
  EXPECT_THAT(sink.samples, Contains(Pair("fanwire_control_publications_total service=akosha", 0)));
  EXPECT_GT(sink.samples.at("fanwire_control_history_bytes"), 0);
  EXPECT_EQ(sink.samples.at("fanwire_control_engine_healthy"), 1);
}

TEST_F(ControlMetricsTest, TheEngineIsToldWithWhatWaitsForIt) {
  DescribedEngine engine;
  engine.kind = "disk";
  engine.described = {.path = "/var/lib/fanwire",
                      .history_bytes = 1,
                      .max_history_bytes = 2,
                      .disk_bytes = 3,
                      .waiting_publications = 4,
                      .lag = absl::Milliseconds(250)};
  const auto samples = Collect(&engine).samples;
  EXPECT_EQ(samples.at("fanwire_control_engine_info engine=disk"), 1);
  EXPECT_EQ(samples.at("fanwire_control_engine_healthy"), 1);
  EXPECT_EQ(samples.at("fanwire_control_history_bytes"), 1);
  EXPECT_EQ(samples.at("fanwire_control_history_max_bytes"), 2);
  EXPECT_EQ(samples.at("fanwire_control_engine_disk_bytes"), 3);
  EXPECT_EQ(samples.at("fanwire_control_engine_waiting_publications"), 4);
  EXPECT_EQ(samples.at("fanwire_control_engine_lag_seconds"), 0.25);
  engine.health = absl::UnavailableError("no space left");
  EXPECT_EQ(Collect(&engine).samples.at("fanwire_control_engine_healthy"), 0);
}

TEST_F(ControlMetricsTest, RefusalsAreCountedByReasonAlsoWithoutAService) {
  ASSERT_FALSE(Publish("mahavishnu", "pool:*").ok());
  ASSERT_FALSE(Publish("nobody", "pool:1").ok());
  ASSERT_FALSE(Publish("noone", "pool:1").ok());
  std::map<std::string, double> refused;
  for (const auto& [name, value] : Collect().samples) {
    if (absl::StartsWith(name, "fanwire_control_refused_total") && value > 0) refused[name] = value;
  }
  EXPECT_THAT(
      refused,
      ElementsAre(Pair("fanwire_control_refused_total service=mahavishnu reason=invalid", 1),
                  Pair("fanwire_control_refused_total service=unknown reason=unknown_service", 2)));
  // Every series is there from the beginning: what only appears with its first count looks to
  // Prometheus as if nothing had happened.
  EXPECT_THAT(Collect().samples,
              Contains(Pair("fanwire_control_refused_total service=akosha reason=conflict", 0)));
}

TEST_F(ControlMetricsTest, AServiceMayHaveTheNameOfWhatHasNone) {
  const LoadedConfig loaded =
      LoadConfig("services:\n- name: unknown\n  port: 8690\n", "fanwire.yaml", {});
  ASSERT_TRUE(loaded.ok()) << ::testing::PrintToString(loaded.errors);
  services_ = ServiceTable::Make(*loaded.config);
  routing_ =
      std::make_unique<Routing>(Router::Options(), engine_.get(), &clock_, &timers_, services_);
  ASSERT_FALSE(Publish("unknown", "pool:*").ok());
  ASSERT_FALSE(Publish("nobody", "pool:1").ok());
  const FakeSink sink = Collect();
  EXPECT_EQ(sink.samples.at("fanwire_control_refused_total service=unknown reason=invalid"), 1);
  EXPECT_EQ(sink.samples.at("fanwire_control_refused_total service=unknown reason=unknown_service"),
            1);
}

TEST_F(ControlMetricsTest, TheLedgerIsToldWithEveryReasonAndItsDifference) {
  v1::Heartbeat heartbeat;
  v1::ServiceLoad* const load = heartbeat.add_services();
  load->set_service("akosha");
  load->set_sessions(3);
  load->set_matched(100);
  load->set_written(60);
  load->set_queued(4);
  load->set_lost_connection(5);
  load->set_expired(6);
  load->set_recovered(7);
  v1::DropCount* const dropped = load->add_dropped();
  dropped->set_reason(v1::DROP_REASON_SLOW_CLOSED);
  dropped->set_count(20);
  ledger_.Update("worker-0", 1, heartbeat);
  const FakeSink sink = Collect();
  const auto of = [&sink](const std::string& name) {
    return sink.samples.at(absl::StrCat(name, " service=akosha"));
  };
  EXPECT_EQ(of("fanwire_control_sessions"), 3);
  EXPECT_EQ(of("fanwire_control_peak_sessions"), 3);
  EXPECT_EQ(of("fanwire_ledger_matched_total"), 100);
  EXPECT_EQ(of("fanwire_ledger_written_total"), 60);
  EXPECT_EQ(of("fanwire_ledger_lost_connection_total"), 5);
  EXPECT_EQ(of("fanwire_ledger_expired_total"), 6);
  EXPECT_EQ(of("fanwire_ledger_queued"), 4);
  EXPECT_EQ(of("fanwire_ledger_recovered_total"), 7);
  EXPECT_EQ(of("fanwire_ledger_difference"), 5);
  double drops = 0;
  int reasons = 0;
  for (const auto& [key, value] : sink.samples) {
    if (key.rfind("fanwire_ledger_dropped_total service=akosha reason=", 0) != 0) continue;
    drops += value;
    ++reasons;
  }
  EXPECT_EQ(drops, 20);
  EXPECT_EQ(reasons, static_cast<int>(kDropReasons) - 1);
}

TEST_F(ControlMetricsTest, EachWorkerIsToldAndWhetherItIsReady) {
  FakeWorkerRegistry::Worker ready = MakeWorker("worker-0"), behind = MakeWorker("worker-1");
  ready.info.set_state(v1::WORKER_STATE_READY);
  ready.info.set_sessions(12);
  behind.info.set_state(v1::WORKER_STATE_CATCHING_UP);
  behind.info.set_queue_publications(7);
  behind.info.set_queue_bytes(700);
  behind.info.set_in_flight_bytes(70);
  behind.info.set_repairs(2);
  behind.info.set_dropped(9);
  registry_.Add(ready);
  registry_.Add(behind);
  const FakeSink sink = Collect();
  EXPECT_EQ(sink.samples.at("fanwire_control_workers_attached"), 2);
  EXPECT_EQ(sink.samples.at("fanwire_control_workers_serving"), 1);
  EXPECT_EQ(sink.samples.at("fanwire_control_worker_ready worker=worker-0"), 1);
  EXPECT_EQ(sink.samples.at("fanwire_control_worker_sessions worker=worker-0"), 12);
  EXPECT_EQ(sink.samples.at("fanwire_control_worker_ready worker=worker-1"), 0);
  EXPECT_EQ(sink.samples.at("fanwire_control_worker_queue_publications worker=worker-1"), 7);
  EXPECT_EQ(sink.samples.at("fanwire_control_worker_queue_bytes worker=worker-1"), 700);
  EXPECT_EQ(sink.samples.at("fanwire_control_worker_in_flight_bytes worker=worker-1"), 70);
  EXPECT_EQ(sink.samples.at("fanwire_control_worker_repairs_total worker=worker-1"), 2);
  EXPECT_EQ(sink.samples.at("fanwire_control_worker_dropped_total worker=worker-1"), 9);
}

TEST_F(ControlMetricsTest, CountersAreNamedSoAndNothingElseIs) {
  for (const auto& [name, type] : Collect().types) {
    const bool total = absl::EndsWith(name, "_total");
    const bool durations = absl::EndsWith(name, "_duration_seconds");
    EXPECT_EQ(type, total ? "counter" : durations ? "distribution" : "gauge") << name;
  }
}

TEST_F(ControlMetricsTest, AServiceThatAReloadRemovedIsNotToldAnyMore) {
  const LoadedConfig other = LoadConfig("services: [{name: t, port: 1}]", "t.yaml", {});
  services_ = ServiceTable::Make(*other.config);
  const FakeSink sink = Collect();
  EXPECT_THAT(sink.samples, Contains(Key("fanwire_control_channels service=t")));
  EXPECT_THAT(sink.samples, Not(Contains(Key("fanwire_control_channels service=akosha"))));
}

}  // namespace
}  // namespace fanwire::control
