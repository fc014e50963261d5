#include "cli/mcp/client_pool.h"

#include <utility>

namespace fanwire::cli {

absl::StatusOr<Clients> ClientPool::Take() {
  {
    MutexLock lock(&mu_);
    if (!idle_.empty()) {
      Clients clients = std::move(idle_.back());
      idle_.pop_back();
      return clients;
    }
  }
  return make_();
}

void ClientPool::GiveBack(Clients clients) {
  MutexLock lock(&mu_);
  idle_.push_back(std::move(clients));
}

void ClientPool::Forget() {
  std::vector<Clients> forgotten;
  MutexLock lock(&mu_);
  forgotten.swap(idle_);
}

}  // namespace fanwire::cli
