// ConnectionQuota leases the connection slots of each service to workers.
//
// A worker asks for so many slots in all and holds what it is granted.  Who got less than it wanted
// waits: first those whose clients wait at the door, as far as these need it, then those that want
// a reserve; the longest waiting first.
//
// When clients wait and nothing is free, the workers with the most idle slots are asked for some
// back.  What a worker is to give back counts as its own until it has confirmed, because it may use
// a slot before it hears of it; it never gives back what it uses.
//
// Threading: none of its own; WorkerRegistry guards it.
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
  // What a worker is to be told.
  struct Grant {
    std::string worker;
    std::string service;
    uint32_t slots = 0;  // that it may hold in all
  };

  // What a worker says of its slots of one service.
  struct Claim {
    uint32_t want = 0;  // slots in all
    uint32_t in_use = 0;
    uint32_t waiting = 0;  // clients that wait for a slot
  };

  // A service without a limit has no slots.
  void SetLimit(absl::string_view service, uint32_t slots);

  // The worker wants to hold `want` slots in all: it gets as many as are free, and is asked to give
  // back what it does not want any more.  Its next grant is told even if nothing changed.
  void Request(absl::string_view worker, absl::string_view service, const Claim& claim);
  // The worker gave back what it was asked for, and holds `want` slots now.
  void Confirm(absl::string_view worker, absl::string_view service, const Claim& claim);
  // The worker held this from before: it keeps it, even over the limit.
  void Adopt(absl::string_view worker, absl::string_view service, const Claim& claim);
  // How many of its slots the worker uses, as it reports now and then.
  void SetInUse(absl::string_view worker, absl::string_view service, uint32_t in_use);
  // The worker is gone; its slots are free.
  void Release(absl::string_view worker);

  // Once per heartbeat interval.  Where more is leased than the limit allows, asks for what is not
  // in use; nobody waits for what was taken back so: who needs it asks again.
  void Tick();

  // Grants what is free to those who wait, asks for idle slots back where clients wait for them,
  // and returns what workers have not been told yet.
  std::vector<Grant> Settle();

  // Leased by all workers, with what is not confirmed to be given back.
  int64_t leased(absl::string_view service) const;

 private:
  struct Lease {
    int64_t held = 0;     // at most, as far as is known; counts as leased
    int64_t granted = 0;  // what the worker is told; fewer than held: it is to confirm that
    int64_t want = 0;
    int64_t in_use = 0;
    int64_t waiting = 0;
    int64_t told = -1;           // -1: an answer is due
    uint64_t waiting_since = 0;  // 0: it has what it wants
    int unconfirmed_ticks = 0;
    bool probed = false;  // asked since its last report although nothing seemed idle

    bool shrinking() const { return granted < held; }
    int64_t idle() const { return granted - in_use - waiting; }
    // Slots that its waiting clients lack; who is to give back tells that anew when it confirms.
    int64_t lacking() const {
      return shrinking() || waiting == 0 ? 0 : std::max<int64_t>(in_use + waiting - granted, 0);
    }
    void Grow(int64_t by) { granted = held += by; }
  };
  struct Service {
    int64_t limit = 0;
    std::map<std::string, Lease, std::less<>> leases;  // by worker

    int64_t leased() const;
    // Grants the free slots to those who wait.
    void Serve();
    // Asks for up to `slots` idle ones back, from the idlest first.  Returns how many are asked
    // for.
    int64_t TakeBack(int64_t slots);
    // Asks for what waiting clients lack.
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
