// ConnectionQuota leases the connections that each service may have to workers.
//
// A worker asks for a total number of connections and may open as many as it is granted.  A worker
// that was granted less waits.  Freed connections go first to workers whose clients are waiting, as
// many as those need, then to workers that want a reserve; within each group to the one that waited
// longest.
//
// When clients wait and nothing is free, the workers with the most idle connections are asked to
// give some back.  These count as leased until the worker confirms, because it may use one before
// it reads the message.  A worker never gives back connections that are in use.
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
    uint32_t connections = 0;  // that the worker may have in all
  };

  // What a worker reports of its connections of one service.
  struct Claim {
    uint32_t want = 0;  // connections in all
    uint32_t in_use = 0;
    uint32_t waiting = 0;  // clients that wait to be admitted
  };

  // Sets how many connections a service may have over all workers.  A service whose limit was never
  // set may have none.
  void SetLimit(absl::string_view service, uint32_t connections);

  // The worker asks for `want` connections in all.  It gets as many as are free; if it wants fewer
  // than before, the rest is freed when it confirms.  Settle() returns a grant for this worker even
  // if nothing changed.
  void Request(absl::string_view worker, absl::string_view service, const Claim& claim);
  // The worker gave back what it was asked for, and keeps `want` connections.
  void Confirm(absl::string_view worker, absl::string_view service, const Claim& claim);
  // The worker has these connections from an earlier attachment and keeps them, even over the
  // limit.
  void Adopt(absl::string_view worker, absl::string_view service, const Claim& claim);
  // How many connections the worker has open, from its heartbeat.
  void SetInUse(absl::string_view worker, absl::string_view service, uint32_t in_use);
  // The worker is gone: frees its connections.
  void Release(absl::string_view worker);

  // Call it once per heartbeat interval.  Where more is leased than the limit allows, asks workers
  // to give back idle connections; a worker that needs them again asks again.
  void Tick();

  // Grants free connections to waiting workers, asks for idle ones back where clients wait, and
  // returns the messages that workers have not been sent yet.
  std::vector<Grant> Settle();

  // Connections leased to all workers, including those that a worker was asked to give back and has
  // not confirmed.
  int64_t leased(absl::string_view service) const;

 private:
  struct Lease {
    int64_t held = 0;     // the most that the worker may believe to have; counts as leased
    int64_t granted = 0;  // sent to the worker; less than held until the worker confirms
    int64_t want = 0;
    int64_t in_use = 0;
    int64_t waiting = 0;
    int64_t told = -1;           // last grant that was sent; -1: a grant must be sent
    uint64_t waiting_since = 0;  // turn number; 0: the worker has what it wants
    int unconfirmed_ticks = 0;
    bool probed = false;  // was asked since its last report although nothing seemed idle

    bool shrinking() const { return granted < held; }
    int64_t idle() const { return granted - in_use - waiting; }
    // Connections that the worker's waiting clients lack.  0 while it gives some back: its
    // confirmation reports the need anew.
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
    // Asks for up to `connections` idle ones back, first from the worker with the most.  Returns
    // how many were asked for.
    int64_t TakeBack(int64_t connections);
    // Asks for as many connections as waiting clients lack.
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
