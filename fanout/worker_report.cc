#include "fanout/worker_report.h"

#include <iterator>

#include "fanwire/v1/worker.pb.h"
#include "proto/policies.h"

namespace fanwire::fanout {

namespace {

// Errors that existing dashboards count as errors of messages; all others are of connections.
bool IsMessageError(CountedError error) {
  return error == CountedError::kDecodeError || error == CountedError::kRateLimited ||
         error == CountedError::kSendFailed;
}

std::array<int64_t, kCountedErrors> ErrorsOf(const ServiceSnapshot& service) {
  std::array<int64_t, kCountedErrors> errors = service.counts.errors;
  // A handshake that is refused for its origin counts by that name alone.
  errors[static_cast<size_t>(CountedError::kHandshakeFailed)] =
      static_cast<int64_t>(service.connections.rejected_requests +
                           service.connections.handshake_timeouts) -
      errors[static_cast<size_t>(CountedError::kOriginRefused)];
  errors[static_cast<size_t>(CountedError::kSendFailed)] =
      static_cast<int64_t>(service.connections.lost);
  return errors;
}

// The same distribution with fewer bounds, all of them among its own.
Histogram::Snapshot WithBounds(const Histogram::Snapshot& from, absl::Span<const double> bounds) {
  Histogram::Snapshot to{.bounds = {bounds.begin(), bounds.end()},
                         .counts = std::vector<uint64_t>(bounds.size() + 1),
                         .sum = from.sum};
  size_t at = 0;
  for (size_t i = 0; i < from.counts.size(); ++i) {
    while (at < bounds.size() && (i == from.bounds.size() || from.bounds[i] > bounds[at])) ++at;
    to.counts[at] += from.counts[i];
  }
  return to;
}

// Of two with the same bounds.
void AddTo(Histogram::Snapshot* sum, const Histogram::Snapshot& more) {
  for (size_t i = 0; i < more.counts.size(); ++i) sum->counts[i] += more.counts[i];
  sum->sum += more.sum;
}

}  // namespace

ServiceSnapshot SnapshotOf(const Service& service, const ConnectionCounters& connections) {
  ServiceSnapshot snapshot;
  snapshot.name = service.name();
  snapshot.server_name = service.settings().server_name;
  snapshot.counts = service.counts();
  snapshot.connections = connections;
  snapshot.sessions = static_cast<int64_t>(service.sessions().size());
  for (size_t d = 0; d < kDialects; ++d) {
    snapshot.channels += static_cast<int64_t>(service.channels(static_cast<Dialect>(d)).size());
  }
  for (const auto& [kind, counts] : service.kinds()) {
    snapshot.kinds[kind] = {.broadcasts = counts.broadcasts, .fanout = counts.fanout.snapshot()};
  }
  snapshot.event_latency = service.latencies().events.snapshot();
  snapshot.request_latency = service.latencies().requests.snapshot();
  return snapshot;
}

void FillDeliveryReport(const Track& track, bool final, v1::DeliveryReport* report) {
  report->set_publication_id(track.publication_id);
  report->set_matched(track.matched);
  report->set_written(track.written);
  for (size_t i = 1; i < kDropReasons; ++i) {
    if (track.dropped[i] == 0) continue;
    v1::DropCount* const dropped = report->add_dropped();
    dropped->set_reason(static_cast<v1::DropReason>(i));
    dropped->set_count(track.dropped[i]);
  }
  report->set_lost_connection(track.lost_connection);
  report->set_expired(track.expired);
  report->set_first_written_us(track.first_written_us);
  report->set_last_written_us(track.last_written_us);
  report->set_final(final);
}

void FillLoads(const WorkerSnapshot& snapshot, v1::Heartbeat* heartbeat) {
  heartbeat->set_file_limit(snapshot.file_limit);
  heartbeat->set_max_connections(snapshot.max_connections);
  for (const ServiceSnapshot& service : snapshot.services) {
    const ServiceCounts& counts = service.counts;
    v1::ServiceLoad* const load = heartbeat->add_services();
    load->set_service(service.name);
    load->set_sessions(service.sessions);
    load->set_subscriptions(counts.subscriptions);
    load->set_slow_sessions(counts.slow_sessions);
    load->set_backlog_bytes(counts.backlog_bytes);
    load->set_matched(counts.matched);
    load->set_written(counts.written);
    for (size_t i = 1; i < kDropReasons; ++i) {
      if (counts.dropped[i] == 0) continue;
      v1::DropCount* const dropped = load->add_dropped();
      dropped->set_reason(static_cast<v1::DropReason>(i));
      dropped->set_count(counts.dropped[i]);
    }
    load->set_lost_connection(counts.lost_connection);
    load->set_expired(counts.expired);
    load->set_queued(counts.queued);
    load->set_recovered(counts.recovered);
    load->set_sessions_opened(counts.sessions_opened);
    load->set_sessions_closed(counts.sessions_closed);
    load->set_messages_received(counts.messages_received);
    load->set_messages_sent(counts.replies);
    load->set_peak_sessions(counts.peak_sessions);
    const auto errors = ErrorsOf(service);
    for (size_t i = 0; i < kCountedErrors; ++i) {
      if (errors[i] > 0) (*load->mutable_errors())[kCountedErrorNames[i]] = errors[i];
    }
  }
}

void CollectWorker(const WorkerSnapshot& snapshot, MetricSink& sink) {
  const auto number = [](auto value) { return static_cast<double>(value); };
  sink.Gauge("fanwire_worker_link_connected", "Whether control is attached.",
             snapshot.attached ? 1 : 0);
  sink.Gauge("fanwire_worker_ready", "Whether clients are served.", snapshot.ready ? 1 : 0);
  sink.Counter("fanwire_worker_attachments_total", "Attachments to control.",
               number(snapshot.attachments));
  sink.Gauge("fanwire_worker_connections", "Open connections in any state.",
             number(snapshot.connections));
  sink.Gauge("fanwire_worker_asks_open", "Subscribes and requests without control's answer.",
             number(snapshot.asks));
  sink.Gauge("fanwire_worker_fanout_pending_bytes", "Bytes of fan-outs under way.",
             number(snapshot.pending_bytes));
  sink.Gauge("fanwire_worker_loop_lag_seconds",
             "Longest delay of the event loop in the last second.",
             absl::ToDoubleSeconds(snapshot.loop_lag));
  sink.Gauge("fanwire_worker_config_version", "Version of the configuration in force.",
             number(snapshot.config_version));
  sink.Counter("fanwire_worker_accepts_total", "Connections accepted.",
               number(snapshot.listeners.accepted));
  sink.Gauge("fanwire_worker_file_limit", "Files that the process may open.",
             number(snapshot.file_limit));
  sink.Gauge("fanwire_worker_max_connections",
             "Connections that the process can hold within its limit of open files.",
             number(snapshot.max_connections));
  sink.Counter("fanwire_worker_accepts_refused_total",
               "Connections refused with 503: over fanwire_worker_max_connections, or out of "
               "descriptors.",
               number(snapshot.listeners.refused_cap + snapshot.listeners.refused_descriptors));
  sink.Counter("fanwire_worker_accepts_paced_total", "Times that accepting was put off.",
               number(snapshot.listeners.paced));
  for (const ServiceSnapshot& service : snapshot.services) {
    const ServiceCounts& counts = service.counts;
    const MetricLabels labels = {{"service", service.name}};
    const auto with = [&](const char* name, const std::string& value) {
      MetricLabels more = labels;
      more.emplace_back(name, value);
      return more;
    };
    if (service.configured) {
      sink.Gauge("fanwire_worker_ports_open", "Whether all ports of the service are open.",
                 service.port_error.empty() ? 1 : 0, labels);
    }
    sink.Gauge("fanwire_worker_sessions", "Sessions.", number(service.sessions), labels);
    sink.Gauge("fanwire_worker_subscriptions", "Subscriptions of all sessions.",
               number(counts.subscriptions), labels);
    sink.Gauge("fanwire_worker_channels", "Channels known.", number(service.channels), labels);
    sink.Gauge("fanwire_worker_slow_sessions", "Sessions with a backlog.",
               number(counts.slow_sessions), labels);
    sink.Gauge("fanwire_worker_backlog_bytes", "Bytes that wait for sessions.",
               number(counts.backlog_bytes), labels);
    sink.Counter("fanwire_worker_publications_total", "Publications that arrived.",
                 number(counts.publications), labels);
    sink.Counter("fanwire_worker_matched_total", "Deliveries wanted: publications times sessions.",
                 number(counts.matched), labels);
    sink.Counter("fanwire_worker_deliveries_total", "Deliveries handed to the kernel.",
                 number(counts.written), labels);
    sink.Counter("fanwire_worker_recovered_total", "Deliveries by recovery.",
                 number(counts.recovered), labels);
    for (size_t i = 1; i < kDropReasons; ++i) {
      sink.Counter("fanwire_worker_dropped_total", "Deliveries dropped.", number(counts.dropped[i]),
                   with("reason", std::string(DropReasonName(i))));
    }
    sink.Counter("fanwire_worker_lost_connection_total",
                 "Deliveries that waited when their connection went.",
                 number(counts.lost_connection), labels);
    sink.Counter("fanwire_worker_expired_total", "Deliveries whose time was over before.",
                 number(counts.expired), labels);
    sink.Gauge("fanwire_worker_queued", "Deliveries that wait.", number(counts.queued), labels);
    sink.Counter("fanwire_worker_sessions_opened_total", "Sessions opened.",
                 number(counts.sessions_opened), labels);
    sink.Counter("fanwire_worker_sessions_closed_total", "Sessions closed.",
                 number(counts.sessions_closed), labels);
    for (size_t i = 0; i < kPublishResults; ++i) {
      sink.Counter("fanwire_worker_client_publications_total",
                   "Events that clients published, by what became of them.",
                   number(counts.client_publications[i]), with("result", kPublishResultNames[i]));
    }
    for (size_t i = 0; i < kCodeCounts; ++i) {
      sink.Counter(
          "fanwire_worker_disconnects_total", "Connections ended, by close code.",
          number(counts.disconnects[i]),
          with("code", i < std::size(kCountedCodes) ? std::to_string(kCountedCodes[i]) : "other"));
    }
    Histogram::Snapshot fanout = Histogram(kFanoutBounds).snapshot();
    for (const auto& [name, kind] : service.kinds) AddTo(&fanout, kind.fanout);
    sink.Distribution("fanwire_worker_fanout_duration_seconds",
                      "Of what a turn brought to a channel: until offered to its last subscriber.",
                      fanout, labels);
    sink.Counter("fanwire_worker_received_bytes_total", "Bytes from clients.",
                 number(service.connections.bytes_received), labels);
    sink.Counter("fanwire_worker_pings_total", "Keepalive pings sent.",
                 number(service.connections.pings_sent), labels);
    sink.Counter("fanwire_worker_pong_timeouts_total", "Sessions closed because no pong came.",
                 number(service.connections.pong_timeouts), labels);
    sink.Counter("fanwire_worker_protocol_errors_total",
                 "Sessions closed because the client broke the WebSocket protocol.",
                 number(service.connections.protocol_errors), labels);
    sink.Counter("fanwire_worker_messages_too_big_total",
                 "Sessions closed because of a message over the limit.",
                 number(service.connections.messages_too_big), labels);

    // The names that existing dashboards ask for.
    const MetricLabels server = {{"server", service.server_name}};
    const auto and_more = [&](MetricLabels more) {
      more.insert(more.begin(), server.begin(), server.end());
      return more;
    };
    sink.Counter("websocket_connections_total", "Connections since the start.",
                 number(counts.sessions_opened), and_more({{"tls_mode", "ws"}}));
    sink.Gauge("websocket_connections_active", "Connections.", number(service.sessions), server);
    sink.Gauge("websocket_connections", "Connections.", number(service.sessions), server);
    sink.Gauge("websocket_subscriptions", "Subscriptions.", number(counts.subscriptions), server);
    sink.Gauge("websocket_health", "Whether the service is served.", snapshot.ready ? 1 : 0,
               server);
    sink.Counter("websocket_messages_total", "Messages.", number(counts.messages_received),
                 and_more({{"message_type", "any"}, {"direction", "received"}}));
    sink.Counter("websocket_messages_total", "Messages.", number(counts.written + counts.recovered),
                 and_more({{"message_type", "event"}, {"direction", "sent"}}));
    sink.Counter("websocket_messages_total", "Messages.", number(counts.replies),
                 and_more({{"message_type", "response"}, {"direction", "sent"}}));
    for (const auto& [name, kind] : service.kinds) {
      sink.Counter("websocket_broadcast_total", "Publications that arrived, by kind of channel.",
                   number(kind.broadcasts), and_more({{"channel", name}}));
      sink.Distribution("websocket_broadcast_duration_seconds",
                        "Fan-outs, until offered to the last subscriber, by kind of channel.",
                        WithBounds(kind.fanout, kBroadcastBounds), and_more({{"channel", name}}));
    }
    constexpr absl::string_view kLatencyHelp =
        "Events: from reception by control until offered to the last subscriber of a worker.  "
        "Requests, and subscribes: until the answer.";
    sink.Distribution("websocket_latency_seconds", kLatencyHelp, service.event_latency,
                      and_more({{"message_type", "event"}}));
    sink.Distribution("websocket_latency_seconds", kLatencyHelp, service.request_latency,
                      and_more({{"message_type", "request"}}));
    const auto errors = ErrorsOf(service);
    for (size_t i = 0; i < kCountedErrors; ++i) {
      sink.Counter(IsMessageError(static_cast<CountedError>(i))
                       ? "websocket_message_errors_total"
                       : "websocket_connection_errors_total",
                   "Errors.", number(errors[i]), and_more({{"error_type", kCountedErrorNames[i]}}));
      sink.Counter("websocket_errors_total", "Errors.", number(errors[i]),
                   and_more({{"error_type", kCountedErrorNames[i]}}));
    }
  }
}

}  // namespace fanwire::fanout
