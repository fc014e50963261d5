// Makes the messages of the admin API from the answers of ChannelQueries, WorkerRegistry, Ledger
// and Engine.
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
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "control/routing/channel_info.h"
#include "control/routing/publish_counts.h"

namespace fanwire::v1 {
class ChannelInfo;
class ConnectionInfo;
class DisconnectCommand;
class DisconnectRequest;
class GetEngineStatusResponse;
class LedgerEntry;
class ListConnectionsRequest;
class ListConnectionsResponse;
class ListPresenceResponse;
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
struct EngineStatus;
struct Position;
struct PresencePage;
struct PresencePlace;
struct PublishCounts;
struct QueryResult;
struct ServiceCounts;
struct ProcessInfo;

// Times that are InfinitePast are left out of the messages.
void ToProto(const Position& position, v1::Position* out);
void ToProto(absl::string_view service, absl::string_view channel, const Publication& publication,
             v1::Publication* out);
// Fills in the channel's policy if its service is still configured.  Leaves out the subscribers.
void ToProto(const ChannelSummary& channel, const ServiceTable& services, v1::ChannelInfo* out);
void ToProto(const v1::ServiceConfig& config, const PublishCounts& published,
             const ServiceCounts& counts, v1::ServiceInfo* out);
void ToProto(absl::string_view service, const PublishCounts& published, const ServiceCounts& counts,
             v1::LedgerEntry* out);
// Writes the texts with U+FFFD in place of what is not UTF-8: a path may be any bytes.
void ToProto(absl::string_view kind, const absl::Status& health, const EngineStatus& status,
             v1::GetEngineStatusResponse* out);

// The number of subscribers of each (service, channel) on all workers together.  Subscriptions to
// patterns are not counted.
using SubscriberCounts = std::map<std::pair<std::string, std::string>, int64_t>;
SubscriberCounts CountSubscribers(const QueryResult& rooms);

// Moves the connections from `result` to `response`, sorted and limited as the request says.
void MakeConnectionList(const v1::ListConnectionsRequest& request, QueryResult* result,
                        v1::ListConnectionsResponse* response);

// Makes the command to workers from the request, with defaults filled in.
//   INVALID_ARGUMENT  no filter, a code that may not be sent, a reason over 123 bytes
absl::Status ReadDisconnect(const v1::DisconnectRequest& request, v1::DisconnectCommand* command);

// The place at which a list of members goes on, from the page token that says it.
//   INVALID_ARGUMENT  not such a token
absl::StatusOr<PresencePlace> ToPlace(absl::string_view token);
// Fills in as many members as a message may have bytes, and says where the list goes on.
void ToProto(const PresencePage& page, v1::ListPresenceResponse* out);

// Merges the workers that are or were attached with the supervisor's local workers.  Each worker is
// in the result once, sorted by number.
std::vector<v1::WorkerInfo> MergeWorkers(std::vector<v1::WorkerInfo> attached,
                                         const std::vector<ProcessInfo>& local_workers);

}  // namespace fanwire::control
