#include "fanout/worker_configuration.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "common/log.h"
#include "common/proto_time.h"
#include "fanout/reply.h"
#include "fanout/session.h"
#include "fanwire/v1/worker.pb.h"
#include "proto/close_code.h"

namespace fanwire::fanout {

namespace {

// What of a service decides which channels a token allows, as bytes to compare.
std::string PermissionsOf(const v1::WorkerService& service) {
  v1::WorkerService part;
  *part.mutable_permissions() = service.permissions();
  *part.mutable_admin_permissions() = service.admin_permissions();
  part.set_read_permission_reads_all(service.read_permission_reads_all());
  return part.SerializeAsString();
}

}  // namespace

WorkerConfiguration::WorkerConfiguration(ServicePorts* ports, Hub* hub)
    : ports_(ports), hub_(hub) {}

WorkerConfiguration::~WorkerConfiguration() = default;

bool WorkerConfiguration::Apply(const v1::WorkerConfig& config, bool open_ports,
                                ServicePorts::Opening opening, v1::ConfigAck* ack) {
  absl::Status status;
  if (open_ports) status = ports_->Apply(config, opening, ack);
  if (!status.ok()) {
    LogError("config.refused", {{"version", config.version()}, {"reason", status}});
    ack->clear_listeners();
    ack->set_error(std::string(status.message()));
    return false;
  }
  if (open_ports && config_ != nullptr) ReviewPermissions(config);
  config_ = std::make_unique<v1::WorkerConfig>(config);
  version_ = config.version();
  hub_->set_slice(std::max<uint32_t>(config.worker().fanout_slice(), 1),
                  ToDuration(config.worker().fanout_slice_time()));
  hub_->loop()->set_slice(ToDuration(config.worker().read_slice_time()));
  LogLevel level;
  if (ParseLogLevel(config.log().level(), &level)) SetLogLevel(level);
  SetLogFormat(config.log().format() == "json" ? LogFormat::kJson : LogFormat::kText);
  LogInfo("config.applied", {{"version", config.version()},
                             {"services", config.services_size()},
                             {"listeners", ack->listeners_size()},
                             {"workers", config.attached_workers()}});
  return true;
}

void WorkerConfiguration::ReviewPermissions(const v1::WorkerConfig& next) {
  absl::flat_hash_map<absl::string_view, std::string> before;
  for (const v1::WorkerService& service : config_->services()) {
    before[service.name()] = PermissionsOf(service);
  }
  for (const v1::WorkerService& service : next.services()) {
    // Most reloads change no permissions, and then no session need be looked at.
    const auto it = before.find(service.name());
    if (it == before.end() || it->second == PermissionsOf(service)) continue;
    std::vector<Session*> sessions;
    for (const auto& [id, session] : ports_->Find(service.name())->sessions()) {
      sessions.push_back(session);
    }
    for (Session* const session : sessions) session->LeaveForbidden();
  }
}

void WorkerConfiguration::CloseRemovedServices() {
  absl::flat_hash_set<absl::string_view> configured;
  for (const v1::WorkerService& service : config_->services()) configured.insert(service.name());
  std::vector<Session*> sessions;
  for (const Service* const service : ports_->services()) {
    if (configured.contains(service->name())) continue;
    for (const auto& [id, session] : service->sessions()) sessions.push_back(session);
  }
  if (sessions.empty()) return;
  constexpr absl::string_view kReason = "service was removed";
  DrainOrder order;
  SetReconnectTimes(&order);
  const std::string text = DrainingText(
      order.reconnect_after_min, order.ReconnectWithin(static_cast<int64_t>(sessions.size())),
      kReason, absl::Now());
  for (Session* const session : sessions) {
    session->SayGoodbye(text, CloseCode::kServiceRestart, kReason);
  }
}

absl::Duration WorkerConfiguration::orphan_timeout() const {
  return ToDuration(config_->worker().orphan_timeout());
}

DrainOrder WorkerConfiguration::OwnDrain(absl::string_view reason) const {
  DrainOrder order;
  order.reason = std::string(reason);
  if (config_ == nullptr) return order;
  order.window = ToDuration(config_->worker().drain_window());
  order.deadline = ToDuration(config_->worker().drain_deadline());
  return order;
}

void WorkerConfiguration::SetReconnectTimes(DrainOrder* order) const {
  if (config_ == nullptr) return;
  order->reconnect_after_min = ToDuration(config_->worker().reconnect_after_min());
  order->reconnect_after_max = ToDuration(config_->worker().reconnect_after_max());
}

}  // namespace fanwire::fanout
