// Ledger adds up what workers report, per service: where every delivery went.
//
//   matched = written + dropped{reason} + lost_connection + expired + queued
//
// Workers count from their own start.  What a worker counted before it attached to this control,
// for an earlier one, is left out.  A worker's last counts stay in the sum when it ends and its
// successor begins at 0.  No count but that of what is queued, open or subscribed now ever goes
// back.
//
// Threading: safe from every thread; one mutex, held for microseconds.
// Cost:      one map lookup per service in a heartbeat (1/s and worker).
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "common/mutex.h"
#include "proto/policies.h"

namespace fanwire::v1 {
class Heartbeat;
class ServiceLoad;
}  // namespace fanwire::v1

namespace fanwire::control {

// Counts of one service, over all workers that ever were attached.
struct ServiceCounts {
  // Now, over the workers that are attached.
  int64_t sessions = 0;
  int64_t subscriptions = 0;
  int64_t slow_sessions = 0;
  int64_t backlog_bytes = 0;
  int64_t queued = 0;

  // Since control started.  What waited in a worker when it attached counts as matched then.
  int64_t matched = 0;
  int64_t written = 0;
  std::array<int64_t, kDropReasons> dropped = {};
  int64_t lost_connection = 0;
  int64_t expired = 0;
  int64_t recovered = 0;  // deliveries by recovery, apart from the ledger
  int64_t sessions_opened = 0;
  int64_t sessions_closed = 0;
  int64_t messages_received = 0;
  int64_t messages_sent = 0;
  int64_t bytes_sent = 0;
  std::map<std::string, int64_t> errors;

  int64_t peak_sessions = 0;  // most at once, over all workers

  int64_t dropped_total() const;
  // What the ledger cannot account for; 0 when nothing is under way.
  int64_t difference() const;
};

class Ledger {
 public:
  // A process of the worker attached.  Another incarnation than before is its successor: what the
  // one before had queued is lost with its connections.  `served_before` says that the process
  // served before this control knew it: its first heartbeat tells what does not count.
  void Attached(absl::string_view worker, uint64_t incarnation, bool served_before);

  // Takes the counts of a heartbeat.  The registry lets only the process that is attached report.
  void Update(absl::string_view worker, uint64_t incarnation, const v1::Heartbeat& heartbeat);

  // The worker's attachment ended: its counts stay, its sessions do not.  What it had queued stays
  // queued: it may live and attach again.
  void WorkerGone(absl::string_view worker, uint64_t incarnation);

  // The worker does not come back: what it had queued is lost with its connections.
  void Forget(absl::string_view worker);

  // All 0 if nothing is known of the service.
  ServiceCounts Get(absl::string_view service) const;
  // By name of service, every service that was ever reported.
  std::map<std::string, ServiceCounts> All() const;

  // Sessions of one worker now, over its services; 0 if unknown.
  int64_t WorkerSessions(absl::string_view worker) const;
  int64_t WorkerSubscriptions(absl::string_view worker) const;

 private:
  struct Worker {
    uint64_t incarnation = 0;
    bool attached = false;
    bool base_is_due = false;                                // the next heartbeat brings it
    std::map<std::string, ServiceCounts, std::less<>> base;  // counted before this control
    // As last reported, without the base.
    std::map<std::string, ServiceCounts, std::less<>> services;
  };

  // Finds the worker; another incarnation than before begins anew.
  Worker& Find(absl::string_view worker, uint64_t incarnation) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Ends the incarnation that was known.
  void Settle(Worker* worker) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ServiceCounts Sum(absl::string_view service) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable Mutex mu_;  // a leaf: nothing is locked under it
  std::map<std::string, Worker, std::less<>> workers_ ABSL_GUARDED_BY(mu_);
  // What incarnations that ended had counted.
  std::map<std::string, ServiceCounts, std::less<>> settled_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, int64_t, std::less<>> peaks_ ABSL_GUARDED_BY(mu_);
};

}  // namespace fanwire::control
