// AgentTools answers the five tools that agents and wsctl call: each an exact JSON object per service,
// keys in their documented order, with true numbers summed over the workers.
//
//   connections, rooms      asked of the workers, as of now
//   peak_connections        most sessions at once over all workers, as their heartbeats told
//   total_broadcasts        publications accepted since control started; a mirror copy is part of
//                           the publication it was made from and does not count again
//   average_message_rate    total_broadcasts per second of uptime
//   uptime_seconds          of control
//
// A tool tells its failure inside its object ("error"); only a service that is not configured is an
// error of the call.  Without an attached worker nobody can be connected: that is "not running".
//
// Threading: safe from every thread; never blocks.  Answers come once, on any thread, without
// locks. Ownership: borrows all parts; they must outlive every answer. Cost:      a question to all
// workers; they list their sessions for all but ListRooms. Source:    docs/protocol.md "Tools"
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"

namespace fanwire::control {

class Ledger;
class Router;
class ServiceTable;
class WorkerRegistry;

enum class Tool : uint8_t { kHealthCheck, kGetStatus, kListRooms, kGetMetrics };

class AgentTools {
 public:
  struct Parts {
    Router* router = nullptr;
    WorkerRegistry* registry = nullptr;
    const Ledger* ledger = nullptr;
    const Clock* clock = nullptr;
    // The services as configured now.
    std::function<std::shared_ptr<const ServiceTable>()> services;
  };

  // Which services a call is about.
  struct Target {
    std::string service;           // empty: all, as {"services": {NAME: object}}
    bool default_service = false;  // an empty service means the configured default
  };

  struct TestEvent {
    std::string service;  // empty: the configured default
    std::string event_type;
    std::string room;
    std::string channel = {};  // another name for room; both must agree if both are given
    std::string data;          // a JSON object; empty: {}
  };

  // The tool's JSON, compact.
  //   NOT_FOUND  no such service
  using Done = std::function<void(absl::StatusOr<std::string>)>;

  // Uptime counts from here.
  explicit AgentTools(Parts parts);

  void Call(Tool tool, const Target& target, Done done);

  // Publishes an ordinary event whose data is the given object with `timestamp` and `test: true`
  // written over it, and waits until the workers have told how many sessions it matched.
  void BroadcastTestEvent(const TestEvent& event, Done done);

 private:
  const Parts parts_;
  const absl::Duration started_at_;
};

}  // namespace fanwire::control
