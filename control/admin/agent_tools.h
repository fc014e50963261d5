// AgentTools answers the five tools that agents and wsctl call.  Each answer is a JSON object for
// one service with its keys in the documented order; its numbers are sums over all workers.
//
//   connections, rooms      as the workers answer now
//   peak_connections        most sessions at the same time over all workers, from their heartbeats
//   total_broadcasts        publications accepted since control started; a mirror copy does not
//                           count
//   average_message_rate    total_broadcasts for each second of uptime
//   uptime_seconds          of control
//
// If a worker that was attached is away and so cannot be asked, the sums lack what it holds: the
// object also has "workers_total", "workers_answered" and a "warning" then.
//
// A tool reports a failure inside its object, as "error".  Only a service that is not configured is
// an error of the call.  Without an attached worker no client can be connected: the tool answers
// that the service is not running.  A service with a port that no worker has open is told by health
// check and status as an error, with the reason.
//
// Threading: safe from every thread; never blocks.  Each answer comes once, on any thread, without
//            locks.
// Ownership: borrows all parts; they must outlive every answer.
// Cost:      a query to all workers, in which they list their sessions for all tools but
//            kListRooms.
// Source:    docs/protocol.md "Tools"
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"

namespace fanwire::control {

class ChannelQueries;
class Ledger;
class Router;
class ServiceTable;
class WorkerRegistry;

enum class Tool : uint8_t { kHealthCheck, kGetStatus, kListRooms, kGetMetrics };

class AgentTools {
 public:
  struct Parts {
    Router* router = nullptr;
    ChannelQueries* queries = nullptr;
    WorkerRegistry* registry = nullptr;
    const Ledger* ledger = nullptr;
    const Clock* clock = nullptr;
    // The services as configured now.
    std::function<std::shared_ptr<const ServiceTable>()> services;
  };

  // The services that a call asks for.
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

  // Uptime counts from this call on.
  explicit AgentTools(Parts parts);

  void Call(Tool tool, const Target& target, Done done);

  // Publishes an ordinary event.  Its data is the given object, in which `timestamp` and `test:
  // true` are set.  Answers when the workers have reported how many sessions the event matched.
  void BroadcastTestEvent(const TestEvent& event, Done done);

 private:
  const Parts parts_;
  const absl::Duration started_at_;
};

}  // namespace fanwire::control
