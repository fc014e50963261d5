#include "control/workers/control_messages.h"

#include "absl/strings/str_cat.h"
#include "common/proto_time.h"
#include "common/version.h"
#include "control/workers/worker_registry.h"
#include "fanwire/v1/worker.pb.h"

namespace fanwire::control {

namespace {

constexpr uint32_t kProtocolVersion = 1;

}  // namespace

absl::Status CheckHello(const v1::Hello& hello) {
  if (hello.protocol_version() != kProtocolVersion) {
    return absl::InvalidArgumentError(absl::StrCat("protocol version ", hello.protocol_version(),
                                                   ": this control speaks ", kProtocolVersion,
                                                   "; install fanwire-control and fanwire-fanout "
                                                   "of the same release"));
  }
  if (hello.worker_id().empty()) return absl::InvalidArgumentError("worker_id is empty");
  return absl::OkStatus();
}

ControlMessagePtr MakeWelcome(uint64_t control_incarnation, absl::Duration heartbeat_interval) {
  auto message = std::make_unique<v1::ControlMessage>();
  v1::Welcome* const welcome = message->mutable_welcome();
  welcome->set_control_incarnation(control_incarnation);
  SetDuration(heartbeat_interval, welcome->mutable_heartbeat_interval());
  welcome->set_version(kVersion.data(), kVersion.size());
  return message;
}

ControlMessagePtr MakeHeartbeat(uint64_t seq) {
  auto message = std::make_unique<v1::ControlMessage>();
  message->mutable_heartbeat()->set_seq(seq);
  return message;
}

ControlMessagePtr MakeConfig(const v1::WorkerConfig& config, uint64_t nonce,
                             size_t attached_workers, absl::Duration heartbeat_interval) {
  auto message = std::make_unique<v1::ControlMessage>();
  v1::WorkerConfig* const told = message->mutable_config();
  *told = config;
  told->set_nonce(nonce);
  told->set_attached_workers(static_cast<int32_t>(attached_workers));
  if (!told->has_heartbeat_interval()) {
    SetDuration(heartbeat_interval, told->mutable_heartbeat_interval());
  }
  return message;
}

ControlMessagePtr MakeDrain(const DrainOrder& order) {
  auto message = std::make_unique<v1::ControlMessage>();
  v1::Drain* const drain = message->mutable_drain();
  SetDuration(order.window, drain->mutable_window());
  SetDuration(order.deadline, drain->mutable_deadline());
  drain->set_close_code(order.close_code);
  drain->set_reason(order.reason);
  drain->set_exit(order.exit);
  return message;
}

ControlMessagePtr MakeSnapshotRequest() {
  auto message = std::make_unique<v1::ControlMessage>();
  message->mutable_snapshot_request();
  return message;
}

ControlMessagePtr MakeRegisteredRequests(const v1::RegisteredRequests& registered) {
  auto message = std::make_unique<v1::ControlMessage>();
  *message->mutable_registered_requests() = registered;
  return message;
}

ControlMessagePtr MakeQuery(const v1::Query& query, uint64_t id) {
  auto message = std::make_unique<v1::ControlMessage>();
  *message->mutable_query() = query;
  message->mutable_query()->set_query_id(id);
  return message;
}

std::map<std::string, ControlMessagePtr> MakeGrants(
    const std::vector<ConnectionQuota::Grant>& grants) {
  std::map<std::string, ControlMessagePtr> messages;
  for (const ConnectionQuota::Grant& grant : grants) {
    ControlMessagePtr& message = messages[grant.worker];
    if (message == nullptr) message = std::make_unique<v1::ControlMessage>();
    v1::SlotGrant* const told = message->mutable_slot_grants()->add_grants();
    told->set_service(grant.service);
    told->set_slots(grant.connections);
  }
  return messages;
}

}  // namespace fanwire::control
