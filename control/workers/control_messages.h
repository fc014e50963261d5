// The messages that WorkerRegistry sends to workers, and the check of a worker's first one.
//
// Threading: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "control/workers/connection_quota.h"

namespace fanwire::v1 {
class ControlMessage;
class Hello;
class Query;
class RegisteredRequests;
class WorkerConfig;
}  // namespace fanwire::v1

namespace fanwire::control {

struct DrainOrder;

// Checks a worker's first message.
//   INVALID_ARGUMENT  another protocol version, or no worker_id
absl::Status CheckHello(const v1::Hello& hello);

using ControlMessagePtr = std::unique_ptr<v1::ControlMessage>;

ControlMessagePtr MakeWelcome(uint64_t control_incarnation, absl::Duration heartbeat_interval);
ControlMessagePtr MakeHeartbeat(uint64_t seq);
// Returns `config` completed with a nonce, the number of workers and the heartbeat interval.
ControlMessagePtr MakeConfig(const v1::WorkerConfig& config, uint64_t nonce,
                             size_t attached_workers, absl::Duration heartbeat_interval);
ControlMessagePtr MakeDrain(const DrainOrder& order);
ControlMessagePtr MakeSnapshotRequest();
ControlMessagePtr MakeRegisteredRequests(const v1::RegisteredRequests& registered);
ControlMessagePtr MakeQuery(const v1::Query& query, uint64_t id);
// Returns the message for each worker, by its id.
std::map<std::string, ControlMessagePtr> MakeGrants(
    const std::vector<ConnectionQuota::Grant>& grants);

}  // namespace fanwire::control
