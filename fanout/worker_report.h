// What a worker reports: the load in its heartbeats, its metrics, and what became of tracked
// publications.
//
// Threading: WorkerSnapshot is a value made on the loop and read anywhere.  SnapshotOf() belongs to
//            the loop; the other functions are pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/metrics.h"
#include "fanout/counts.h"
#include "fanout/net/connection_group.h"
#include "fanout/net/listener.h"
#include "fanout/service.h"
#include "fanout/track.h"

namespace fanwire::v1 {
class DeliveryReport;
class Heartbeat;
}  // namespace fanwire::v1

namespace fanwire::fanout {

struct ServiceSnapshot {
  std::string name;
  std::string server_name;
  bool configured = false;  // false: it was removed, and some of its sessions are left
  std::string port_error;   // why a port is not open; empty: all are
  ServiceCounts counts;
  ConnectionCounters connections;
  int64_t sessions = 0;
  int64_t channels = 0;
  struct Kind {
    int64_t broadcasts = 0;
    Histogram::Snapshot fanout;
  };
  std::map<std::string, Kind> kinds;  // of channel
  Histogram::Snapshot event_latency;
  Histogram::Snapshot request_latency;
};

struct WorkerSnapshot {
  std::vector<ServiceSnapshot> services;
  ListenerCounters listeners;
  int64_t connections = 0;
  bool attached = false;
  bool ready = false;
  bool draining = false;
  int64_t attachments = 0;
  int64_t asks = 0;           // of sessions, without an answer
  int64_t pending_bytes = 0;  // of fan-outs under way
  absl::Duration loop_lag;    // worst of the last second
  uint64_t config_version = 0;
  uint64_t file_limit = 0;       // files that the process may open
  uint64_t max_connections = 0;  // connections within that limit
};

ServiceSnapshot SnapshotOf(const Service& service, const ConnectionCounters& connections);

// Fills the services' loads and the limits of the process.
void FillLoads(const WorkerSnapshot& snapshot, v1::Heartbeat* heartbeat);

void FillDeliveryReport(const Track& track, bool final, v1::DeliveryReport* report);

// All metrics of a worker but those of the process.
void CollectWorker(const WorkerSnapshot& snapshot, MetricSink& sink);

}  // namespace fanwire::fanout
