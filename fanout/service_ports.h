// ServicePorts opens the listeners that the configuration names, and makes a Session for each
// connection.
//
// Apply() puts a configuration in force as a whole: it opens all new ports first, and changes
// nothing if one cannot be opened.
//
// Threading: loop-confined.
// Ownership: owns services, listeners and, through their groups, connections.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/node_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "fanout/net/connection_group.h"
#include "fanout/net/listener.h"
#include "fanout/service.h"
#include "fanout/session.h"

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
  };

  ServicePorts(const SessionContext* sessions, SendTable* sockets, std::function<Health()> health);
  ~ServicePorts();
  ServicePorts(const ServicePorts&) = delete;
  ServicePorts& operator=(const ServicePorts&) = delete;

  // Puts `config` in force.  On success adds the bound listeners to `ack`.
  //   UNAVAILABLE, INVALID_ARGUMENT, ALREADY_EXISTS  a port cannot be opened
  absl::Status Apply(const v1::WorkerConfig& config, v1::ConfigAck* ack);

  // Accepts the connections that wait already, and then no more.  The kernel would reset them if
  // the ports were closed at once.  draining_listeners() tells when it is over.
  void DrainListeners();
  // Stops accepting at once.
  void CloseListeners();
  // Whether all ports take new connections.
  bool listening() const;
  // Whether a port is still open that takes no connections but those that waited.
  bool draining_listeners() const;

  // All services that were ever configured, by name.
  std::vector<Service*> services() const;
  // Returns null if there is none.
  Service* Find(absl::string_view name) const;

  // Destroys the groups of former configurations that have no connections left.
  void Sweep();

  // Sums over all ports of a service.
  ConnectionCounters Counters(const Service* service) const;
  // Over all ports.
  ListenerCounters Listened() const;
  size_t connections() const { return sockets_->open_sockets(); }

 private:
  class Port;

  // Returns a kept copy of `text`, or null if it is empty or too many different texts are kept.
  const std::string* Agent(absl::string_view text);

  const SessionContext* const sessions_;
  SendTable* const sockets_;
  const std::function<Health()> health_;
  absl::flat_hash_map<std::string, std::unique_ptr<Service>> services_;
  std::vector<std::unique_ptr<Port>> ports_;
  std::vector<std::unique_ptr<Port>> former_;  // closed, with connections left
  // Counts of groups and listeners that were destroyed.
  absl::flat_hash_map<const Service*, ConnectionCounters> retired_;
  ListenerCounters retired_listened_;
  // User agents that sessions refer to.
  absl::node_hash_set<std::string> agents_;
};

}  // namespace fanwire::fanout
