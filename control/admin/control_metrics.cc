#include "control/admin/control_metrics.h"

#include <string>
#include <utility>

#include "control/admin/tail.h"
#include "control/config/service_table.h"
#include "control/engine/engine.h"
#include "control/requests/presence.h"
#include "control/requests/request_dispatcher.h"
#include "control/requests/served_answer.h"
#include "control/requests/status_requests.h"
#include "control/routing/channel_queries.h"
#include "control/routing/publish_counts.h"
#include "control/workers/ledger.h"
#include "control/workers/service_reach.h"
#include "control/workers/worker_registry.h"
#include "fanwire/v1/admin.pb.h"
#include "proto/policies.h"

namespace fanwire::control {

namespace {

double ToDouble(int64_t value) { return static_cast<double>(value); }

// The service label of refusals whose service is not configured.  Unknown names are not used as
// labels, because they may be any text.
constexpr absl::string_view kNoService = "unknown";

void CollectRefusals(const RefusalTotals& refused, absl::string_view service, MetricSink& sink) {
  for (size_t reason = 0; reason < kRefusalReasons; ++reason) {
    sink.Counter("fanwire_control_refused_total", "Publications refused, by reason.",
                 ToDouble(refused.by_reason[reason]),
                 {{"service", std::string(service)},
                  {"reason", std::string(RefusalReasonName(static_cast<RefusalReason>(reason)))}});
  }
}

void CollectService(const ServiceSpec& service, const PublishCounts& published,
                    const ServiceCounts& delivered, MetricSink& sink) {
  const MetricLabels labels = {{"service", service.name}};
  sink.Counter("fanwire_control_publications_total", "Publications accepted, mirrors not counted.",
               ToDouble(published.accepted), labels);
  sink.Distribution(
      "fanwire_control_publish_duration_seconds",
      "Time from receiving an accepted publication until it is in history and routed.",
      published.seconds, labels);
  sink.Counter("fanwire_control_mirrors_total", "Mirror copies published.",
               ToDouble(published.mirrored), labels);
  CollectRefusals(published.refused, service.name, sink);
  sink.Counter("fanwire_control_duplicates_total",
               "Publications answered with the receipt of an earlier one with the same key.",
               ToDouble(published.duplicates), labels);
  sink.Counter(
      "fanwire_control_idempotency_evicted_total",
      "Idempotency keys forgotten early because there were more than idempotency_max_keys.",
      ToDouble(published.evicted_keys), labels);
  sink.Counter("fanwire_control_catalog_warnings_total",
               "Publications that a stricter catalog would have refused.",
               ToDouble(published.catalog_warnings), labels);
  sink.Gauge("fanwire_control_channels", "Channels with state.", ToDouble(published.channels),
             labels);
  sink.Gauge("fanwire_control_sessions", "Sessions over all workers.", ToDouble(delivered.sessions),
             labels);
  sink.Gauge("fanwire_control_peak_sessions", "Most sessions at once.",
             ToDouble(delivered.peak_sessions), labels);
  sink.Gauge("fanwire_control_subscriptions", "Subscriptions over all workers.",
             ToDouble(delivered.subscriptions), labels);
  sink.Counter("fanwire_ledger_matched_total", "Deliveries that subscriptions matched.",
               ToDouble(delivered.matched), labels);
  sink.Counter("fanwire_ledger_written_total", "Deliveries handed to the kernel.",
               ToDouble(delivered.written), labels);
  for (size_t reason = 1; reason < kDropReasons; ++reason) {
    MetricLabels with_reason = labels;
    with_reason.emplace_back("reason", std::string(DropReasonName(reason)));
    sink.Counter("fanwire_ledger_dropped_total", "Deliveries dropped.",
                 ToDouble(delivered.dropped[reason]), with_reason);
  }
  sink.Counter("fanwire_ledger_lost_connection_total", "Deliveries lost with their connection.",
               ToDouble(delivered.lost_connection), labels);
  sink.Counter("fanwire_ledger_expired_total", "Deliveries that expired before they were written.",
               ToDouble(delivered.expired), labels);
  sink.Gauge("fanwire_ledger_queued", "Deliveries that are queued in workers.",
             ToDouble(delivered.queued), labels);
  sink.Counter("fanwire_ledger_recovered_total", "Deliveries of recovered events.",
               ToDouble(delivered.recovered), labels);
  sink.Gauge("fanwire_ledger_difference",
             "Deliveries that the ledger does not account for; 0 when nothing is under way.",
             ToDouble(delivered.difference()), labels);
}

void CollectServed(const std::string& service, const RequestDispatcher::Counts& counts,
                   MetricSink& sink) {
  const MetricLabels labels = {{"service", service}};
  sink.Gauge("fanwire_control_responders", "Processes that answer requests of the service.",
             ToDouble(counts.responders), labels);
  sink.Gauge("fanwire_control_served_open", "Requests under way to responders or waiting for one.",
             ToDouble(counts.open), labels);
  sink.Gauge("fanwire_control_served_waiting", "Requests that wait for a responder with room.",
             ToDouble(counts.waiting), labels);
  for (size_t i = 0; i < kServedResults; ++i) {
    MetricLabels with_result = labels;
    with_result.emplace_back("result", std::string(ServedResultName(static_cast<ServedResult>(i))));
    sink.Counter("fanwire_control_served_requests_total",
                 "Requests that the service answers itself, by how they ended.",
                 ToDouble(counts.by_result[i]), with_result);
  }
  sink.Distribution("fanwire_control_served_duration_seconds",
                    "Of requests answered: from control's receipt until the answer.",
                    counts.seconds, labels);
  sink.Counter("fanwire_control_served_given_again_total",
               "Requests given to another responder, because one died or was unavailable.",
               ToDouble(counts.given_again), labels);
  sink.Counter("fanwire_control_served_ignored_answers_total",
               "Answers to no request that was under way.", ToDouble(counts.ignored_answers),
               labels);
}

void CollectPresence(const ServiceSpec& service, const PresenceCounts& counts, MetricSink& sink) {
  if (service.presence.empty() && counts.connections == 0) return;
  const MetricLabels labels = {{"service", service.name}};
  sink.Gauge("fanwire_control_presence_members",
             "Members of channels: users, and anonymous connections.", ToDouble(counts.members),
             labels);
  sink.Gauge("fanwire_control_presence_connections",
             "Connections of members, with those whose worker is gone and that may return.",
             ToDouble(counts.connections), labels);
  sink.Gauge("fanwire_control_presence_channels", "Channels with members.",
             ToDouble(counts.channels), labels);
}

void CollectEngine(const Engine& engine, MetricSink& sink) {
  const EngineStatus status = engine.status();
  sink.Gauge("fanwire_control_engine_info", "1, with the kind of the engine as a label.", 1,
             {{"engine", std::string(engine.name())}});
  sink.Gauge("fanwire_control_engine_healthy", "Whether the engine takes publications.",
             engine.Health().ok() ? 1 : 0);
  sink.Gauge("fanwire_control_history_bytes", "Bytes that history holds.",
             ToDouble(status.history_bytes));
  sink.Gauge("fanwire_control_history_max_bytes", "Bytes that history may hold; 0: no bound.",
             ToDouble(status.max_history_bytes));
  sink.Gauge("fanwire_control_engine_disk_bytes", "Bytes of the engine's files.",
             ToDouble(status.disk_bytes));
  sink.Gauge("fanwire_control_engine_waiting_publications",
             "Publications that the engine has got, but not kept yet.",
             ToDouble(status.waiting_publications));
  sink.Gauge("fanwire_control_engine_lag_seconds",
             "How long the oldest publication that waits for the engine has waited.",
             absl::ToDoubleSeconds(status.lag));
}

void CollectWorker(const v1::WorkerInfo& worker, MetricSink& sink) {
  const MetricLabels labels = {{"worker", worker.id()}};
  sink.Gauge("fanwire_control_worker_ready", "Whether the worker serves and has caught up.",
             worker.state() == v1::WORKER_STATE_READY ? 1 : 0, labels);
  sink.Gauge("fanwire_control_worker_sessions", "Sessions of the worker.",
             ToDouble(worker.sessions()), labels);
  sink.Gauge("fanwire_control_worker_queue_publications", "Publications queued for the worker.",
             ToDouble(worker.queue_publications()), labels);
  sink.Gauge("fanwire_control_worker_queue_bytes", "Bytes queued for the worker.",
             ToDouble(worker.queue_bytes()), labels);
  sink.Gauge("fanwire_control_worker_in_flight_bytes",
             "Bytes sent that the worker has not acknowledged.", ToDouble(worker.in_flight_bytes()),
             labels);
  sink.Counter("fanwire_control_worker_repairs_total",
               "Channels that caught up from history after the worker's queue was full.",
               ToDouble(worker.repairs()), labels);
  sink.Counter("fanwire_control_worker_dropped_total",
               "Publications without history that found the worker's queue full.",
               ToDouble(worker.dropped()), labels);
}

}  // namespace

void CollectControl(const MetricsParts& parts, MetricSink& sink) {
  sink.Gauge("fanwire_control_workers_attached", "Workers attached.",
             ToDouble(parts.registry->attached_count()));
  sink.Gauge("fanwire_control_workers_serving", "Workers to which clients can connect.",
             ToDouble(parts.registry->serving_count()));
  CollectEngine(*parts.engine, sink);
  sink.Gauge("fanwire_control_tail_streams", "Operators who watch publications.",
             ToDouble(parts.tail->streams()));
  sink.Counter("fanwire_control_retained_dropped_total",
               "Events that the retained state could not keep up with.",
               ToDouble(parts.retained->dropped()));
  const std::shared_ptr<const ServiceTable> services = parts.services();
  const std::vector<v1::WorkerInfo> workers = parts.registry->Workers();
  RefusalTotals elsewhere = parts.queries->RefusedElsewhere();
  for (const std::unique_ptr<ServiceSpec>& service : services->services()) {
    PublishCounts published = parts.queries->Counts(service->name);
    if (service->name == kNoService) {
      // If a service has the name "unknown", one series counts both.
      published.refused.Add(std::exchange(elsewhere, {}));
    }
    CollectService(*service, published, parts.ledger->Get(service->name), sink);
    CollectServed(service->name, parts.dispatcher->CountsOf(service->name), sink);
    CollectPresence(*service, parts.presence->Counts(service->name), sink);
    sink.Gauge("fanwire_control_service_reachable",
               "Whether each port of the service is open in a worker.",
               ServiceReach::Of(service->name, workers).open ? 1 : 0, {{"service", service->name}});
  }
  if (services->Find(kNoService) == nullptr) CollectRefusals(elsewhere, kNoService, sink);
  for (const v1::WorkerInfo& worker : workers) CollectWorker(worker, sink);
}

}  // namespace fanwire::control
