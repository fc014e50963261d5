// A process whose configuration and slots a test sets, and that remembers what it was told to do.
//
// Threading: safe from every thread, but for what is set before.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/mutex.h"
#include "control/admin/control_process.h"
#include "control/processes/worker_processes.h"
#include "control/workers/worker_registry.h"
#include "fanwire/v1/admin.pb.h"

namespace fanwire::control {

class FakeControlProcess final : public ControlProcess {
 public:
  using ReloadDone = std::function<void(absl::StatusOr<v1::ReloadConfigResponse>)>;
  struct Drained {
    std::string id;
    DrainOrder order;
    std::function<void(int64_t, bool)> progress;
  };
  struct Restarted {
    std::vector<std::string> ids;
    bool only_stopped = false;
    std::function<void(const RestartProgress&)> progress;
  };

  // Set before calls.
  ConfigInForce in_force;
  ConfigOverrides overrides;
  std::vector<ProcessInfo> slots;

  std::vector<ReloadDone> reloads() const {
    MutexLock lock(&mu_);
    return reloads_;
  }
  std::vector<Drained> drains() const {
    MutexLock lock(&mu_);
    return drains_;
  }
  std::vector<Restarted> restarts() const {
    MutexLock lock(&mu_);
    return restarts_;
  }
  // ---- ControlProcess

  ConfigInForce config() const override { return in_force; }
  ConfigOverrides config_overrides() const override { return overrides; }
  void Reload(ReloadDone done) override {
    MutexLock lock(&mu_);
    reloads_.push_back(std::move(done));
  }
  std::vector<ProcessInfo> LocalWorkers() const override { return slots; }
  absl::Status DrainLocalWorker(absl::string_view worker_id, const DrainOrder& order,
                                std::function<void(int64_t, bool)> progress) override {
    if (absl::Status status = Check(worker_id); !status.ok()) return status;
    MutexLock lock(&mu_);
    drains_.push_back(
        {.id = std::string(worker_id), .order = order, .progress = std::move(progress)});
    return absl::OkStatus();
  }
  absl::Status RestartLocalWorkers(const std::vector<std::string>& worker_ids, bool only_stopped,
                                   std::function<void(const RestartProgress&)> progress) override {
    for (const std::string& id : worker_ids) {
      if (absl::Status status = Check(id); !status.ok()) return status;
    }
    MutexLock lock(&mu_);
    restarts_.push_back(
        {.ids = worker_ids, .only_stopped = only_stopped, .progress = std::move(progress)});
    return absl::OkStatus();
  }

 private:
  absl::Status Check(absl::string_view id) const {
    const bool there = std::any_of(slots.begin(), slots.end(),
                                   [&](const ProcessInfo& slot) { return slot.id == id; });
    return there ? absl::OkStatus() : absl::NotFoundError(absl::StrCat("no slot \"", id, "\""));
  }

  mutable Mutex mu_;
  std::vector<ReloadDone> reloads_ ABSL_GUARDED_BY(mu_);
  std::vector<Drained> drains_ ABSL_GUARDED_BY(mu_);
  std::vector<Restarted> restarts_ ABSL_GUARDED_BY(mu_);
};

}  // namespace fanwire::control
