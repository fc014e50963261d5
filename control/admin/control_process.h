// ControlProcess is what operators' calls need of the process as a whole: its configuration and its
// local workers (supervisor.h).
//
// Threading: implementations are safe from every thread and never block; callbacks come on any
//            thread, without locks.
// Ownership: outlives the admin service and every callback given to it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "control/config/config_loader.h"

namespace fanwire::v1 {
class ReloadConfigResponse;
}  // namespace fanwire::v1

namespace fanwire::control {

class ServiceTable;
struct DrainOrder;
struct RestartProgress;
struct ProcessInfo;

// The configuration in force.
struct ConfigInForce {
  std::shared_ptr<const v1::Config> config;  // resolved
  std::shared_ptr<const ServiceTable> services;
  std::string file;      // empty: there is none
  uint64_t version = 0;  // as workers acknowledge it
};

class ControlProcess {
 public:
  virtual ~ControlProcess() = default;

  virtual ConfigInForce config() const = 0;
  // Where a start takes settings from besides the file: flags and environment.
  virtual ConfigOverrides config_overrides() const = 0;

  // Reads the file again and puts in force what can change while running: first in the workers,
  // then in control, when each attached worker has acknowledged the configuration or 5 s are over.
  // A request that comes while a reload runs is served by the next one.
  //   INVALID_ARGUMENT     "file:line:column: fault", a line each, or why the file cannot be read;
  //                        the old configuration stays
  //   FAILED_PRECONDITION  a worker refused the configuration: the old one stays, and the workers
  //                        get it again
  //   UNAVAILABLE          control is stopping
  using ReloadDone = std::function<void(absl::StatusOr<v1::ReloadConfigResponse>)>;
  virtual void Reload(ReloadDone done) = 0;

  // See the functions of Supervisor.  If workers are started by something else, there are no local
  // workers: the list is empty, and the other two return NOT_FOUND.
  virtual std::vector<ProcessInfo> LocalWorkers() const = 0;
  virtual absl::Status DrainLocalWorker(absl::string_view worker_id, const DrainOrder& order,
                                        std::function<void(int64_t, bool)> progress) = 0;
  virtual absl::Status RestartLocalWorkers(
      const std::vector<std::string>& worker_ids, bool only_stopped,
      std::function<void(const RestartProgress&)> progress) = 0;
};

}  // namespace fanwire::control
