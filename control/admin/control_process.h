// ControlProcess is what operators' calls need of the process as a whole: its configuration and its
// worker slots (supervisor.h).
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
#include "control/config/config_rules.h"

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
  // What besides a file a start would take: flags, environment.
  virtual ConfigOverrides config_overrides() const = 0;

  // Reads the file again and puts in force what can change while running: first in the workers,
  // then, when each that is attached has acknowledged it or 5 s are over, here.
  //   INVALID_ARGUMENT     file:line:column: what is wrong, a line each; the old one stays
  //   FAILED_PRECONDITION  a worker refused it: the old one stays, and the workers have it again;
  //   or
  //                        there is no file, or another reload is under way
  virtual void Reload(std::function<void(absl::StatusOr<v1::ReloadConfigResponse>)> done) = 0;

  // As Supervisor's.  Without slots, when workers are started by something else, there are none to
  // list and NOT_FOUND is what the others say.
  virtual std::vector<ProcessInfo> Slots() const = 0;
  virtual absl::Status DrainSlot(absl::string_view worker_id, const DrainOrder& order,
                                 std::function<void(int64_t, bool)> progress) = 0;
  virtual absl::Status RestartSlots(const std::vector<std::string>& worker_ids, bool only_stopped,
                                    std::function<void(const RestartProgress&)> progress) = 0;
};

}  // namespace fanwire::control
