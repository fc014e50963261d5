// WorkerTable is WorkerRegistry's records: workers by id, also those that were attached before, and
// the attached ones by link.
//
// Threading: guarded by WorkerRegistry's mutex.
// Ownership: owns the records.  A record stays where it is until it is forgotten.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "control/workers/attached_worker.h"

namespace fanwire::control {

class WorkerTable {
 public:
  // The record of a worker that says Hello.
  AttachedWorker& Make(const std::string& id) { return workers_[id]; }
  // Null if nobody of this id was attached.
  AttachedWorker* Find(absl::string_view id);
  const AttachedWorker* Find(absl::string_view id) const;
  // The worker whose attachment `link` is; null if it has ended.
  AttachedWorker* Find(const WorkerLink* link);

  void AddLink(const WorkerLink* link, AttachedWorker* worker) { attached_[link] = worker; }
  void RemoveLink(const WorkerLink* link) { attached_.erase(link); }

  size_t attached_count() const { return attached_.size(); }
  int32_t serving_count() const;
  // Those that are not attached although they may have clients.
  int32_t unseen_count() const;
  // The attached ones, by id.
  std::vector<AttachedWorker*> Attached();
  std::vector<const AttachedWorker*> All() const;

  // Forgets a worker unless it is attached.  Returns whether it did.
  bool Forget(absl::string_view id);
  // Forgets workers that nobody here started and that are not attached any more: those that have
  // drained at once, the others after `dead_after`.  Returns their ids.
  std::vector<std::string> ForgetGone(absl::Duration now, absl::Duration dead_after);

 private:
  std::map<std::string, AttachedWorker, std::less<>> workers_;
  absl::flat_hash_map<const WorkerLink*, AttachedWorker*> attached_;
};

}  // namespace fanwire::control
