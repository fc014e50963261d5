#include "control/processes/worker_commands.h"

#include <utility>

#include "absl/status/statusor.h"
#include "fanwire/v1/admin.pb.h"

namespace fanwire::control {

namespace {

class RegistryOrders final : public WorkerCommands {
 public:
  explicit RegistryOrders(WorkerRegistry* registry) : registry_(registry) {}

  absl::Status Drain(absl::string_view worker_id, const DrainOrder& order,
                     std::function<void(int64_t, bool)> progress) override {
    return registry_->Drain(worker_id, order, std::move(progress));
  }
  void Forget(absl::string_view worker_id) override { registry_->Forget(worker_id); }
  void Expect(absl::string_view worker_id, bool runs) override {
    registry_->Expect(worker_id, runs);
  }
  bool IsReady(absl::string_view worker_id) const override {
    const absl::StatusOr<v1::WorkerInfo> worker = registry_->GetWorker(worker_id);
    return worker.ok() && worker->state() == v1::WORKER_STATE_READY;
  }

 private:
  WorkerRegistry* const registry_;
};

}  // namespace

std::unique_ptr<WorkerCommands> WorkerCommands::Make(WorkerRegistry* registry) {
  return std::make_unique<RegistryOrders>(registry);
}

}  // namespace fanwire::control
