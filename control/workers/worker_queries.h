// WorkerQueries keeps the open queries to workers and collects their answers.
//
// Threading: safe from every thread; its mutex is a leaf.  `done` runs without it.
// Ownership: borrows timers, which must have stopped before it is destroyed.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "control/workers/worker_registry.h"

namespace fanwire::control {

class WorkerQueries {
 public:
  using Done = std::function<void(QueryResult)>;

  WorkerQueries(const Clock* clock, TimerQueue* timers);
  ~WorkerQueries();

  // Opens a query to `links` (WorkerLink::id(), at least one) and returns its id, which the caller
  // then sends to the workers.  `absent` is the number of workers that cannot be asked; they count
  // as not having answered.  Calls `done` once: when all have answered or are gone, or at
  // `timeout`.
  uint64_t Open(std::set<uint64_t> links, int32_t absent, absl::Duration timeout, Done done);

  // Takes a worker's answer.  Ignores it if this link was not asked or the query is over.
  void OnReply(uint64_t link, const v1::QueryReply& reply);
  // Call when the link has ended.  Keeps its answers so far; it counts as not having answered.
  void LinkGone(uint64_t link);

  int64_t open() const;

 private:
  struct Question {
    std::set<uint64_t> links;  // that have not answered completely
    QueryResult result;
    Done done;
  };

  // Removes the query and returns true if no link is left that could answer.
  bool TakeIfComplete(uint64_t id, Question* out) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void TimeOut(uint64_t id);

  const Clock* const clock_;
  TimerQueue* const timers_;

  mutable Mutex mu_;
  uint64_t next_id_ ABSL_GUARDED_BY(mu_) = 1;
  absl::flat_hash_map<uint64_t, Question> questions_ ABSL_GUARDED_BY(mu_);
};

}  // namespace fanwire::control
