// The gRPC service for operators.  It gets its answers from ChannelQueries, the workers, the ledger
// and ControlProcess, and puts them into messages.
//
// Threading: safe from every thread; calls are handled on gRPC's callback threads without blocking.
// Ownership: borrows all parts; they outlive the server.
// Source:    proto/fanwire/v1/admin.proto
#pragma once

#include <memory>

#include "absl/time/time.h"

namespace grpc {
class Service;
}

namespace fanwire::control {

class ControlProcess;
class ChannelListings;
class ChannelQueries;
class Engine;
class Ledger;
class Presence;
class RequestDispatcher;
class TailHub;
class AgentTools;
class WorkerRegistry;

struct AdminParts {
  ChannelQueries* queries = nullptr;
  ChannelListings* listings = nullptr;
  WorkerRegistry* registry = nullptr;
  const RequestDispatcher* dispatcher = nullptr;
  const Presence* presence = nullptr;
  const Ledger* ledger = nullptr;
  AgentTools* tools = nullptr;
  TailHub* tail = nullptr;
  ControlProcess* host = nullptr;
  const Engine* engine = nullptr;
  absl::Time started_at = absl::InfinitePast();
};

std::unique_ptr<grpc::Service> MakeAdminService(const AdminParts& parts);

}  // namespace fanwire::control
