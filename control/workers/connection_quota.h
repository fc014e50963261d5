// ConnectionQuota leases the connections that each service may have to workers.
//
// A worker asks for a total number of connections and may open as many as it is granted.  A worker
// that was granted fewer waits.  Freed connections go first to workers whose clients are waiting,
// as many as these clients need, then to workers that want a reserve.  Within each group the worker
// that has waited longest is first.
//
// When clients wait and nothing is free, the workers with the most idle connections are asked to
// give some back.  These connections count as leased until the worker confirms, because it may use
// one before it reads the message.  A worker never gives back connections that are in use.
//
// Threading: guarded by WorkerRegistry's mutex.
// Cost:      O(workers) per call and service.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace fanwire::control {

class ConnectionQuota {
 public:
  // A message to a worker.
  struct Grant {
    std::string worker;
    std::string service;
    uint32_t connections = 0;  // the total that the worker may have
  };

  // A worker's report on its connections of one service.
  struct Claim {
    uint32_t want = 0;  // the total that the worker wants
    uint32_t in_use = 0;
    uint32_t waiting = 0;  // clients that wait to be admitted
  };

  // Sets how many connections a service may have on all workers together.  A service whose limit
  // was never set may have none.
  void SetLimit(absl::string_view service, uint32_t connections);

  // Call when a worker asks for `want` connections.  It gets as many as are free.  If it wants
  // fewer than before, the rest is freed when it confirms.  The next Settle() returns a grant for
  // this worker even if nothing changed.
  void Request(absl::string_view worker, absl::string_view service, const Claim& claim);
  // Call when a worker has given back the connections it was asked for, and keeps `want`.
  void Confirm(absl::string_view worker, absl::string_view service, const Claim& claim);
  // Call when a worker attaches with connections of an earlier attachment.  It keeps them, even
  // over the limit.
  void Adopt(absl::string_view worker, absl::string_view service, const Claim& claim);
  // Records how many connections the worker has open, from its heartbeat.
  void SetInUse(absl::string_view worker, absl::string_view service, uint32_t in_use);
  // Frees the connections of a worker that is gone.
  void Release(absl::string_view worker);

  // Call once per heartbeat interval.  If more connections are leased than the limit allows, asks
  // workers to give back idle ones.  A worker that needs them later asks again.
  void Tick();

  // Grants free connections to waiting workers, and asks for idle ones back if clients wait.
  // Returns the grants that must be sent to workers.
  std::vector<Grant> Settle();

  // Returns the number of connections leased to all workers, including those that a worker was
  // asked to give back and has not confirmed.
  int64_t leased(absl::string_view service) const;

 private:
  struct Lease {
    int64_t held = 0;     // counts as leased: the most that the worker may still use
    int64_t granted = 0;  // in the last grant; less than `held` until the worker confirms
    int64_t want = 0;
    int64_t in_use = 0;
    int64_t waiting = 0;
    int64_t told = -1;           // last grant that was sent; -1: a grant must be sent
    uint64_t waiting_since = 0;  // number of its turn; 0: the worker has what it wants
    int unconfirmed_ticks = 0;
    bool probed = false;  // asked to give back since its last report, though it seemed to use all

    bool shrinking() const { return granted < held; }
    int64_t idle() const { return granted - in_use - waiting; }
    // Returns how many connections the worker's waiting clients still need.  0 while the worker is
    // giving some back, because its confirmation will report the need again.
    int64_t lacking() const {
      return shrinking() || waiting == 0 ? 0 : std::max<int64_t>(in_use + waiting - granted, 0);
    }
    void Grow(int64_t by) { granted = held += by; }
  };
  struct Service {
    int64_t limit = 0;
    std::map<std::string, Lease, std::less<>> leases;  // by worker

    int64_t leased() const;
    // Grants the free connections to waiting workers.
    void Serve();
    // Asks workers to give back up to `connections` idle ones, the worker with the most first.
    // Returns how many it asked for.
    int64_t TakeBack(int64_t connections);
    // Asks workers to give back as many connections as waiting clients need.
    void TakeBackForClients();
  };

  Service& At(absl::string_view service);
  // Finds or makes the worker's lease.
  static Lease& LeaseOf(Service* service, absl::string_view worker);
  // Null if there is none.
  Lease* Find(absl::string_view worker, absl::string_view service);
  static void Confirmed(Lease* lease, int64_t held);

  std::map<std::string, Service, std::less<>> services_;
  uint64_t next_turn_ = 1;
};

}  // namespace fanwire::control
