// WorkerTable holds WorkerRegistry's records.  All workers that are or were attached are found by
// id, the attached ones also by link.
//
// Threading: guarded by WorkerRegistry's mutex.
// Ownership: owns the records.  A record's address does not change until the worker is forgotten.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "control/workers/attached_worker.h"

namespace fanwire::control {

class WorkerTable {
 public:
  // Finds or makes the record of a worker that says Hello.
  AttachedWorker& Make(const std::string& id) {
    expected_.erase(id);
    return workers_[id];
  }
  // See WorkerRegistry.
  void Expect(absl::string_view id, bool runs);
  // Returns null if no worker of this id was ever attached.
  AttachedWorker* Find(absl::string_view id);
  const AttachedWorker* Find(absl::string_view id) const;
  // Returns the worker that is attached by `link`; null if the attachment has ended.
  AttachedWorker* Find(const WorkerLink* link);

  void AddLink(const WorkerLink* link, AttachedWorker* worker) { attached_[link] = worker; }
  void RemoveLink(const WorkerLink* link) { attached_.erase(link); }

  size_t attached_count() const { return attached_.size(); }
  int32_t serving_count() const;
  // Returns how many workers are not attached and may still have clients, with the expected ones.
  int32_t unseen_count() const;
  // Returns the attached workers, sorted by id.
  std::vector<AttachedWorker*> Attached();
  std::vector<const AttachedWorker*> All() const;
  // Return what is known of all workers, and of the attached ones.
  std::vector<v1::WorkerInfo> Infos(const Ledger& ledger) const;
  std::vector<v1::WorkerConfigState> ConfigStates() const;

  // See WorkerRegistry.  `sessions` is how many the worker has.
  absl::Status BeginDrain(absl::string_view id, bool unless_last, int64_t sessions);

  // Forgets a worker unless it is attached.  Returns whether it was forgotten.
  bool Forget(absl::string_view id);
  // Forgets workers that this control did not start and that are not attached any more: those that
  // have drained at once, the others after `dead_after`.  Returns their ids.
  std::vector<std::string> ForgetGone(absl::Duration now, absl::Duration dead_after);

 private:
  std::map<std::string, AttachedWorker, std::less<>> workers_;
  absl::flat_hash_map<const WorkerLink*, AttachedWorker*> attached_;
  std::set<std::string, std::less<>> expected_;  // that have no record
};

}  // namespace fanwire::control
