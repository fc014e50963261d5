// What the admin API says, made of what ChannelQueries, the registry and the ledger know.
//
// Threading: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "control/routing/channel_info.h"
#include "control/routing/publish_counts.h"

namespace fanwire::v1 {
class ChannelInfo;
class ConnectionInfo;
class DisconnectCommand;
class DisconnectRequest;
class LedgerEntry;
class ListConnectionsRequest;
class ListConnectionsResponse;
class Position;
class Publication;
class ServiceConfig;
class ServiceInfo;
class WorkerInfo;
}  // namespace fanwire::v1

namespace fanwire::control {

class Publication;
class ServiceTable;
struct ChannelSummary;
struct Position;
struct PublishCounts;
struct QueryResult;
struct ServiceCounts;
struct ProcessInfo;

// InfinitePast is left out.
void ToProto(const Position& position, v1::Position* out);
void ToProto(absl::string_view service, absl::string_view channel, const Publication& publication,
             v1::Publication* out);
// With the policy in force, if its service is still configured; without subscribers.
void ToProto(const ChannelSummary& channel, const ServiceTable& services, v1::ChannelInfo* out);
void ToProto(const v1::ServiceConfig& config, const PublishCounts& published,
             const ServiceCounts& counts, v1::ServiceInfo* out);
void ToProto(absl::string_view service, const PublishCounts& published, const ServiceCounts& counts,
             v1::LedgerEntry* out);

// Subscribers by (service, channel), exact names only, over all workers.
using SubscriberCounts = std::map<std::pair<std::string, std::string>, int64_t>;
SubscriberCounts CountSubscribers(const QueryResult& rooms);

// The connections in the order and number asked for; takes them out of `result`.
void MakeConnectionList(const v1::ListConnectionsRequest& request, QueryResult* result,
                        v1::ListConnectionsResponse* response);

// The order to workers, with defaults filled in.
//   INVALID_ARGUMENT  no filter, a code that may not be sent, a reason over 123 bytes
absl::Status ReadDisconnect(const v1::DisconnectRequest& request, v1::DisconnectCommand* command);

// Workers that are or were attached and slots of this control, each once, in order of slot.
std::vector<v1::WorkerInfo> MergeWorkers(std::vector<v1::WorkerInfo> attached,
                                         const std::vector<ProcessInfo>& local_workers);

}  // namespace fanwire::control
