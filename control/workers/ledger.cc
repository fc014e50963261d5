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

// Adds the counts since the start; subtracts them if `sign` is -1.
void AddTotals(const ServiceCounts& from, int64_t sign, ServiceCounts* to) {
  to->matched += sign * from.matched;
  to->written += sign * from.written;
  for (size_t i = 0; i < kDropReasons; ++i) to->dropped[i] += sign * from.dropped[i];
  to->lost_connection += sign * from.lost_connection;
  to->expired += sign * from.expired;
  to->recovered += sign * from.recovered;
  to->sessions_opened += sign * from.sessions_opened;
  to->sessions_closed += sign * from.sessions_closed;
  to->messages_received += sign * from.messages_received;
  to->messages_sent += sign * from.messages_sent;
  to->bytes_sent += sign * from.bytes_sent;
  for (const auto& [name, count] : from.errors) to->errors[name] += sign * count;
}

void Add(const ServiceCounts& from, ServiceCounts* to) {
  to->sessions += from.sessions;
  to->subscriptions += from.subscriptions;
  to->slow_sessions += from.slow_sessions;
  to->backlog_bytes += from.backlog_bytes;
  to->queued += from.queued;
  AddTotals(from, 1, to);
}

}  // namespace

int64_t ServiceCounts::dropped_total() const {
  return std::accumulate(dropped.begin(), dropped.end(), int64_t{0});
}

int64_t ServiceCounts::difference() const {
  return matched - written - dropped_total() - lost_connection - expired - queued;
}

Ledger::Worker& Ledger::Find(absl::string_view worker, uint64_t incarnation) {
  auto it = workers_.find(worker);
  if (it == workers_.end()) it = workers_.emplace(std::string(worker), Worker()).first;
  Worker& known = it->second;
  if (incarnation != known.incarnation) {
    Settle(&known);
    known = Worker();
    known.incarnation = incarnation;
  }
  return known;
}

void Ledger::Attached(absl::string_view worker, uint64_t incarnation, bool served_before) {
  MutexLock lock(&mu_);
  const auto it = workers_.find(worker);
  const bool known_before = it != workers_.end() && it->second.incarnation == incarnation;
  Worker& known = Find(worker, incarnation);
  if (!known_before) known.base_is_due = served_before;
}

void Ledger::Update(absl::string_view worker, uint64_t incarnation,
                    const v1::Heartbeat& heartbeat) {
  MutexLock lock(&mu_);
  Worker& known = Find(worker, incarnation);
  known.attached = true;
  if (std::exchange(known.base_is_due, false)) {
    for (const v1::ServiceLoad& load : heartbeat.services()) {
      ServiceCounts& base = known.base[load.service()] = FromProto(load);
      base.matched -= base.queued;  // the outcomes of queued deliveries are still to be counted
    }
  }
  for (const v1::ServiceLoad& load : heartbeat.services()) {
    ServiceCounts& counts = known.services[load.service()] = FromProto(load);
    const auto base = known.base.find(load.service());
    if (base != known.base.end()) AddTotals(base->second, -1, &counts);
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
  // The process may live on and attach again with the same incarnation and higher counts.  Keep its
  // last report, and only stop counting its sessions.
  it->second.attached = false;
}

void Ledger::Forget(absl::string_view worker) {
  MutexLock lock(&mu_);
  const auto it = workers_.find(worker);
  if (it == workers_.end()) return;
  Settle(&it->second);
  workers_.erase(it);
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
