// AgentTools answers the five tools that agents and wsctl call.  Each answer is a JSON object for
// one service.  Its keys are in the documented order, and its numbers are sums over all workers.
//
//   connections, rooms      from the workers' answers
//   peak_connections        most sessions at the same time over all workers, from their heartbeats
//   total_broadcasts        publications accepted since control started, without mirror copies
//   average_message_rate    total_broadcasts divided by uptime_seconds
//   uptime_seconds          of control
//
// If a worker that was attached is away, it cannot be asked, and the sums are too small.  Then the
// object also has "workers_total", "workers_answered" and a "warning".
//
// A tool reports a failure inside its object, as "error".  Only a service that is not configured is
// an error of the call.  If no worker is attached, no client can be connected, and the tool answers
// that the service is not running.  If no worker has one of the service's ports open, health check
// and status report an error with the reason.
//
// Threading: safe from every thread; never blocks.  `done` is called once, on any thread, without
//            locks.
// Ownership: borrows all parts; they must outlive every answer.
// Cost:      a query to all workers.  Except for kListRooms, they list all of their sessions in it.
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
    std::string channel = {};  // another name of `room`; if both are given, they must be equal
    std::string data;          // a JSON object; empty: {}
  };

  // Gets the tool's JSON, compact.
  //   NOT_FOUND  no such service
  using Done = std::function<void(absl::StatusOr<std::string>)>;

  // Uptime counts from this call on.
  explicit AgentTools(Parts parts);

  void Call(Tool tool, const Target& target, Done done);

  // Publishes an ordinary event.  Its data is the given object with the keys `timestamp` and `test:
  // true` added.  Answers when the workers have reported how many sessions the event matched.
  void BroadcastTestEvent(const TestEvent& event, Done done);

 private:
  const Parts parts_;
  const absl::Duration started_at_;
};

}  // namespace fanwire::control
