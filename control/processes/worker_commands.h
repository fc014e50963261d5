// WorkerCommands is the part of WorkerRegistry that the supervisor uses.
//
// Threading: safe from every thread.
// Ownership: borrows the registry.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "control/workers/worker_registry.h"

namespace fanwire::control {

class WorkerCommands {
 public:
  static std::unique_ptr<WorkerCommands> Make(WorkerRegistry* registry);

  virtual ~WorkerCommands() = default;

  // See WorkerRegistry::Drain(), Forget() and Expect().
  virtual absl::Status Drain(absl::string_view worker_id, const DrainOrder& order,
                             std::function<void(int64_t, bool)> progress) = 0;
  virtual void Forget(absl::string_view worker_id) = 0;
  virtual void Expect(absl::string_view worker_id, bool runs) = 0;

  // Whether the worker is attached, has caught up, and has its listeners open.
  virtual bool IsReady(absl::string_view worker_id) const = 0;
};

}  // namespace fanwire::control
