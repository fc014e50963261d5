#include "control/publish/publisher_seqs.h"

#include <algorithm>
#include <iterator>

namespace fanwire::control {

uint64_t PublisherSeqs::LastAccepted(const std::string& id) {
  MutexLock lock(&mu_);
  const auto it = by_id_.find(id);
  if (it == by_id_.end()) return 0;
  order_.splice(order_.end(), order_, it->second);
  return it->second->second;
}

void PublisherSeqs::Accepted(const std::string& id, uint64_t seq) {
  MutexLock lock(&mu_);
  const auto it = by_id_.find(id);
  if (it != by_id_.end()) {
    it->second->second = std::max(it->second->second, seq);
    order_.splice(order_.end(), order_, it->second);
    return;
  }
  order_.emplace_back(id, seq);
  by_id_.emplace(id, std::prev(order_.end()));
  if (by_id_.size() > max_) {
    by_id_.erase(order_.front().first);
    order_.pop_front();
  }
}

}  // namespace fanwire::control
