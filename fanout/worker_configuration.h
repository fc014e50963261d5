// WorkerConfiguration puts control's configuration in force and remembers it: listeners, slices of
// fan-outs and of reading, log, and the times of a drain.
//
// Threading: loop-confined.
// Ownership: borrows ports and hub.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "fanout/drain.h"
#include "fanout/hub.h"
#include "fanout/service_ports.h"

namespace fanwire::v1 {
class ConfigAck;
class WorkerConfig;
}  // namespace fanwire::v1

namespace fanwire::fanout {

class WorkerConfiguration {
 public:
  WorkerConfiguration(ServicePorts* ports, Hub* hub);
  ~WorkerConfiguration();
  WorkerConfiguration(const WorkerConfiguration&) = delete;
  WorkerConfiguration& operator=(const WorkerConfiguration&) = delete;

  // Puts `config` in force as a whole and adds the listeners to `ack`.  Without `open_ports`,
  // which a worker that drains leaves out, listeners stay as they are.  `opening` says what becomes
  // of ports that cannot be opened.
  // Returns false if the configuration is refused: nothing has changed then, and `ack` has the
  // error.
  bool Apply(const v1::WorkerConfig& config, bool open_ports, ServicePorts::Opening opening,
             v1::ConfigAck* ack);

  // Tells the sessions of services that the configuration does not have any more to go elsewhere,
  // and closes them.
  void CloseRemovedServices();

  // Whether a configuration was ever put in force; until then version() is 0.
  bool received() const { return config_ != nullptr; }
  uint64_t version() const { return version_; }

  // ---- of the configuration in force; only once it was received

  const v1::WorkerConfig& config() const { return *config_; }
  absl::Duration orphan_timeout() const;

  // How to drain for a reason of the worker's own.  Also before a configuration was received; the
  // defaults of DrainOrder hold then.
  DrainOrder OwnDrain(absl::string_view reason) const;
  // Sets when clients are told to come back.
  void SetReconnectTimes(DrainOrder* order) const;

 private:
  // Ends the subscriptions that the permissions of `next`, which is in force, do not allow.
  void ReviewPermissions(const v1::WorkerConfig& next);

  ServicePorts* const ports_;
  Hub* const hub_;
  std::unique_ptr<const v1::WorkerConfig> config_;
  uint64_t version_ = 0;
};

}  // namespace fanwire::fanout
