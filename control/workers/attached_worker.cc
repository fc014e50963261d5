#include "control/workers/attached_worker.h"

#include <algorithm>
#include <utility>

#include "common/incarnation.h"
#include "common/log.h"
#include "common/proto_time.h"
#include "control/links/interest_digest.h"
#include "control/links/worker_link.h"
#include "control/workers/ledger.h"
#include "fanwire/v1/admin.pb.h"
#include "fanwire/v1/worker.pb.h"

namespace fanwire::control {

namespace {

// The CPU use is averaged over this many heartbeats.
constexpr size_t kCpuSamples = 5;
// A snapshot is requested after this many heartbeats in a row with another digest.  The number
// doubles up to the second one, so that a fault in the digest does not cause endless snapshots.
constexpr int kDriftPatience = 2;
constexpr int kMaxDriftPatience = 64;
// How many replaced processes are remembered.  One that wakes up after more successors than that is
// still refused while one of them is attached.
constexpr size_t kReplacedKept = 64;

}  // namespace

AttachedWorker::AttachedWorker() : hello(std::make_unique<v1::Hello>()) {}
AttachedWorker::~AttachedWorker() = default;

uint64_t AttachedWorker::incarnation() const { return hello->incarnation(); }
uint32_t AttachedWorker::pid() const { return hello->pid(); }

bool AttachedWorker::Supersedes(uint64_t incarnation) const {
  return (attached() && IsEarlierIncarnation(incarnation, hello->incarnation())) ||
         std::find(replaced_.begin(), replaced_.end(), incarnation) != replaced_.end();
}

void AttachedWorker::Begin(const v1::Hello& from, std::shared_ptr<WorkerLink> to,
                           const Clock& clock) {
  const bool known = from.incarnation() == incarnation();
  if (!known) {
    if (!id.empty()) {
      ++restarts_;
      replaced_.push_back(incarnation());
      if (replaced_.size() > kReplacedKept) replaced_.pop_front();
    }
    // A worker that has a configuration was attached to an earlier control.  What that control sent
    // is not known.
    unapplied_since =
        from.config_version() > 0 ? -absl::InfiniteDuration() : absl::InfiniteDuration();
    pattern_times = {};
    rss_bytes_ = 0;
    loop_lag_us_ = 0;
    file_limit_ = 0;
    max_connections_ = 0;
    cpu_.clear();
    config_error_.clear();
    listeners_.clear();
    has_open_port_ = false;
  }
  id = from.worker_id();
  *hello = from;
  link = std::move(to);
  link->SetMissedSince(unapplied_since);
  if (known) link->SetPatternTimes(std::exchange(pattern_times, {}));
  heard = clock.Now();
  snapshot_done = false;
  draining = from.draining();
  drained = false;
  drain_remaining = from.connections();
  attached_at_ = clock.WallNow();
  counted_ = false;
  drifted_ = 0;
  drift_patience_ = kDriftPatience;
  config_version_ = from.config_version();
  acked_nonce_ = 0;
}

std::shared_ptr<WorkerLink> AttachedWorker::End(absl::Duration now) {
  gone_at = now;
  const WorkerLink::Stats stats = link->stats();
  past_repairs_ += stats.repairs;
  past_dropped_ += stats.dropped;
  unapplied_since = link->unapplied_since();
  pattern_times = link->TakePatternTimes();
  return std::exchange(link, nullptr);
}

void AttachedWorker::TakeHeartbeat(const v1::Heartbeat& heartbeat, absl::Time received) {
  last_heartbeat_ = received;
  counted_ = true;
  rss_bytes_ = heartbeat.rss_bytes();
  loop_lag_us_ = heartbeat.loop_lag_us();
  file_limit_ = heartbeat.file_limit();
  max_connections_ = heartbeat.max_connections();
  if (!cpu_.empty() && heartbeat.monotonic_ms() <= cpu_.back().first) {
    cpu_.clear();  // no time has passed: nothing to divide by
  }
  cpu_.emplace_back(heartbeat.monotonic_ms(), heartbeat.cpu_ms());
  if (cpu_.size() > kCpuSamples) cpu_.pop_front();
}

double AttachedWorker::cpu_percent() const {
  if (cpu_.size() < 2) return 0;
  const int64_t elapsed = cpu_.back().first - cpu_.front().first;
  const int64_t used = cpu_.back().second - cpu_.front().second;
  return 100.0 * static_cast<double>(used) / static_cast<double>(elapsed);
}

bool AttachedWorker::Drifted(const v1::Heartbeat& heartbeat) {
  if (!snapshot_done || link->held()) {
    drifted_ = 0;  // the worker is reporting its interest now
    return false;
  }
  if (link->interest_digest().value() == InterestDigest::Value{.count = heartbeat.interest_count(),
                                                               .hash = heartbeat.interest_hash()}) {
    drifted_ = 0;
    drift_patience_ = kDriftPatience;
    return false;
  }
  if (++drifted_ < drift_patience_) return false;
  drifted_ = 0;
  drift_patience_ = std::min(2 * drift_patience_, kMaxDriftPatience);
  return true;
}

void AttachedWorker::TakeConfigAck(const v1::ConfigAck& ack) {
  acked_nonce_ = std::max(acked_nonce_, ack.nonce());
  config_version_ = ack.version();
  config_error_ = ack.error();
  if (!ack.ops_address().empty()) ops_address_ = ack.ops_address();
  for (const v1::BoundListener& listener : ack.listeners()) {
    if (listener.error().empty()) continue;
    LogError("worker.port_failed", {{"worker", id},
                                    {"service", listener.service()},
                                    {"port", listener.configured_port()},
                                    {"reason", listener.error()}});
  }
  // A worker that refuses a configuration keeps the listeners of the version in force.
  if (!ack.error().empty()) {
    LogError("worker.config_refused",
             {{"worker", id}, {"in_force", ack.version()}, {"reason", ack.error()}});
    return;
  }
  listeners_.assign(ack.listeners().begin(), ack.listeners().end());
  has_open_port_ = std::any_of(listeners_.begin(), listeners_.end(),
                               [](const v1::BoundListener& port) { return port.error().empty(); });
}

void AttachedWorker::DescribeConfig(v1::WorkerConfigState* out) const {
  out->set_id(id);
  out->set_version(config_version_);
  out->set_pending(acked_nonce_ < awaited_nonce);
  if (!out->pending()) out->set_error(config_error_);
}

void AttachedWorker::Describe(const Ledger& ledger, v1::WorkerInfo* out) const {
  out->set_id(id);
  out->set_slot(hello->slot());
  out->set_pid(hello->pid());
  out->set_address(hello->address());
  out->set_incarnation(hello->incarnation());
  out->set_version(hello->version());
  out->set_ops_address(ops_address_.empty() ? hello->ops_address() : ops_address_);
  out->set_supervised(hello->supervised());
  SetTimestamp(attached_at_, out->mutable_attached_at());
  if (last_heartbeat_ != absl::InfinitePast()) {
    SetTimestamp(last_heartbeat_, out->mutable_last_heartbeat());
  }
  out->set_config_version(config_version_);
  out->set_config_error(config_error_);
  out->set_restarts(restarts_);
  out->set_repairs(past_repairs_);
  out->set_dropped(past_dropped_);
  if (link == nullptr) {
    out->set_state(v1::WORKER_STATE_DEAD);
    return;
  }
  const WorkerLink::Stats stats = link->stats();
  if (draining) {
    out->set_state(v1::WORKER_STATE_DRAINING);
  } else if (serving() && snapshot_done && !link->held() && stats.dirty_channels == 0) {
    out->set_state(v1::WORKER_STATE_READY);
  } else {
    out->set_state(v1::WORKER_STATE_CATCHING_UP);
  }
  out->set_sessions(counted_ ? ledger.WorkerSessions(id) : hello->connections());
  if (counted_) out->set_subscriptions(ledger.WorkerSubscriptions(id));
  out->set_rss_bytes(rss_bytes_);
  out->set_cpu_percent(cpu_percent());
  out->set_loop_lag_us(loop_lag_us_);
  out->set_file_limit(file_limit_);
  out->set_max_connections(max_connections_);
  out->set_queue_publications(stats.queued_items);
  out->set_queue_bytes(stats.queued_bytes);
  out->set_in_flight_bytes(stats.in_flight_bytes);
  out->set_repairs(past_repairs_ + stats.repairs);
  out->set_dropped(past_dropped_ + stats.dropped);
  for (const v1::BoundListener& listener : listeners_) *out->add_listeners() = listener;
}

}  // namespace fanwire::control
