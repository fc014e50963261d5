#include "control/workers/ledger.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "fanwire/v1/worker.pb.h"
#include "proto/policies.h"

namespace fanwire::control {

namespace {

ServiceCounts FromProto(const v1::ServiceLoad& load) {
  ServiceCounts counts;
  counts.sessions = load.sessions();
  counts.subscriptions = load.subscriptions();
  counts.slow_sessions = load.slow_sessions();
  counts.backlog_bytes = load.backlog_bytes();
  counts.queued = load.queued();
  counts.matched = load.matched();
  counts.written = load.written();
  for (const v1::DropCount& drop : load.dropped()) {
    const auto reason = static_cast<size_t>(drop.reason());
    counts.dropped[reason < kDropReasons ? reason : 0] += drop.count();
  }
  counts.lost_connection = load.lost_connection();
  counts.expired = load.expired();
  counts.recovered = load.recovered();
  counts.sessions_opened = load.sessions_opened();
  counts.sessions_closed = load.sessions_closed();
  counts.messages_received = load.messages_received();
  counts.messages_sent = load.messages_sent();
  counts.bytes_sent = load.bytes_sent();
  counts.errors = {load.errors().begin(), load.errors().end()};
  return counts;
}

void Add(const ServiceCounts& from, ServiceCounts* to) {
  to->sessions += from.sessions;
  to->subscriptions += from.subscriptions;
  to->slow_sessions += from.slow_sessions;
  to->backlog_bytes += from.backlog_bytes;
  to->queued += from.queued;
  to->matched += from.matched;
  to->written += from.written;
  for (size_t i = 0; i < kDropReasons; ++i) to->dropped[i] += from.dropped[i];
  to->lost_connection += from.lost_connection;
  to->expired += from.expired;
  to->recovered += from.recovered;
  to->sessions_opened += from.sessions_opened;
  to->sessions_closed += from.sessions_closed;
  to->messages_received += from.messages_received;
  to->messages_sent += from.messages_sent;
  to->bytes_sent += from.bytes_sent;
  for (const auto& [name, count] : from.errors) to->errors[name] += count;
}

}  // namespace

int64_t ServiceCounts::dropped_total() const {
  return std::accumulate(dropped.begin(), dropped.end(), int64_t{0});
}

int64_t ServiceCounts::difference() const {
  return matched - written - dropped_total() - lost_connection - expired - queued;
}

void Ledger::Update(absl::string_view worker, uint64_t incarnation,
                    const v1::Heartbeat& heartbeat) {
  MutexLock lock(&mu_);
  auto it = workers_.find(worker);
  if (it == workers_.end()) it = workers_.emplace(std::string(worker), Worker()).first;
  Worker& known = it->second;
  if (incarnation != known.incarnation) {
    Settle(&known);
    known.incarnation = incarnation;
  }
  known.attached = true;
  for (const v1::ServiceLoad& load : heartbeat.services()) {
    known.services[load.service()] = FromProto(load);
  }
  for (const v1::ServiceLoad& load : heartbeat.services()) {
    int64_t& peak = peaks_[load.service()];
    int64_t sessions = 0;
    for (const auto& [id, each] : workers_) {
      const auto service = each.services.find(load.service());
      if (each.attached && service != each.services.end()) sessions += service->second.sessions;
    }
    peak = std::max({peak, sessions, load.peak_sessions()});
  }
}

void Ledger::WorkerGone(absl::string_view worker, uint64_t incarnation) {
  MutexLock lock(&mu_);
  const auto it = workers_.find(worker);
  if (it == workers_.end() || it->second.incarnation != incarnation) return;
  // The process may live on and attach again with the same incarnation and higher counts: what it
  // said last is kept as it is, only not shown as present.
  it->second.attached = false;
}

void Ledger::Settle(Worker* worker) {
  for (auto& [name, counts] : worker->services) {
    counts.lost_connection += std::exchange(counts.queued, 0);
    counts.sessions_closed += std::exchange(counts.sessions, 0);
    counts.subscriptions = counts.slow_sessions = counts.backlog_bytes = 0;
    Add(counts, &settled_[name]);
  }
  worker->services.clear();
}

ServiceCounts Ledger::Sum(absl::string_view service) const {
  ServiceCounts sum;
  if (const auto it = settled_.find(service); it != settled_.end()) sum = it->second;
  for (const auto& [id, worker] : workers_) {
    const auto it = worker.services.find(service);
    if (it == worker.services.end()) continue;
    ServiceCounts counts = it->second;
    if (!worker.attached) {
      counts.lost_connection += std::exchange(counts.queued, 0);
      counts.sessions = counts.subscriptions = counts.slow_sessions = counts.backlog_bytes = 0;
    }
    Add(counts, &sum);
  }
  if (const auto it = peaks_.find(service); it != peaks_.end()) sum.peak_sessions = it->second;
  return sum;
}

ServiceCounts Ledger::Get(absl::string_view service) const {
  MutexLock lock(&mu_);
  return Sum(service);
}

std::map<std::string, ServiceCounts> Ledger::All() const {
  MutexLock lock(&mu_);
  std::map<std::string, ServiceCounts> all;
  for (const auto& [name, counts] : settled_) all.try_emplace(name);
  for (const auto& [id, worker] : workers_) {
    for (const auto& [name, counts] : worker.services) all.try_emplace(name);
  }
  for (auto& [name, counts] : all) counts = Sum(name);
  return all;
}

int64_t Ledger::WorkerSessions(absl::string_view worker) const {
  MutexLock lock(&mu_);
  int64_t sessions = 0;
  if (const auto it = workers_.find(worker); it != workers_.end() && it->second.attached) {
    for (const auto& [name, counts] : it->second.services) sessions += counts.sessions;
  }
  return sessions;
}

int64_t Ledger::WorkerSubscriptions(absl::string_view worker) const {
  MutexLock lock(&mu_);
  int64_t subscriptions = 0;
  if (const auto it = workers_.find(worker); it != workers_.end() && it->second.attached) {
    for (const auto& [name, counts] : it->second.services) subscriptions += counts.subscriptions;
  }
  return subscriptions;
}

}  // namespace fanwire::control
