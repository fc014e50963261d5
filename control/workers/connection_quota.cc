#include "control/workers/connection_quota.h"

#include <algorithm>
#include <utility>

namespace fanwire::control {

namespace {

// After this many ticks without a confirmation, the last grant counts as confirmed.  The worker has
// perhaps no such service any more and will never confirm.
constexpr int kPatience = 3;

}  // namespace

// ------------------------------------------------------------------------------- one service

int64_t ConnectionQuota::Service::leased() const {
  int64_t sum = 0;
  for (const auto& [worker, lease] : leases) sum += lease.held;
  return sum;
}

void ConnectionQuota::Service::Serve() {
  int64_t free = limit - leased();
  std::vector<Lease*> waiting;
  for (auto& [worker, lease] : leases) {
    if (lease.waiting_since != 0 && !lease.shrinking()) waiting.push_back(&lease);
  }
  std::sort(waiting.begin(), waiting.end(),
            [](const Lease* a, const Lease* b) { return a->waiting_since < b->waiting_since; });
  for (Lease* const lease : waiting) {
    const int64_t more = std::min(free, lease->lacking());
    if (more <= 0) continue;
    lease->Grow(more);
    free -= more;
    // The worker admits these clients as soon as it gets the grant.
    lease->in_use += more;
    lease->waiting -= more;
  }
  for (Lease* const lease : waiting) {
    const int64_t more = std::min(free, lease->want - lease->granted);
    if (more > 0) {
      lease->Grow(more);
      free -= more;
    }
    if (lease->granted >= lease->want) lease->waiting_since = 0;
  }
}

int64_t ConnectionQuota::Service::TakeBack(int64_t connections) {
  std::vector<Lease*> idlest;
  for (auto& [worker, lease] : leases) {
    if (!lease.shrinking() && lease.idle() > 0) idlest.push_back(&lease);
  }
  std::stable_sort(idlest.begin(), idlest.end(),
                   [](const Lease* a, const Lease* b) { return a->idle() > b->idle(); });
  int64_t asked = 0;
  for (Lease* const lease : idlest) {
    const int64_t taken = std::min(lease->idle(), connections - asked);
    if (taken <= 0) break;
    lease->granted -= taken;
    lease->want = std::min(lease->want, lease->granted);
    lease->waiting_since = 0;
    asked += taken;
  }
  return asked;
}

void ConnectionQuota::Service::TakeBackForClients() {
  int64_t lacking = 0;
  int64_t coming = limit - leased();
  for (const auto& [worker, lease] : leases) {
    lacking += lease.lacking();
    coming += lease.held - lease.granted;
  }
  if (lacking == 0) return;
  lacking -= coming;
  if (lacking <= 0) return;
  lacking -= TakeBack(lacking);
  if (lacking <= 0) return;
  // The other workers' numbers are from their last reports, and may be out of date.  Ask each of
  // them once: its confirmation brings the present numbers.
  for (auto& [worker, lease] : leases) {
    if (lease.shrinking() || lease.waiting > 0 || lease.granted == 0 || lease.probed) continue;
    lease.probed = true;
    lease.granted -= std::min(lease.granted, lacking);
  }
}

// ------------------------------------------------------------------------------- all of them

ConnectionQuota::Service& ConnectionQuota::At(absl::string_view service) {
  const auto it = services_.find(service);
  if (it != services_.end()) return it->second;
  return services_.emplace(std::string(service), Service()).first->second;
}

ConnectionQuota::Lease& ConnectionQuota::LeaseOf(Service* service, absl::string_view worker) {
  const auto it = service->leases.find(worker);
  if (it != service->leases.end()) return it->second;
  return service->leases.emplace(std::string(worker), Lease()).first->second;
}

ConnectionQuota::Lease* ConnectionQuota::Find(absl::string_view worker, absl::string_view service) {
  const auto it = services_.find(service);
  if (it == services_.end()) return nullptr;
  const auto lease = it->second.leases.find(worker);
  return lease == it->second.leases.end() ? nullptr : &lease->second;
}

void ConnectionQuota::SetLimit(absl::string_view service, uint32_t connections) {
  At(service).limit = connections;
}

void ConnectionQuota::Request(absl::string_view worker, absl::string_view service,
                              const Claim& claim) {
  Lease& lease = LeaseOf(&At(service), worker);
  lease.in_use = claim.in_use;
  lease.waiting = claim.waiting;
  // The worker reported this before it knew that it must give back connections.  It will ask again
  // for those that it needs.
  if (lease.shrinking()) return;
  lease.held = lease.granted = std::max<int64_t>(lease.held, claim.in_use);
  lease.want = std::max(claim.want, claim.in_use);
  lease.told = -1;
  if (lease.want <= lease.held) {
    lease.granted = lease.want;
    lease.waiting_since = 0;
  } else if (lease.waiting_since == 0) {
    lease.waiting_since = next_turn_++;
  }
}

void ConnectionQuota::Confirmed(Lease* lease, int64_t held) {
  lease->held = lease->granted = lease->told = held;
  lease->unconfirmed_ticks = 0;
}

void ConnectionQuota::Confirm(absl::string_view worker, absl::string_view service,
                              const Claim& claim) {
  Lease* const lease = Find(worker, service);
  // A confirmation that came too late.  It must not make the lease smaller, because a larger grant
  // may be on its way to the worker.
  if (lease == nullptr || !lease->shrinking()) return;
  Confirmed(lease, std::max(claim.want, claim.in_use));
  lease->in_use = claim.in_use;
  lease->waiting = claim.waiting;
  lease->want = std::max<int64_t>(lease->held, int64_t{claim.in_use} + claim.waiting);
  lease->waiting_since = lease->want > lease->held ? next_turn_++ : 0;
}

void ConnectionQuota::Adopt(absl::string_view worker, absl::string_view service,
                            const Claim& claim) {
  Lease& lease = LeaseOf(&At(service), worker);
  lease = Lease();
  lease.held = lease.granted = lease.want = std::max(claim.want, claim.in_use);
  lease.in_use = claim.in_use;
}

void ConnectionQuota::SetInUse(absl::string_view worker, absl::string_view service,
                               uint32_t in_use) {
  Lease* const lease = Find(worker, service);
  if (lease == nullptr) return;
  lease->in_use = in_use;
  lease->probed = false;
  // The worker uses more than it holds by our account.  They are leased as long as they are used.
  if (in_use > lease->held) {
    Confirmed(lease, in_use);
    lease->want = std::max(lease->want, lease->held);
  }
}

void ConnectionQuota::Release(absl::string_view worker) {
  for (auto& [name, service] : services_) {
    const auto it = service.leases.find(worker);
    if (it != service.leases.end()) service.leases.erase(it);
  }
}

void ConnectionQuota::Tick() {
  for (auto& [name, service] : services_) {
    int64_t excess = -service.limit;
    for (auto& [worker, lease] : service.leases) {
      if (lease.shrinking() && ++lease.unconfirmed_ticks > kPatience) {
        Confirmed(&lease, std::max(lease.granted, lease.in_use));
      }
      excess += lease.granted;
    }
    if (excess > 0) service.TakeBack(excess);
  }
}

std::vector<ConnectionQuota::Grant> ConnectionQuota::Settle() {
  std::vector<Grant> grants;
  for (auto& [name, service] : services_) {
    service.Serve();
    service.TakeBackForClients();
    for (auto& [worker, lease] : service.leases) {
      if (lease.told == lease.granted) continue;
      lease.told = lease.granted;
      grants.push_back({worker, name, static_cast<uint32_t>(lease.granted)});
    }
  }
  return grants;
}

int64_t ConnectionQuota::leased(absl::string_view service) const {
  const auto it = services_.find(service);
  return it == services_.end() ? 0 : it->second.leased();
}

}  // namespace fanwire::control
