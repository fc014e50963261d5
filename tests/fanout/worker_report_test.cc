// A worker's heartbeat and metrics.
#include "fanout/worker_report.h"

#include <map>
#include <memory>
#include <string>

#include "fanwire/v1/worker.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/policies.h"

namespace fanwire::fanout {

namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

ServiceSnapshot Busy() {
  ServiceSnapshot service;
  service.name = "akosha";
  service.server_name = "akosha-server";
  service.sessions = 3;
  service.channels = 5;
  service.kinds["workflow"].broadcasts = 6;
  service.kinds["other"].broadcasts = 1;
  Histogram fast(kFanoutBounds), slow(kFanoutBounds);
  for (const double seconds : {0.00003, 0.0007, 0.003}) fast.Observe(seconds);
  for (const double seconds : {0.0002, 7.0}) slow.Observe(seconds);
  service.kinds["workflow"].fanout = fast.snapshot();
  service.kinds["other"].fanout = slow.snapshot();
  Histogram events(kLatencyBounds), requests(kLatencyBounds);
  events.Observe(0.004);
  requests.Observe(7);
  service.event_latency = events.snapshot();
  service.request_latency = requests.snapshot();
  ServiceCounts& counts = service.counts;
  counts.matched = 100;
  counts.written = 70;
  counts.dropped[static_cast<size_t>(DropReason::kDropOldest)] = 4;
  counts.dropped[static_cast<size_t>(DropReason::kConflated)] = 5;
  counts.dropped[static_cast<size_t>(DropReason::kSlowClosed)] = 6;
  counts.lost_connection = 7;
  counts.expired = 3;
  counts.queued = 5;
  counts.recovered = 11;
  counts.publications = 40;
  counts.sessions_opened = 20;
  counts.sessions_closed = 17;
  counts.peak_sessions = 9;
  counts.subscriptions = 12;
  counts.slow_sessions = 2;
  counts.backlog_bytes = 4096;
  counts.messages_received = 33;
  counts.replies = 44;
  counts.Count(CountedError::kDecodeError);
  counts.Count(CountedError::kOriginRefused);
  counts.Count(CountedError::kAuthFailed);
  counts.Count(CountedError::kAuthFailed);
  for (const uint16_t code : {1000, 1000, 4000, 3777}) counts.CountDisconnect(code);
  service.connections.rejected_requests = 2;
  service.connections.handshake_timeouts = 1;
  service.connections.lost = 8;
  service.connections.bytes_received = 999;
  return service;
}

std::string Metrics(const WorkerSnapshot& snapshot) {
  MetricsRegistry registry;
  registry.Add([&](MetricSink& sink) { CollectWorker(snapshot, sink); });
  return registry.Text();
}

TEST(WorkerReportTest, AHeartbeatCarriesEveryCountOfAService) {
  WorkerSnapshot snapshot;
  snapshot.services.push_back(Busy());
  v1::Heartbeat heartbeat;
  FillLoads(snapshot, &heartbeat);
  ASSERT_EQ(heartbeat.services_size(), 1);
  const v1::ServiceLoad& load = heartbeat.services(0);
  EXPECT_EQ(load.service(), "akosha");
  EXPECT_EQ(load.sessions(), 3);
  EXPECT_EQ(load.subscriptions(), 12);
  EXPECT_EQ(load.slow_sessions(), 2);
  EXPECT_EQ(load.backlog_bytes(), 4096);
  EXPECT_EQ(load.matched(), 100);
  EXPECT_EQ(load.written(), 70);
  EXPECT_EQ(load.lost_connection(), 7);
  EXPECT_EQ(load.expired(), 3);
  EXPECT_EQ(load.queued(), 5);
  EXPECT_EQ(load.recovered(), 11);
  EXPECT_EQ(load.sessions_opened(), 20);
  EXPECT_EQ(load.sessions_closed(), 17);
  EXPECT_EQ(load.peak_sessions(), 9);
  EXPECT_EQ(load.messages_received(), 33);
  EXPECT_EQ(load.messages_sent(), 44);
}

TEST(WorkerReportTest, TheLedgerOfAHeartbeatAddsUp) {
  WorkerSnapshot snapshot;
  snapshot.services.push_back(Busy());
  v1::Heartbeat heartbeat;
  FillLoads(snapshot, &heartbeat);
  const v1::ServiceLoad& load = heartbeat.services(0);
  std::map<int, int64_t> dropped;
  int64_t sum = load.written() + load.lost_connection() + load.expired() + load.queued();
  for (const v1::DropCount& one : load.dropped()) {
    dropped[one.reason()] = one.count();
    sum += one.count();
  }
  EXPECT_EQ(dropped, (std::map<int, int64_t>{{v1::DROP_REASON_DROP_OLDEST, 4},
                                             {v1::DROP_REASON_CONFLATED, 5},
                                             {v1::DROP_REASON_SLOW_CLOSED, 6}}));
  EXPECT_EQ(sum, load.matched());
}

TEST(WorkerReportTest, ErrorsAreToldByNameAndOnlyIfThereWereAny) {
  WorkerSnapshot snapshot;
  snapshot.services.push_back(Busy());
  v1::Heartbeat heartbeat;
  FillLoads(snapshot, &heartbeat);
  const std::map<std::string, int64_t> errors(heartbeat.services(0).errors().begin(),
                                              heartbeat.services(0).errors().end());
  EXPECT_EQ(errors,
            (std::map<std::string, int64_t>{{"auth_failed", 2},
                                            {"decode_error", 1},
                                            {"handshake_failed", 2},  // refused, and never asked
                                            {"origin_refused", 1},
                                            {"send_failed", 8}}));
}

TEST(WorkerReportTest, TheLimitsOfTheProcessAreTold) {
  WorkerSnapshot snapshot;
  snapshot.file_limit = 300;
  snapshot.max_connections = 44;
  v1::Heartbeat heartbeat;
  FillLoads(snapshot, &heartbeat);
  EXPECT_EQ(heartbeat.file_limit(), 300u);
  EXPECT_EQ(heartbeat.max_connections(), 44u);
  MetricsRegistry metrics;
  metrics.Add([&](MetricSink& sink) { CollectWorker(snapshot, sink); });
  const std::string text = metrics.Text();
  EXPECT_THAT(text, HasSubstr("\nfanwire_worker_file_limit 300\n"));
  EXPECT_THAT(text, HasSubstr("\nfanwire_worker_max_connections 44\n"));
}

TEST(WorkerReportTest, AServiceWithNothingIsTold) {
  WorkerSnapshot snapshot;
  snapshot.services.emplace_back().name = "quiet";
  v1::Heartbeat heartbeat;
  FillLoads(snapshot, &heartbeat);
  ASSERT_EQ(heartbeat.services_size(), 1);
  EXPECT_EQ(heartbeat.services(0).service(), "quiet");
  EXPECT_EQ(heartbeat.services(0).dropped_size(), 0);
  EXPECT_THAT(heartbeat.services(0).errors(), IsEmpty());
}

TEST(WorkerReportTest, MetricsOfTheWorkerNeedNoService) {
  WorkerSnapshot snapshot;
  snapshot.attached = true;
  snapshot.attachments = 3;
  snapshot.connections = 17;
  snapshot.loop_lag = absl::Milliseconds(250);
  snapshot.listeners.accepted = 21;
  snapshot.listeners.refused_cap = 2;
  snapshot.listeners.refused_descriptors = 3;
  const std::string text = Metrics(snapshot);
  for (const char* line :
       {"fanwire_worker_link_connected 1\n", "fanwire_worker_ready 0\n",
        "fanwire_worker_attachments_total 3\n", "fanwire_worker_connections 17\n",
        "fanwire_worker_loop_lag_seconds 0.25\n", "fanwire_worker_accepts_total 21\n",
        "fanwire_worker_accepts_refused_total 5\n"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
  EXPECT_THAT(text, Not(HasSubstr("fanwire_worker_sessions{")));
}

TEST(WorkerReportTest, MetricsTellOfEachServiceByItsName) {
  WorkerSnapshot snapshot;
  snapshot.services.push_back(Busy());
  snapshot.services.push_back(Busy());
  snapshot.services[1].name = "other";
  snapshot.services[1].server_name = "other-server";
  snapshot.services[1].counts.written = 1;
  const std::string text = Metrics(snapshot);
  for (const char* line :
       {"fanwire_worker_sessions{service=\"akosha\"} 3\n",
        "fanwire_worker_deliveries_total{service=\"akosha\"} 70\n",
        "fanwire_worker_deliveries_total{service=\"other\"} 1\n",
        "fanwire_worker_matched_total{service=\"akosha\"} 100\n",
        "fanwire_worker_dropped_total{service=\"akosha\",reason=\"slow_closed\"} 6\n",
        "fanwire_worker_dropped_total{service=\"akosha\",reason=\"closing\"} 0\n",
        "fanwire_worker_lost_connection_total{service=\"akosha\"} 7\n",
        "fanwire_worker_disconnects_total{service=\"akosha\",code=\"1000\"} 2\n",
        "fanwire_worker_disconnects_total{service=\"akosha\",code=\"1006\"} 0\n",
        "fanwire_worker_disconnects_total{service=\"akosha\",code=\"4000\"} 1\n",
        "fanwire_worker_disconnects_total{service=\"akosha\",code=\"other\"} 1\n",
        "fanwire_worker_fanout_duration_seconds_bucket{service=\"akosha\",le=\"5e-05\"} 1\n",
        "fanwire_worker_fanout_duration_seconds_bucket{service=\"akosha\",le=\"0.001\"} 3\n",
        "fanwire_worker_fanout_duration_seconds_bucket{service=\"akosha\",le=\"+Inf\"} 5\n",
        "fanwire_worker_fanout_duration_seconds_count{service=\"akosha\"} 5\n",
        "fanwire_worker_received_bytes_total{service=\"akosha\"} 999\n"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST(WorkerReportTest, ExistingDashboardsFindTheirNames) {
  WorkerSnapshot snapshot;
  snapshot.ready = true;
  snapshot.services.push_back(Busy());
  const std::string text = Metrics(snapshot);
  for (const char* line :
       {"websocket_connections_total{server=\"akosha-server\",tls_mode=\"ws\"} 20\n",
        "websocket_connections_active{server=\"akosha-server\"} 3\n",
        "websocket_connections{server=\"akosha-server\"} 3\n",
        "websocket_subscriptions{server=\"akosha-server\"} 12\n",
        "websocket_health{server=\"akosha-server\"} 1\n",
        "websocket_messages_total{server=\"akosha-server\",message_type=\"event\","
        "direction=\"sent\"} 81\n",
        "websocket_messages_total{server=\"akosha-server\",message_type=\"response\","
        "direction=\"sent\"} 44\n",
        "websocket_broadcast_total{server=\"akosha-server\",channel=\"workflow\"} 6\n",
        "websocket_broadcast_duration_seconds_bucket{server=\"akosha-server\",channel=\"workflow\","
        "le=\"0.001\"} 2\n",
        "websocket_broadcast_duration_seconds_bucket{server=\"akosha-server\",channel=\"workflow\","
        "le=\"0.005\"} 3\n",
        "websocket_broadcast_duration_seconds_bucket{server=\"akosha-server\",channel=\"other\","
        "le=\"5\"} 1\n",
        "websocket_broadcast_duration_seconds_count{server=\"akosha-server\",channel=\"other\"} "
        "2\n",
        "websocket_latency_seconds_bucket{server=\"akosha-server\",message_type=\"event\","
        "le=\"0.005\"} 1\n",
        "websocket_latency_seconds_bucket{server=\"akosha-server\",message_type=\"request\","
        "le=\"10\"} 1\n",
        "websocket_latency_seconds_sum{server=\"akosha-server\",message_type=\"request\"} 7\n",
        "websocket_message_errors_total{server=\"akosha-server\",error_type=\"decode_error\"} 1\n",
        "websocket_connection_errors_total{server=\"akosha-server\",error_type=\"auth_failed\"} "
        "2\n",
        "websocket_errors_total{server=\"akosha-server\",error_type=\"send_failed\"} 8\n"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST(WorkerReportTest, ADeliveryReportCarriesEveryCountAndOnlyReasonsThatOccurred) {
  Track track;
  track.publication_id = 9;
  track.matched = 20;
  track.written = 10;
  track.dropped[static_cast<size_t>(DropReason::kConflated)] = 4;
  track.lost_connection = 3;
  track.expired = 2;
  track.first_written_us = 100;
  track.last_written_us = 200;
  v1::DeliveryReport report;
  FillDeliveryReport(track, /*final=*/true, &report);
  EXPECT_EQ(report.publication_id(), 9u);
  EXPECT_EQ(report.matched(), 20);
  EXPECT_EQ(report.written(), 10);
  ASSERT_EQ(report.dropped_size(), 1);
  EXPECT_EQ(report.dropped(0).reason(), v1::DROP_REASON_CONFLATED);
  EXPECT_EQ(report.dropped(0).count(), 4);
  EXPECT_EQ(report.lost_connection(), 3);
  EXPECT_EQ(report.expired(), 2);
  EXPECT_EQ(report.first_written_us(), 100);
  EXPECT_EQ(report.last_written_us(), 200);
  EXPECT_TRUE(report.final());
}

TEST(WorkerReportTest, ASnapshotOfAServiceIsWhatItCountsNow) {
  auto settings = std::make_shared<ServiceSettings>(v1::WorkerService());
  settings->name = "akosha";
  settings->server_name = "akosha-server";
  settings->channel_kinds = {"workflow"};
  Service service(settings);
  service.counts().written = 7;
  service.latencies().events.Observe(0.004);
  const ChannelRef channel(service.FindOrMakeChannel(Dialect::kCommon, "workflow:1"));
  channel->kind->broadcasts = 6;
  ConnectionCounters connections;
  connections.lost = 8;
  const ServiceSnapshot snapshot = SnapshotOf(service, connections);
  EXPECT_EQ(snapshot.name, "akosha");
  EXPECT_EQ(snapshot.server_name, "akosha-server");
  EXPECT_EQ(snapshot.counts.written, 7);
  EXPECT_EQ(snapshot.connections.lost, 8u);
  EXPECT_EQ(snapshot.sessions, 0);
  EXPECT_EQ(snapshot.channels, 1);
  EXPECT_EQ(snapshot.kinds.at("workflow").broadcasts, 6);
  EXPECT_DOUBLE_EQ(snapshot.event_latency.sum, 0.004);
}

}  // namespace
}  // namespace fanwire::fanout
