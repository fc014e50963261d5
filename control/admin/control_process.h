// ControlProcess is the part of the whole process that operators' calls use: its configuration and
// its local workers (supervisor.h).
//
// Threading: implementations are safe from every thread and never block.  Callbacks are called on
//            any thread, without locks.
// Ownership: must outlive the admin service and every callback given to it.
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
  std::shared_ptr<const v1::Config> config = {};  // resolved
  std::shared_ptr<const CatalogFiles> catalog_files = {};
  std::shared_ptr<const ServiceTable> services = {};
  std::string file = {};  // empty: no file
  uint64_t version = 0;   // that workers acknowledge
};

class ControlProcess {
 public:
  virtual ~ControlProcess() = default;

  virtual ConfigInForce config() const = 0;
  // The settings that come from flags and the environment, not from the file.
  virtual ConfigOverrides config_overrides() const = 0;

  // Reads the file again and puts the settings in force that can change while control runs.
  // Workers get them first.  Control follows when each attached worker has acknowledged them, or
  // after 5 s.  A request that comes while a reload runs is answered by the next reload.
  //   INVALID_ARGUMENT     "file:line:column: fault", one on each line, or why the file cannot be
  //                        read; the old configuration stays in force
  //   FAILED_PRECONDITION  a worker refused the configuration; the old one stays in force, and is
  //                        sent to the workers again
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
