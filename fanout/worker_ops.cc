#include "fanout/worker_ops.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/address.h"
#include "common/clock.h"
#include "common/log.h"
#include "fanout/reply.h"

namespace fanwire::fanout {

namespace {

// Ports that are tried, from the configured one on.
constexpr int kPortsToTry = 64;

constexpr absl::Duration kSnapshotWait = absl::Seconds(1);

absl::string_view Bool(bool value) { return value ? "true" : "false"; }

std::string ReadinessJson(const WorkerSnapshot& snapshot) {
  std::string json =
      absl::StrCat("{\"ready\":", Bool(snapshot.ready), ",\"control\":", Bool(snapshot.attached),
                   ",\"draining\":", Bool(snapshot.draining), ",\"services\":{");
  for (const ServiceSnapshot& service : snapshot.services) {
    if (!service.configured) continue;
    if (json.back() != '{') json += ',';
    AppendJsonText(service.name, &json);
    const bool open = service.port_error.empty();
    absl::StrAppend(&json, ":{\"ready\":", Bool(open && snapshot.attached && !snapshot.draining));
    if (!open) {
      json += ",\"error\":";
      AppendJsonText(service.port_error, &json);
    }
    json += '}';
  }
  return json + "}}";
}

}  // namespace

WorkerOps::WorkerOps(EventLoop* loop, std::function<WorkerSnapshot()> take_snapshot)
    : loop_(loop), take_snapshot_(std::move(take_snapshot)) {
  metrics_.Add(CollectProcess);
  metrics_.Add([this](MetricSink& sink) { CollectWorker(FreshSnapshot(), sink); });
}

void WorkerOps::Start(absl::string_view listen, uint32_t slot) {
  if (probe_ != nullptr || listen == kListenOff) return;
  auto address = ParseAddress(listen);
  if (!address.ok()) return;
  if (address->port != 0) address->port = static_cast<uint16_t>(address->port + slot);
  HttpProbe::Options options;
  options.listen = *address;
  options.ports_to_try = kPortsToTry;
  options.metrics = [this] { return metrics_.Text(); };
  options.head_limits = [this] {
    MutexLock lock(&mu_);
    return head_limits_;
  };
  options.ready = [this] {
    const WorkerSnapshot snapshot = FreshSnapshot();
    return Readiness{snapshot.ready, ReadinessJson(snapshot)};
  };
  auto probe = HttpProbe::Start(std::move(options));
  if (!probe.ok()) {
    LogError("ops.failed", {{"address", listen}, {"reason", probe.status()}});
    return;
  }
  probe_ = *std::move(probe);
  address_ = probe_->address().ToString();
}

void WorkerOps::SetHeadLimits(const HttpHeadLimits& limits) {
  MutexLock lock(&mu_);
  head_limits_ = limits;
}

void WorkerOps::Stop() { probe_ = nullptr; }

WorkerSnapshot WorkerOps::FreshSnapshot() {
  uint64_t seen = 0;
  {
    MutexLock lock(&mu_);
    seen = snapshots_;
  }
  loop_->Post([this] {
    WorkerSnapshot made = take_snapshot_();
    MutexLock lock(&mu_);
    snapshot_ = std::move(made);
    ++snapshots_;
    made_.SignalAll();
  });
  const Clock* const clock = Clock::Real();
  const absl::Duration give_up = clock->Now() + kSnapshotWait;
  MutexLock lock(&mu_);
  while (snapshots_ == seen && clock->Now() < give_up) {
    made_.WaitWithTimeout(&mu_, give_up - clock->Now());
  }
  return snapshot_;
}

}  // namespace fanwire::fanout
