// ServicePorts opens the listeners that the configuration names, and makes a Session for each
// connection.
//
// Apply() opens all new ports first.  A reload changes nothing if one of them cannot be opened; at
// a start the others open, and those that failed are tried again by RetryFailed().  A port that
// failed before never refuses a later configuration.
//
// Threading: loop-confined.
// Ownership: owns services, listeners and, through their groups, connections.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/log.h"
#include "fanout/net/connection_group.h"
#include "fanout/net/listener.h"
#include "fanout/service.h"
#include "fanout/session.h"
#include "fanout/user_agents.h"

namespace fanwire::v1 {
class ConfigAck;
class WorkerConfig;
}  // namespace fanwire::v1

namespace fanwire::fanout {

class ServicePorts {
 public:
  // What `GET /health` on a service port reports.
  struct Health {
    bool ready = false;
    bool control = false;  // this worker is attached
    absl::Duration uptime;
    std::string worker = {};  // the worker's id: the counts are this worker's alone
  };

  // Whether another process may listen on the same ports, as the workers of one control do.
  using SharesPorts = std::function<bool(pid_t)>;

  // Connections beyond `max_connections`, over all ports, are refused with 503.
  ServicePorts(const SessionContext* sessions, SendTable* sockets, std::function<Health()> health,
               size_t max_connections = MaxConnections());
  ~ServicePorts();
  ServicePorts(const ServicePorts&) = delete;
  ServicePorts& operator=(const ServicePorts&) = delete;

  // Before the first Apply().  Without it nobody shares them.
  void SetSharing(SharesPorts shares) { shares_ = std::move(shares); }

  // What becomes of a configuration with a new port that cannot be opened.
  enum class Opening : uint8_t {
    kAllOrNone,  // a reload: it is refused
    kPossible,   // a start: the other ports open
  };

  // Puts `config` in force.  On success adds the listeners to `ack`, those that failed too.
  //   UNAVAILABLE, INVALID_ARGUMENT, ALREADY_EXISTS  a new port cannot be opened; kAllOrNone only
  absl::Status Apply(const v1::WorkerConfig& config, Opening opening, v1::ConfigAck* ack);

  // Tries the ports again that could not be opened.  Returns whether anything is different now.
  bool RetryFailed();
  // Whether a port of the configuration could not be opened.
  bool failed() const;
  // Adds all listeners of the configuration to `ack`.
  void Describe(v1::ConfigAck* ack) const;
  // Whether the configuration has ports of the service.
  bool Serves(const Service* service) const;
  // Why a port of the service is not open; empty if all are.
  std::string Failure(const Service* service) const;

  // Accepts the connections that wait already, and then no more.  The kernel would reset them if
  // the ports were closed at once.  draining_listeners() tells when it is over.
  void DrainListeners();
  // Stops accepting at once.
  void CloseListeners();
  // Whether all ports of the configuration are open for new connections.
  bool listening() const;
  // Whether a port is still open that takes no connections but those that waited.
  bool draining_listeners() const;

  // All services that were ever configured, by name.
  std::vector<Service*> services() const;
  // Returns null if there is none.
  Service* Find(absl::string_view name) const;

  // Destroys the groups of former configurations that have no connections left, and logs refusals,
  // once a minute.  Call it every second.
  void Sweep();

  // Sums over all ports of a service.
  ConnectionCounters Counters(const Service* service) const;
  // Over all ports.
  ListenerCounters Listened() const;
  size_t connections() const { return sockets_->open_sockets(); }
  size_t max_connections() const { return max_connections_; }

 private:
  class Port;

  void LogRefused();

  const SessionContext* const sessions_;
  SendTable* const sockets_;
  const std::function<Health()> health_;
  const size_t max_connections_;
  SharesPorts shares_;
  UserAgents agents_;  // of the sessions, which go before it
  absl::flat_hash_map<std::string, std::unique_ptr<Service>> services_;
  std::vector<std::unique_ptr<Port>> ports_;
  std::vector<std::unique_ptr<Port>> former_;  // closed, with connections left
  LogLimiter origin_log_{absl::Minutes(1)};
  LogLimiter refusal_log_{absl::Minutes(1)};
  uint64_t refused_told_ = 0;  // of Listened()'s refusals, those that the log has told
  // Counts of groups and listeners that were destroyed.
  absl::flat_hash_map<const Service*, ConnectionCounters> retired_;
  ListenerCounters retired_listened_;
};

}  // namespace fanwire::fanout
