// Converts between the messages of proto/fanwire/v1 and the structs of cli/model.h.
//
// Threading: pure functions.
#pragma once

#include <string>

#include "cli/model.h"

namespace google::protobuf {
class Timestamp;
}  // namespace google::protobuf

namespace fanwire::v1 {
class ChannelInfo;
class ConnectionFilter;
class ConnectionInfo;
class PresenceMember;
class Event;
class LedgerEntry;
class Position;
class Publication;
class Receipt;
class ServiceCatalog;
class ServiceInfo;
class WorkerInfo;
}  // namespace fanwire::v1

namespace fanwire::cli {

// Returns InfinitePast if the time is not set.
absl::Time TimeOrNever(const google::protobuf::Timestamp& time);

Position FromProto(const v1::Position& position);
void ToProto(const Position& position, v1::Position* out);

Receipt FromProto(const v1::Receipt& receipt);
Publication FromProto(const v1::Publication& publication);
ServiceInfo FromProto(const v1::ServiceInfo& service);
ChannelInfo FromProto(const v1::ChannelInfo& channel);
ConnectionInfo FromProto(const v1::ConnectionInfo& connection);
PresenceMember FromProto(const v1::PresenceMember& member);
WorkerInfo FromProto(const v1::WorkerInfo& worker);
LedgerEntry FromProto(const v1::LedgerEntry& entry);
ServiceCatalog FromProto(const v1::ServiceCatalog& catalog);

void ToProto(const Event& event, v1::Event* out);
void ToProto(const ConnectionFilter& filter, v1::ConnectionFilter* out);

// The wire number of `level` in v1::ReceiptLevel.
int ToProto(ReceiptLevel level);

}  // namespace fanwire::cli
