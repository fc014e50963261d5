#include "control/workers/worker_table.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "fanwire/v1/admin.pb.h"
#include "fanwire/v1/worker.pb.h"

namespace fanwire::control {

AttachedWorker* WorkerTable::Find(absl::string_view id) {
  const auto it = workers_.find(id);
  return it == workers_.end() ? nullptr : &it->second;
}

const AttachedWorker* WorkerTable::Find(absl::string_view id) const {
  const auto it = workers_.find(id);
  return it == workers_.end() ? nullptr : &it->second;
}

AttachedWorker* WorkerTable::Find(const WorkerLink* link) {
  const auto it = attached_.find(link);
  return it == attached_.end() ? nullptr : it->second;
}

int32_t WorkerTable::serving_count() const {
  return static_cast<int32_t>(
      std::count_if(attached_.begin(), attached_.end(),
                    [](const auto& entry) { return entry.second->serving(); }));
}

void WorkerTable::Expect(absl::string_view id, bool runs) {
  if (const auto it = expected_.find(id); it != expected_.end()) expected_.erase(it);
  if (runs && Find(id) == nullptr) expected_.emplace(id);
}

int32_t WorkerTable::unseen_count() const {
  return static_cast<int32_t>(
      static_cast<ptrdiff_t>(expected_.size()) +
      std::count_if(workers_.begin(), workers_.end(),
                    [](const auto& entry) { return entry.second.may_hold_sessions_unseen(); }));
}

std::vector<AttachedWorker*> WorkerTable::Attached() {
  std::vector<AttachedWorker*> attached;
  attached.reserve(attached_.size());
  for (auto& [id, worker] : workers_) {
    if (worker.attached()) attached.push_back(&worker);
  }
  return attached;
}

std::vector<const AttachedWorker*> WorkerTable::All() const {
  std::vector<const AttachedWorker*> all;
  all.reserve(workers_.size());
  for (const auto& [id, worker] : workers_) all.push_back(&worker);
  return all;
}

std::vector<v1::WorkerInfo> WorkerTable::Infos(const Ledger& ledger) const {
  std::vector<v1::WorkerInfo> infos;
  for (const auto& [id, worker] : workers_) worker.Describe(ledger, &infos.emplace_back());
  return infos;
}

std::vector<v1::WorkerConfigState> WorkerTable::ConfigStates() const {
  std::vector<v1::WorkerConfigState> states;
  for (const auto& [id, worker] : workers_) {
    if (worker.attached()) worker.DescribeConfig(&states.emplace_back());
  }
  return states;
}

absl::Status WorkerTable::BeginDrain(absl::string_view id, bool unless_last, int64_t sessions) {
  AttachedWorker* const worker = Find(id);
  if (worker == nullptr || !worker->serving()) return absl::OkStatus();
  if (unless_last && serving_count() == 1) {
    return absl::FailedPreconditionError(absl::StrCat(
        id, " is the last worker that serves clients: drained, it leaves nobody to connect to"));
  }
  worker->draining = true;
  worker->drain_remaining = sessions;
  return absl::OkStatus();
}

bool WorkerTable::Forget(absl::string_view id) {
  const auto it = workers_.find(id);
  if (it == workers_.end() || it->second.attached()) return false;
  workers_.erase(it);
  return true;
}

std::vector<std::string> WorkerTable::ForgetGone(absl::Duration now, absl::Duration dead_after) {
  std::vector<std::string> forgotten;
  std::erase_if(workers_, [&](const auto& entry) {
    const AttachedWorker& worker = entry.second;
    // The supervisor forgets the workers that it has started.
    if (worker.attached() || worker.hello->supervised()) return false;
    if (!worker.drained && now - worker.gone_at < dead_after) return false;
    LogInfo("worker.forgotten",
            {{"worker", worker.id}, {"reason", worker.drained ? "drained" : "dead"}});
    forgotten.push_back(worker.id);
    return true;
  });
  return forgotten;
}

}  // namespace fanwire::control
